"""The device and the precision that models compute in, what machine this is, and the memory a process takes."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path

import torch

import seq2attn
from seq2attn.errors import RunError


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto": the first of CUDA, MPS and CPU that is there.

    Raises: RunError where it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in there.items() if present))
    if not there.get(name, False):
        raise RunError(f"--device {name}: there is none here; available: {', '.join(k for k, v in there.items() if v)}")
    return torch.device(name)


def describe_machine(device: torch.device) -> str:
    """The machine in a line: processor or accelerator, threads, torch."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        hardware = f"{_processor()}, {os.cpu_count()} cores, {threads} thread{'s' * (threads != 1)}"
    return f"{hardware}; Python {platform.python_version()}, torch {torch.__version__}, seq2attn {seq2attn.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision` (of `TrainConfig`); weights, gradients and optimizer stay float32.

    With bfloat16 PyTorch computes products in it, and sums, softmax and loss in float32 (Micikevicius et al. 2018
    did so with float16; bfloat16 has the range of float32, so that no loss scaling is needed).
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def allow_tf32(device: torch.device) -> None:
    """Let float32 products on CUDA round their factors to TF32 (10 bits of mantissa), eight times as fast."""
    if device.type == "cuda" and not torch.are_deterministic_algorithms_enabled():
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that this process has held so far: of a CUDA device what torch has held there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    # Linux hands getrusage's figure down from the process that started this one; this line is of this process alone.
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def forget_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_bytes` count from now on. On CUDA alone: what a process has held resident, it has held."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

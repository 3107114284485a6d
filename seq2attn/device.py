"""Device, compilers, a description of the machine, peak memory, and variables of the environment"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

import seq2attn
from seq2attn.errors import RunError

# Fastest first.
_BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
_COMPILERS = ("c++", "g++", "clang++", "cl")


def choose_device(name: str) -> torch.device:
    """The device called `name`; for "auto" the first of CUDA, MPS and CPU that is available.

    Raises: RunError where it is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    if not available.get(name, False):
        usable = ", ".join(kind for kind, present in available.items() if present)
        raise RunError(f"--device {name}: not available here; available: {usable}")
    return torch.device(name)


def describe_machine(device: torch.device) -> str:
    """The machine in one line: processor or accelerator, threads, versions."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        # There are processors of the same name with and without.
        instruction = bfloat16_instruction()
        processor = f"{_processor()} with {instruction}" if instruction else _processor()
        hardware = f"{processor}, {os.cpu_count()} cores, {threads} thread{'s' * (threads != 1)}"
    return f"{hardware}; Python {platform.python_version()}, torch {torch.__version__}, seq2attn {seq2attn.__version__}"


def bfloat16_instruction() -> str | None:
    """The processor's fastest instruction for products in bfloat16; None without, or where PyTorch does not know."""
    # Missing before PyTorch 2.12.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in _BFLOAT16_INSTRUCTIONS if capabilities.get(name, False)), None)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def missing_for_compilation(device: torch.device) -> str | None:
    """What `torch.compile` needs for `device` and does not find; None where it has everything."""
    if not (shutil.which(os.environ.get("CXX", "")) or any(map(shutil.which, _COMPILERS))):
        return "C++ compiler"
    if device.type == "cuda" and find_spec("triton") is None:
        return "package triton"
    return None


def allow_tf32(device: torch.device) -> None:
    """Let float32 matrix products on CUDA round their factors to TF32 (10-bit mantissa), which is faster."""
    if device.type == "cuda" and not torch.are_deterministic_algorithms_enabled():
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this process has held so far: on CUDA what torch allocated there, elsewhere resident memory."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_resident_bytes()


def _peak_resident_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return _peak_resident_bytes_without_proc()
    # On Linux getrusage's peak includes that of the process that started this one; VmHWM does not.
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def _peak_resident_bytes_without_proc() -> int:
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def forget_peak_memory(device: torch.device) -> None:
    """Restart the count of `peak_memory_bytes` on CUDA. Elsewhere this does nothing: no process can reset its peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


@contextmanager
def environment_default(name: str, value: str) -> Iterator[None]:
    """The variable `name` of this process's environment with `value`, unless it has another already."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)

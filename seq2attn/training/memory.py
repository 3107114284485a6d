"""Memory that a process takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


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

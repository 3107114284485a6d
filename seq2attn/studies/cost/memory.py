"""Memory of a call, as torch allocates it"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def peak_bytes(call: Callable[[], object], device: torch.device) -> int | None:
    """The most memory that `call` held at once beyond what was held before; None where torch does not count it.

    Every allocation of a tensor counts, those within a kernel too; what a library allocates by itself does not.
    """
    if device.type == "cuda":
        return _peak_on_cuda(call, device)
    return _peak_on_cpu(call) if device.type == "cpu" else None


def _peak_on_cuda(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before)


def _peak_on_cpu(call: Callable[[], object]) -> int:
    """The running sum of the allocations that the profiler records.

    This is the older profiler, with no public way to single allocations: the newer one prints to stderr.
    """
    from torch._C._autograd import _disable_profiler_legacy, _enable_profiler_legacy
    from torch._C._profiler import ProfilerConfig, ProfilerState, _ExperimentalConfig

    memory_only = ProfilerConfig(ProfilerState.CPU, False, True, False, False, False, _ExperimentalConfig())
    _enable_profiler_legacy(memory_only)
    try:
        call()
    finally:
        records = _disable_profiler_legacy()
    held = peak = 0
    for record in (record for thread in records for record in thread):
        if str(record.kind()) == "memory_alloc":
            held += record.cpu_memory_usage()
            peak = max(peak, held)
    return peak


def free_bytes(device: torch.device) -> int:
    """Memory that can still be allocated on `device`; half of all where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _half_of_all()
    (line,) = (line for line in lines if line.startswith("MemAvailable:"))
    return 1024 * int(line.split()[1])


def _half_of_all() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.virtual_memory().available)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

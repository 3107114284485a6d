"""Functions that several processes run together, as `torchrun` starts them."""

from __future__ import annotations

import os
import pickle
import queue
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests import command_line
from tests.faults.trainings import CONTEXT

# Here one wait covers several trainings, and not a single event.
PATIENCE = 3 * command_line.PATIENCE


def together(folder: Path, n_processes: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function` returns in each of several processes, by rank; `folder` is empty and theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    results = CONTEXT.Queue()
    work = (folder / "store", n_processes, results, function, arguments)
    processes = [CONTEXT.Process(target=_run, args=(rank, *work)) for rank in range(n_processes)]
    for process in processes:
        process.start()
    found: dict[int, Any] = {}
    deadline = time.monotonic() + PATIENCE
    try:
        while len(found) < n_processes:
            assert time.monotonic() < deadline, f"only ranks {sorted(found)} ended"
            try:
                rank, result, failure = results.get(timeout=0.5)
            except queue.Empty:
                ended = [process.exitcode for process in processes if process.exitcode]
                assert not ended, f"a process ended with {ended}"
                continue
            assert failure is None, failure
            found[rank] = pickle.loads(result)
    finally:
        for process in processes:
            if len(found) < n_processes:
                process.kill()
            process.join()
    return [found[rank] for rank in range(n_processes)]


def _run(
    rank: int, store: Path, n_processes: int, results: Any, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(n_processes)}
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{store}",
            rank=rank,
            world_size=n_processes,
            timeout=timedelta(seconds=PATIENCE),
        )
        # As bytes: a queue would pass tensors through shared memory, which ends with this process.
        results.put((rank, pickle.dumps(function(*arguments)), None))
        dist.barrier()  # no process ends while another still talks to it
        dist.destroy_process_group()
    except BaseException:
        results.put((rank, None, traceback.format_exc()))

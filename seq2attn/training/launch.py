"""Starts the processes of one training on this machine, as `torchrun` does: `seq2attn train --nproc N`."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from seq2attn.data.workers import available_cores
from seq2attn.device import environment_default
from seq2attn.errors import ConfigError, TrainingError
from seq2attn.training.process_group import launched_processes

_THREADS = "OMP_NUM_THREADS"


def launch(n_processes: int, arguments: Sequence[str]) -> int:
    """Run `seq2attn` with `arguments` in processes that train together; returns the exit code of the first to fail.

    A process that fails ends the others: they get SIGTERM, and after 30 seconds SIGKILL. A signal to this process is
    passed on to all of them.

    Raises: TrainingError where a process was killed; ConfigError where `torchrun` has started this process.
    """
    if launched_processes() > 1:
        raise ConfigError(f"--nproc {n_processes}: torchrun has started {launched_processes()} processes already")
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    threads = str(max(1, available_cores() // n_processes))
    with _quiet(), environment_default(_THREADS, threads), tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            *(1, 1, n_processes),  # nodes, at least and at most, and processes on each
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",  # otherwise a look-up of this machine's name, which may have no address
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "seq2attn", *arguments)
        except SignalException as stop:
            return 128 + stop.sigval
        except ChildFailedError as error:
            rank, failure = min(error.failures.items(), key=lambda item: item[1].timestamp)
            if failure.exitcode >= 0:
                return failure.exitcode
            raise TrainingError(
                f"process {rank} of {n_processes} was ended by {signal.Signals(-failure.exitcode).name}; continue from "
                "the last checkpoint with --resume"
            ) from None
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's log of the processes: each of them reports its own errors."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)

"""A driver as the benchmark sees it: a process that does a round of work when asked, and nothing in between."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seq2attn.benchmark.machine import Timing
from seq2attn.errors import Seq2AttnError

ROOT = Path(__file__).parent.parent.parent

# Threads of the process that worked before spin for up to 0.2 s until they sleep.
_PAUSE_SECONDS = 0.3
_END_SECONDS = 10.0


class DriverError(Seq2AttnError):
    """A driver that ended too early."""


@dataclass(frozen=True)
class DriverCall:
    """How a driver is started."""

    python: Path
    """The interpreter of its environment."""
    module: str
    arguments: Sequence[str] = ()


class Driver:
    """A running driver; leaving its context ends it."""

    def __init__(self, name: str, call: DriverCall, assignment: Path, threads: int) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [call.python, "-m", call.module, assignment, *call.arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        """Wait until it is ready; then `about` holds its versions and its number of parameters."""
        self.about = self._answer()
        return self

    def round(self, work: str) -> Timing:
        """A round of `work`.

        Raises: DriverError where the driver ends instead.
        """
        assert self.process.stdin is not None
        time.sleep(_PAUSE_SECONDS)
        self.process.stdin.write(f"{work}\n")
        self.process.stdin.flush()
        answer = self._answer()
        return Timing(answer["seconds"], answer["tokens"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process: by the end of its input, or by force."""
        try:
            self.process.communicate(timeout=_END_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise DriverError(f"{self.name}: its process ended with exit code {self.process.wait()}; see above for why")
        answer: dict[str, Any] = json.loads(line)
        return answer

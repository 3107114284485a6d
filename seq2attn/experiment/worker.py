"""The process of one training among several: it reports to the process that started it, and stops when that ends

The training arrives on stdin, which then stays open as long as the other process lives. Reports leave on stdout. Both
are lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from seq2attn import errors
from seq2attn.config.schema import Config
from seq2attn.device import choose_device
from seq2attn.errors import Seq2AttnError, TrainingError, is_out_of_memory
from seq2attn.experiment.evaluate import Ahead, translate_ahead
from seq2attn.experiment.pictures import Pictures
from seq2attn.runs.folder import RunFolder
from seq2attn.training.log import Backend
from seq2attn.training.train import train

_SECONDS_BETWEEN_REPORTS = 0.2


@dataclass(frozen=True)
class Assignment:
    """What to train, where, on which device, and what to translate then. A run in the folder is resumed."""

    config: Config
    run: Path
    device_name: str
    ahead: Ahead | None = None

    def to_line(self) -> bytes:
        """For `from_line`."""
        ahead = None if self.ahead is None else asdict(self.ahead)
        fields = {"config": self.config.model_dump(mode="json"), "run": str(self.run), "device_name": self.device_name}
        return json.dumps({**fields, "ahead": ahead}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Assignment:
        """What `to_line` wrote."""
        fields = json.loads(line)
        ahead = None if fields["ahead"] is None else Ahead(**fields["ahead"])
        return cls(Config.model_validate(fields["config"]), Path(fields["run"]), fields["device_name"], ahead)


@dataclass(frozen=True)
class Message:
    """A line for people."""

    text: str


@dataclass(frozen=True)
class ProgressReport:
    """How far the training is; see `Backend.progress`."""

    share: float
    text: str
    seconds_left: float


@dataclass(frozen=True)
class Ended:
    """The last report."""

    stopped_by: int | None = None
    """The signal that interrupted the training."""
    error: Seq2AttnError | None = None
    """Why it failed."""


Report = Message | ProgressReport | Ended


def report_to_line(report: Report) -> bytes:
    """For `report_from_line`."""
    fields: dict[str, object] = dict(vars(report))
    if isinstance(report, Ended) and report.error is not None:
        fields["error"] = [type(report.error).__name__, str(report.error)]
    return json.dumps([type(report).__name__, fields]).encode() + b"\n"


def report_from_line(line: bytes) -> Report:
    """What `report_to_line` wrote.

    Raises: ValueError for half a line, as a process that is killed may leave.
    """
    kind, fields = json.loads(line)
    if kind != "Ended":
        return {"Message": Message, "ProgressReport": ProgressReport}[kind](**fields)
    if fields["error"] is not None:
        name, text = fields["error"]
        fields["error"] = getattr(errors, name)(text)
    return Ended(**fields)


class Reports(Backend):
    """Sends reports to the other process. Where it has ended, they are dropped."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = -_SECONDS_BETWEEN_REPORTS
        self._translates = ""
        self._began = 0.0

    def message(self, text: str) -> None:
        """Send a line."""
        self.send(Message(text))

    def progress(self, share: float, text: str, seconds_left: float) -> None:
        """Send the progress, unless it was sent a moment ago."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = time.monotonic()
            self.send(ProgressReport(share, text, seconds_left))

    def translated(self, what: str, sentences: int, total: int) -> None:
        """Send how far a translation is; see `TranslationProgress`."""
        if what != self._translates:
            self._translates, self._began = what, time.monotonic()
        if sentences:  # none yet where the first batch has only parts of long ones
            seconds_left = (time.monotonic() - self._began) * (total / sentences - 1)
            self.progress(sentences / total, f"translates {what}", seconds_left)

    def send(self, report: Report) -> None:
        """Send a report of any kind."""
        try:
            self._stream.write(report_to_line(report))
        except OSError:
            return


def main() -> None:
    """Train what stdin says."""
    # Whatever else this process prints belongs on stderr.
    reports = Reports(os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    assignment = Assignment.from_line(sys.stdin.buffer.readline())
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    reports.send(_train(assignment, reports))


def _stop_when_alone() -> None:
    """Ask this process to stop once the other one has ended, however it ended: then stdin is closed."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _train(assignment: Assignment, reports: Reports) -> Ended:
    resume = RunFolder(assignment.run).exists
    try:
        result = train(
            *(assignment.config, assignment.run, assignment.device_name, resume),
            observer=Pictures(),
            display=lambda: reports,
        )
        if assignment.ahead is not None and result.stopped_by is None:
            translate_ahead(assignment.run, assignment.ahead, choose_device(assignment.device_name), reports.translated)
    except Seq2AttnError as error:
        return Ended(error=error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "free some, train fewer models at once (--jobs 1), or make the batches smaller (train.batch_tokens)"
        return Ended(error=TrainingError(f"out of memory; {advice}"))
    return Ended(stopped_by=result.stopped_by)

"""What a training reports: one log with several back ends, among them metrics.jsonl and log.txt."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.schema import Config
from seq2attn.data.cache import write_whole
from seq2attn.data.subwords import Subwords
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.folder import RunFolder
from seq2attn.training.update import Update
from seq2attn.training.validation import FINAL_METRICS, perplexity

Pixels = NDArray[np.uint8]
"""`(height, width, 3)`"""


class Backend:
    """One place that a training reports to. A back end overrides what it can show and ignores the rest."""

    def begin(self, config: Config) -> None:
        """The training of `config` starts or resumes."""

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of update `step`, by name; slashes group the names, as in `loss/train`."""

    def message(self, text: str) -> None:
        """A line for people."""

    def progress(self, share: float, text: str, seconds_left: float) -> None:
        """`share` of the budget is spent; `text` describes the state of the training."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text of update `step`."""

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """An image of update `step`."""

    def histograms(self, step: int, model: Seq2Seq) -> None:
        """The weights of `model` after update `step`."""

    def end(self, model: Seq2Seq, subwords: Subwords) -> None:
        """The training is finished; `model` has its final weights."""

    def close(self) -> None:
        """Close files and displays."""


class TrainingLog(Backend):
    """Passes each report on to all back ends. A context manager, which closes them."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = backends

    def __enter__(self) -> TrainingLog:
        self._excepthook, threading.excepthook = threading.excepthook, _ignore_disk_errors
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            threading.excepthook = self._excepthook

    def begin(self, config: Config) -> None:
        """Report to every back end that the training starts or resumes."""
        for backend in self.backends:
            backend.begin(config)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics; those that are not finite are left out, because JSON has no infinities."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        for backend in self.backends:
            backend.metrics(step, finite)

    def message(self, text: str) -> None:
        """Log a line for people."""
        for backend in self.backends:
            backend.message(text)

    def progress(self, share: float, text: str, seconds_left: float) -> None:
        """Report the progress of the training."""
        for backend in self.backends:
            backend.progress(share, text, seconds_left)

    def text(self, step: int, name: str, markdown: str) -> None:
        """Log a text."""
        for backend in self.backends:
            backend.text(step, name, markdown)

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Log an image."""
        for backend in self.backends:
            backend.image(step, name, pixels)

    def histograms(self, step: int, model: Seq2Seq) -> None:
        """Log the weights of `model`."""
        for backend in self.backends:
            backend.histograms(step, model)

    def end(self, model: Seq2Seq, subwords: Subwords) -> None:
        """Report to every back end that the training is finished."""
        for backend in self.backends:
            backend.end(model, subwords)

    def close(self) -> None:
        """Close every back end, the last one first, even where closing another fails."""
        with ExitStack() as stack:
            for backend in self.backends:
                stack.callback(backend.close)


def _ignore_disk_errors(failure: threading.ExceptHookArgs) -> None:
    """For the thread that writes TensorBoard's files: a full disk is reported where metrics.jsonl meets it."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


class JsonLines(Backend):
    """metrics.jsonl: an object a line. A run that resumes after `first_step` drops the lines of later updates."""

    def __init__(self, folder: RunFolder, first_step: int) -> None:
        path = folder.metrics_file
        if path.is_file():
            lines = path.read_bytes().splitlines(keepends=True)
            write_whole(path, b"".join(line for line in lines if _is_before(line, first_step)))
        self._file = path.open("a", encoding="utf-8")

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write a line with all metrics of the step."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_before(line: bytes, step: int) -> bool:
    """Whether a line was written up to update `step`; a killed process can leave an incomplete one.

    Final metrics follow the last update, and a run that resumes writes them again.
    """
    try:
        metrics = json.loads(line)
        return line.endswith(b"\n") and metrics["step"] <= step and metrics.keys().isdisjoint(FINAL_METRICS)
    except (ValueError, KeyError, TypeError):
        return False


class LogFile(Backend):
    """log.txt: messages, each with its time."""

    def __init__(self, folder: RunFolder) -> None:
        self._file = folder.log_file.open("a", encoding="utf-8")

    def message(self, text: str) -> None:
        """Write a line, preceded by the time."""
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MetricsWindow:
    """Training metrics since the last report."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.losses: list[float] = []
        self.unsmoothed_losses: list[float] = []
        self.norms: list[float] = []
        self.tokens = 0
        self.padding = 0
        self.positions = 0
        self.learning_rate = 0.0

    def add(self, update: Update, learning_rate: float, source_tokens: int, positions: int) -> None:
        """Count one update on `positions` of both sides, of which `source_tokens` are real source tokens."""
        self.losses.append(update.loss)
        self.unsmoothed_losses.append(update.unsmoothed_loss)
        self.norms.append(update.norm)
        self.tokens += update.target_tokens
        self.padding += positions - source_tokens - update.target_tokens
        self.positions += positions
        self.learning_rate = learning_rate

    def state_dict(self) -> dict[str, Any]:
        """The counts so far, so that a resumed run reports what an uninterrupted one would."""
        return {key: value for key, value in vars(self).items() if key != "started"} | {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the counts that `state_dict` returned."""
        vars(self).update({key: value for key, value in state.items() if key != "seconds"})
        self.started = time.monotonic() - state["seconds"]

    @property
    def seconds(self) -> float:
        """Time since the last report."""
        return time.monotonic() - self.started

    def loss(self) -> float:
        """Mean loss of the updates, in nats per target token."""
        return sum(self.losses) / max(1, len(self.losses))

    def rate(self) -> float:
        """Target tokens per second."""
        return self.tokens / max(1e-9, self.seconds)

    def metrics(self) -> dict[str, float]:
        """Everything by metric name; empty where there was no update."""
        if not self.losses:
            return {}
        return {
            "loss/train": self.loss(),
            "perplexity/train": perplexity(sum(self.unsmoothed_losses) / len(self.unsmoothed_losses)),
            "optimizer/gradient_norm": sum(self.norms) / len(self.norms),
            "optimizer/learning_rate": self.learning_rate,
            "speed/target_tokens_per_second": self.rate(),
            "speed/padding_share": self.padding / self.positions,
        }

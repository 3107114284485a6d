"""Where a training's figures and words go: metrics.jsonl, TensorBoard, log.txt and the terminal."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from seq2attn.data.cache import write_whole
from seq2attn.runs.folder import RunFolder
from seq2attn.training.board import Board
from seq2attn.training.update import Update
from seq2attn.training.validation import FINAL_FIGURES, perplexity

_PLAIN_LINE_SECONDS = 60.0


class TrainingLog:
    """Figures for programs, words for people. A resumed run goes on after `first_step`; later lines are cut off."""

    def __init__(self, folder: RunFolder, first_step: int, quiet: bool = False) -> None:
        self._drop_lines_after(folder, first_step)
        self._metrics = folder.metrics_file.open("a", encoding="utf-8")
        self._words = folder.log_file.open("a", encoding="utf-8")
        self.board = Board(folder.tensorboard, first_step)
        self.display = _Display(quiet)

    def __enter__(self) -> TrainingLog:
        self._excepthook, threading.excepthook = threading.excepthook, _say_nothing_of_disks
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.close()
        try:
            self.board.close()
            self._metrics.close()
            self._words.close()
        finally:
            threading.excepthook = self._excepthook

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep `figures` of update `step`; their names are grouped by slashes, as in `loss/train`.

        JSON has no infinities: a figure that is not finite is left out.
        """
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        self._metrics.write(json.dumps({"step": step, **finite}) + "\n")
        self._metrics.flush()
        self.board.figures(step, finite)

    def say(self, words: str) -> None:
        """A line for people."""
        self._words.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n")
        self._words.flush()
        self.display.say(words)

    @staticmethod
    def _drop_lines_after(folder: RunFolder, first_step: int) -> None:
        if not folder.metrics_file.is_file():
            return
        lines = folder.metrics_file.read_bytes().splitlines(keepends=True)
        write_whole(folder.metrics_file, b"".join(line for line in lines if _is_before(line, first_step)))


def _is_before(line: bytes, step: int) -> bool:
    """Whether a line of metrics was written up to update `step`; a kill can leave one that is cut short.

    The final figures come after the last update, and a run that goes on will write them anew.
    """
    try:
        figures = json.loads(line)
        return line.endswith(b"\n") and figures["step"] <= step and figures.keys().isdisjoint(FINAL_FIGURES)
    except (ValueError, KeyError, TypeError):
        return False


def _say_nothing_of_disks(failure: threading.ExceptHookArgs) -> None:
    """For the thread that writes the event files: the same full disk is told where the metrics meet it."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


class Window:
    """Training figures since the last report."""

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
        """Count one update, of batches with `positions` on both sides, `source_tokens` of them real on the source's."""
        self.losses.append(update.loss)
        self.unsmoothed_losses.append(update.unsmoothed_loss)
        self.norms.append(update.norm)
        self.tokens += update.target_tokens
        self.padding += positions - source_tokens - update.target_tokens
        self.positions += positions
        self.learning_rate = learning_rate

    def state_dict(self) -> dict[str, Any]:
        """The figures so far, so that a resumed run reports them as if it had never stopped."""
        return {key: value for key, value in vars(self).items() if key != "started"} | {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        vars(self).update({key: value for key, value in state.items() if key != "seconds"})
        self.started = time.monotonic() - state["seconds"]

    @property
    def seconds(self) -> float:
        """Time since the last report."""
        return time.monotonic() - self.started

    def loss(self) -> float:
        """Mean loss of the updates, in nats for a target token."""
        return sum(self.losses) / max(1, len(self.losses))

    def rate(self) -> float:
        """Target tokens a second."""
        return self.tokens / max(1e-9, self.seconds)

    def figures(self) -> dict[str, float]:
        """Everything under the names that it is kept by; nothing where there was no update."""
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


class _Display:
    """A live bar on a terminal, a plain line a minute elsewhere; on stderr either way."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self.bar: Progress | None = None
        self._last_line = time.monotonic()
        if not quiet and sys.stderr.isatty():
            # The bar takes the room that the words leave.
            words = TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True))
            columns = (BarColumn(bar_width=None), TaskProgressColumn(), words)
            self.bar = Progress(*columns, console=self.console, transient=True, expand=True)
            self.bar.add_task("training", total=1.0, words="")
            self.bar.start()

    def advance(self, share: float, words: str, seconds_left: float) -> None:
        """Show that `share` of the budget is spent."""
        line = f"{words} · {timedelta(seconds=round(seconds_left))} left"
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=share, words=line)
        elif time.monotonic() - self._last_line > _PLAIN_LINE_SECONDS:
            self.say(f"{share:4.0%} · {line}")

    def say(self, words: str) -> None:
        """Print a line, above the bar where there is one."""
        if not self.quiet:
            self._last_line = time.monotonic()
            self.console.print(words, soft_wrap=True, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()

"""Trainings on stderr: a live bar each on a terminal, elsewhere plain lines"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from seq2attn.training.log import Backend

_PLAIN_LINE_SECONDS = 60.0
_BAR_COLUMNS = 16


class Screen:
    """Stderr, which several displays may share. A context manager, which removes all bars.

    `named`: each bar has a name in front.
    """

    def __init__(self, named: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self.bars: Progress | None = None
        self._count: TaskID | None = None
        if sys.stderr.isatty():
            columns = _columns_with_names() if named else _columns()
            self.bars = Progress(*columns, console=self._console, transient=True, expand=not named)
            self.bars.start()

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def print(self, text: str) -> None:
        """Print a line, above the bars if there are bars."""
        self._console.print(text, soft_wrap=True, markup=False)

    def count(self, trained: int, total: int) -> None:
        """Show how many of all trainings are finished: a bar on a terminal, elsewhere a line after each."""
        text = f"{trained} of {total} trained"
        if self.bars is None:
            if trained:
                self.print(text)
        elif self._count is None:
            self._count = self.bars.add_task(text, total=total, completed=trained, text="")
        else:
            self.bars.update(self._count, completed=trained, description=text)

    def close(self) -> None:
        """Remove all bars."""
        if self.bars is not None:
            self.bars.stop()


def _one_line(field: str) -> TextColumn:
    return TextColumn(f"{{task.{field}}}", table_column=Column(no_wrap=True))


def _columns() -> tuple[ProgressColumn, ...]:
    # The bar takes the width that the text leaves.
    return BarColumn(bar_width=None), TaskProgressColumn(), _one_line("fields[text]")


def _columns_with_names() -> tuple[ProgressColumn, ...]:
    return _one_line("description"), BarColumn(_BAR_COLUMNS), TaskProgressColumn(), _StateColumn()


class _StateColumn(ProgressColumn):
    """The state of a training; where there is no room, its end is cut off."""

    def render(self, task: Task) -> Text:
        # The column may shrink, unlike the others, so it is its text that does not wrap.
        return Text(task.fields["text"], no_wrap=True, overflow="ellipsis")


class Display(Backend):
    """Messages and progress of one training: a live bar on a terminal, elsewhere a plain line a minute.

    Args:
        screen: where to show them, if it is shared with others; closing the display then removes its bar alone.
        name: precedes every message.
    """

    def __init__(self, screen: Screen | None = None, name: str | None = None) -> None:
        self._screen = Screen() if screen is None else screen
        self._owns_screen = screen is None
        self._name = name
        self._last_line = time.monotonic()
        self._bar: TaskID | None = None
        if self._screen.bars is not None:
            self._bar = self._screen.bars.add_task(name or "training", total=1.0, text="")

    def progress(self, share: float, text: str, seconds_left: float) -> None:
        """Update the bar, or print a line if the last one is a minute old."""
        left = f"{timedelta(seconds=round(seconds_left))} left"
        if self._screen.bars is not None and self._bar is not None:
            # Beside a name there is less room, and the end is cut off first.
            line = f"{text} · {left}" if self._name is None else f"{left} · {text}"
            self._screen.bars.update(self._bar, completed=share, text=line)
        elif time.monotonic() - self._last_line > _PLAIN_LINE_SECONDS:
            self.message(f"{share:4.0%} · {text} · {left}")

    def message(self, text: str) -> None:
        """Print a line, above the bar if there is a bar."""
        self._last_line = time.monotonic()
        # The first message of a training starts with the name already.
        named = self._name is None or text.startswith(f"{self._name}: ")
        self._screen.print(text if named else f"{self._name}: {text}")

    def close(self) -> None:
        """Remove the bar."""
        if self._owns_screen:
            self._screen.close()
        elif self._screen.bars is not None and self._bar is not None:
            self._screen.bars.remove_task(self._bar)

"""Progress on stderr: bars on a terminal; elsewhere nothing, or a line per minute where the total is unknown."""

from __future__ import annotations

import codecs
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


ReportProgress = Callable[[str, int, int], None]
"""Takes the name of a part, how much of it is finished, and its total."""

_PLAIN_LINE_SECONDS = 60.0


def translation_progress() -> AbstractContextManager[ReportProgress]:
    """A bar for each system, counting the sentences it has translated."""
    return named_progress("translating")


@contextmanager
def named_progress(activity: str) -> Iterator[ReportProgress]:
    """A bar for each part, labelled `activity: part`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    tasks: dict[str, TaskID] = {}

    def report(name: str, finished: int, total: int) -> None:
        if not tasks:
            bar.start()  # not earlier: training, which may come first, shows its own bar
        if name not in tasks:
            tasks[name] = bar.add_task(f"{activity}: {name}", total=total)
        bar.update(tasks[name], completed=finished)

    try:
        yield report
    finally:
        if tasks:
            bar.stop()


@contextmanager
def line_progress() -> Iterator[Callable[[int], None]]:
    """A function that takes the number of lines translated so far; the total is unknown.

    It shows a count on a terminal, unless the translations themselves appear there.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} lines translated"))
    hidden = not sys.stderr.isatty() or sys.stdout.isatty()
    last_line = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as count:
        task = count.add_task("", total=None)

        def report(lines: int) -> None:
            nonlocal last_line
            count.update(task, completed=lines)
            if not sys.stderr.isatty() and time.monotonic() - last_line > _PLAIN_LINE_SECONDS:
                last_line = time.monotonic()
                print(f"{lines:,} lines translated", file=sys.stderr)

        yield report


# Without a terminal, rich assumes 80 columns and cuts off wider tables. No table is as wide as this.
_COLUMNS_OFF_TERMINAL = 10_000
_PLAIN = str.maketrans({"–": "-", "−": "-", "·": "-", "×": "x", "±": "+-", "…": "...", "≤": "<="})


def results_console() -> Console:
    """Standard output, as wide as the terminal, and of unlimited width elsewhere.

    Characters that its encoding lacks are replaced by ASCII ones.
    """
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_write_plainly.__name__)
    return Console(width=None if sys.stdout.isatty() else _COLUMNS_OFF_TERMINAL)


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    """An error handler for codecs: the ASCII replacement of what cannot be encoded, and where to continue."""
    assert isinstance(error, UnicodeEncodeError)
    plain = error.object[error.start : error.end].translate(_PLAIN)
    return plain.encode("ascii", "replace").decode(), error.end


codecs.register_error(_write_plainly.__name__, _write_plainly)

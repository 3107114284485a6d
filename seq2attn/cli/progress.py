"""Progress of a translation on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def translation_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function that is told a system's name, how many sentences it has translated, and of how many."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    tasks: dict[str, TaskID] = {}

    def report(name: str, finished: int, total: int) -> None:
        if not tasks:
            bar.start()  # not before: a training that comes first shows a bar of its own
        if name not in tasks:
            tasks[name] = bar.add_task(f"translating: {name}", total=total)
        bar.update(tasks[name], completed=finished)

    try:
        yield report
    finally:
        if tasks:
            bar.stop()

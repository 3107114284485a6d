"""Progress on stderr: bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Report = Callable[[str, int, int], None]
"""Is told the name of a part, how much of it is finished, and of how much."""


def translation_progress() -> AbstractContextManager[Report]:
    """Bars of systems and the sentences that each has translated."""
    return named_progress("translating")


@contextmanager
def named_progress(doing: str) -> Iterator[Report]:
    """A bar for each part, described by what is being done to it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    tasks: dict[str, TaskID] = {}

    def report(name: str, finished: int, total: int) -> None:
        if not tasks:
            bar.start()  # not before: a training that comes first shows a bar of its own
        if name not in tasks:
            tasks[name] = bar.add_task(f"{doing}: {name}", total=total)
        bar.update(tasks[name], completed=finished)

    try:
        yield report
    finally:
        if tasks:
            bar.stop()

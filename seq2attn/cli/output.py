"""What commands print: progress on stderr, results on stdout"""

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


from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from seq2attn.evaluation.joined import JoinedSummary
    from seq2attn.results.study import StudyResult
    from seq2attn.results.summary import Summary


ReportProgress = Callable[[str, int, int], None]
"""Takes the name of a part, how much of it is finished, and its total."""

_PLAIN_LINE_SECONDS = 60.0


def translation_progress() -> AbstractContextManager[ReportProgress]:
    """A bar for each system, counting the sentences it has translated."""
    return named_progress("translating")


class Narrator:
    """Tells on stderr what a measurement does: lines that stay, and the bars of `named_progress`."""

    def __init__(self, report: ReportProgress) -> None:
        self.report = report

    def say(self, text: str) -> None:
        """Print a line that stays."""
        typer.echo(text, err=True)


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


_COLUMNS_OF_A_PAGE = 80
_GAP = 3


def print_scores(summary: Summary, plot: bool | None = None) -> None:
    """Print the tables (fitted to a terminal; elsewhere in full width) and sacreBLEU's signatures, one per line.

    `plot`: whether to draw the curve next to or below the first table; None: only on a terminal.
    """
    from seq2attn.report import tables
    from seq2attn.report.bottleneck import bottleneck_table, search_table
    from seq2attn.report.wording import how_resampled

    console, drawn = results_console(), how_resampled(summary)
    if len(summary.systems[0].buckets) > 1 and (console.is_terminal if plot is None else plot):
        _print_curve(summary, console)
    else:
        console.print(tables.terminal_table(summary))
    for metric in summary.metrics[1:]:
        title = tables.metric_title(summary, metric)
        console.print(tables.rich_table(tables.score_table(summary, metric), title, drawn))
    if any(system.slope for system in summary.systems):
        console.print(tables.rich_table(tables.slope_table(summary), "BLEU lost as sentences grow", drawn))
    for metric in dict.fromkeys(difference.metric for difference in summary.differences):
        title = f"{metric} against {summary.differences[0].baseline}, p-values corrected for their number (Holm)"
        console.print(tables.rich_table(tables.difference_table(summary, metric), title, drawn))
    if summary.bottleneck:
        console.print(tables.rich_table(bottleneck_table(summary), "Claims", "Their intervals resample documents."))
    if (searches := search_table(summary)).rows:
        console.print(tables.rich_table(searches, "The bottleneck with other searches"))
    for signature in (summary.signature, *summary.signatures.values()):
        typer.echo(signature)


def print_verdict(summary: Summary) -> None:
    """Print a sentence for each verdict: whether there is a bottleneck, and how well each system keeps its BLEU."""
    from seq2attn.report.bottleneck import lead_sentences

    for sentence in lead_sentences(summary)[1:]:
        typer.echo(f"\n{sentence}")
    typer.echo()


def _print_curve(summary: Summary, console: Console) -> None:
    """Print the first table and the curve, side by side if there is room."""
    from rich.table import Table

    from seq2attn.plots.terminal import FEWEST_COLUMNS, terminal_plot
    from seq2attn.report.tables import terminal_table

    table, plain = terminal_table(summary), console.options.ascii_only
    room = console.width - console.measure(table).maximum - _GAP if console.is_terminal else 0
    if room >= FEWEST_COLUMNS:
        side_by_side = Table.grid(padding=(0, _GAP, 0, 0))
        side_by_side.add_row(table, terminal_plot(summary, room, plain))
        console.print(side_by_side)
    else:
        console.print(table)
        console.print(terminal_plot(summary, min(console.width, _COLUMNS_OF_A_PAGE), plain), crop=False)


def print_joined(summary: JoinedSummary) -> None:
    """Print the tables of joined sentences and sacreBLEU's signature."""
    from seq2attn.report import joined as joined_tables
    from seq2attn.report.tables import rich_table

    console = results_console()
    title = f"BLEU of joined sentences: {summary.corpus}, {summary.split}"
    console.print(rich_table(joined_tables.size_table(summary), f"{title}, by their number"))
    console.print(rich_table(joined_tables.joined_length_table(summary), f"{title}, by length"))
    typer.echo(summary.signature)


def print_study(result: StudyResult) -> None:
    """Print a study: its claims with their verdicts, and its tables but for those that only files show in full."""
    from rich.text import Text

    from seq2attn.report.study import claim_sentence, shown_table
    from seq2attn.report.tables import rich_table

    console = results_console()
    console.print(Text(result.question, style="bold"))
    console.print(Text(result.setting))
    for table in result.tables:
        if not table.in_full:
            console.print(rich_table(shown_table(table), table.title))
    for claim in result.claims:
        console.print(Text(f"\n{claim.claim.text}.", style="bold"), soft_wrap=True)
        console.print(Text(claim_sentence(claim)), soft_wrap=True)
    typer.echo()

"""Prints the scores of an evaluation to stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from seq2attn.cli.progress import results_console

if TYPE_CHECKING:
    from rich.console import Console

    from seq2attn.evaluation.joined import JoinedSummary
    from seq2attn.evaluation.summary import Summary


_COLUMNS_OF_A_PAGE = 80
_GAP = 3


def print_scores(summary: Summary, plot: bool | None = None) -> None:
    """Print the tables (fitted to a terminal; elsewhere in full width) and sacreBLEU's signatures, one per line.

    `plot`: whether to draw the curve next to or below the first table; None: only on a terminal.
    """
    from seq2attn.report import tables

    console = results_console()
    if len(summary.systems[0].buckets) > 1 and (console.is_terminal if plot is None else plot):
        _print_curve(summary, console)
    else:
        console.print(tables.terminal_table(summary))
    for metric in summary.metrics[1:]:
        console.print(tables.rich_table(tables.score_table(summary, metric), tables.metric_title(summary, metric)))
    if any(system.slope for system in summary.systems):
        console.print(tables.rich_table(tables.slope_table(summary), "BLEU lost as sentences grow"))
    for metric in dict.fromkeys(difference.metric for difference in summary.differences):
        title = f"{metric} against {summary.differences[0].baseline}, p-values corrected for their number (Holm)"
        console.print(tables.rich_table(tables.difference_table(summary, metric), title))
    for signature in (summary.signature, *summary.signatures.values()):
        typer.echo(signature)


def print_verdict(summary: Summary) -> None:
    """Print in two sentences whether the figure shows the bottleneck, and how well each system keeps its BLEU."""
    from seq2attn.report.wording import three_sentences

    for sentence in three_sentences(summary)[1:]:
        typer.echo(f"\n{sentence}")
    typer.echo()


def _print_curve(summary: Summary, console: Console) -> None:
    """Print the first table and the curve, side by side if there is room."""
    from rich.table import Table

    from seq2attn.report.tables import terminal_table
    from seq2attn.report.terminal import FEWEST_COLUMNS, terminal_plot

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

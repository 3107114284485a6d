"""The scores of an evaluation on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from seq2attn.cli.console import results_console

if TYPE_CHECKING:
    from seq2attn.evaluation.joined import JoinedSummary
    from seq2attn.evaluation.summary import Summary


def print_scores(summary: Summary) -> None:
    """Print the tables, fitted to a terminal and whole anywhere else, and sacreBLEU's signatures, each on its line."""
    from seq2attn.evaluation import tables

    console = results_console()
    console.print(tables.terminal_table(summary))
    for curve in summary.systems[0].beside:
        console.print(tables.rich_table(tables.beside_table(summary, curve.metric), tables.metric_title(curve)))
    if any(system.slope for system in summary.systems):
        console.print(tables.rich_table(tables.slope_table(summary), "BLEU lost as sentences grow"))
    for metric in dict.fromkeys(one.metric for one in summary.differences):
        title = f"{metric} against {summary.differences[0].baseline}, p-values corrected for their number (Holm)"
        console.print(tables.rich_table(tables.difference_table(summary, metric), title))
    for signature in (summary.signature, *summary.signatures.values()):
        typer.echo(signature)


def print_joined(summary: JoinedSummary) -> None:
    """Print the tables of joined sentences and sacreBLEU's signature."""
    from seq2attn.evaluation import joined_tables
    from seq2attn.evaluation.tables import rich_table

    console = results_console()
    title = f"BLEU of joined sentences: {summary.corpus}, {summary.split}"
    console.print(rich_table(joined_tables.size_table(summary), f"{title}, by their number"))
    console.print(rich_table(joined_tables.joined_length_table(summary), f"{title}, by length"))
    typer.echo(summary.signature)

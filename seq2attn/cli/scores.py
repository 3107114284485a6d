"""The scores of an evaluation on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from seq2attn.cli.console import results_console

if TYPE_CHECKING:
    from seq2attn.evaluation.summary import Summary


def print_scores(summary: Summary) -> None:
    """Print the table, fitted to a terminal and whole anywhere else, and sacreBLEU's signature on one line."""
    from seq2attn.evaluation.tables import terminal_table

    results_console().print(terminal_table(summary))
    typer.echo(summary.signature)

"""The scores of an evaluation on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from seq2attn.evaluation.summary import Summary

# Rich takes 80 columns where there is no terminal and cuts off what is wider. Nothing that is scored needs this many.
_COLUMNS_OFF_TERMINAL = 10_000


def print_scores(summary: Summary) -> None:
    """Print the table, fitted to a terminal and whole anywhere else, and sacreBLEU's signature on one line."""
    from rich.console import Console

    from seq2attn.evaluation.tables import terminal_table

    console = Console(width=None if sys.stdout.isatty() else _COLUMNS_OFF_TERMINAL)
    console.print(terminal_table(summary))
    typer.echo(summary.signature)

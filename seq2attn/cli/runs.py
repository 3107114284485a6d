"""`seq2attn runs` and `seq2attn compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.progress import results_console


def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of runs, however deep, or a run.", show_default="runs")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List runs, the newest first: model, text, steps, BLEU, age, size, and whether they came to their end."""
    from seq2attn.cli.run_tables import list_table
    from seq2attn.runs.folder import RUNS
    from seq2attn.runs.listing import list_runs

    place = folder or RUNS
    found = list_runs(place)
    if as_json:
        typer.echo(found.to_json())
        return
    if found.runs:
        results_console().print(list_table(found.runs, place))
    for broken in found.broken:
        typer.echo(f"seq2attn: {broken.reason}", err=True)


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, two or more.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show which settings of runs differ, and what became of loss, BLEU, speed, time and size."""
    from seq2attn.cli.run_tables import figure_table, setting_table
    from seq2attn.report.tables import rich_table
    from seq2attn.runs.listing import compare_runs

    comparison = compare_runs(paths)
    if as_json:
        typer.echo(comparison.to_json())
        return
    console = results_console()
    if comparison.settings:
        console.print(rich_table(setting_table(comparison), "What differs"))
    else:
        console.print("No setting differs.")
    console.print(rich_table(figure_table(comparison), "What became of it, beside the first"))
    for note in comparison.notes:
        typer.echo(note, err=True)

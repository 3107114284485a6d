"""`seq2attn runs` and `seq2attn compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import JsonOption
from seq2attn.cli.progress import results_console


def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="A run, or a folder with runs at any depth.", show_default="runs")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first: model, corpus, steps, BLEU, age, size and state."""
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
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, two or more.")],
    as_json: JsonOption = False,
) -> None:
    """Compare runs: the settings that differ, and the resulting loss, BLEU, speed, time and size."""
    from seq2attn.cli.run_tables import metric_table, setting_table
    from seq2attn.report.tables import rich_table
    from seq2attn.runs.listing import compare_runs

    comparison = compare_runs(paths)
    if as_json:
        typer.echo(comparison.to_json())
        return
    console = results_console()
    if comparison.settings:
        console.print(rich_table(setting_table(comparison), "Settings that differ"))
    else:
        console.print("No setting differs.")
    console.print(rich_table(metric_table(comparison), "Results, compared with the first run"))
    for note in comparison.notes:
        typer.echo(note, err=True)

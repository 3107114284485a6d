"""`seq2attn dashboard`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

_LOOK_SECONDS = 0.1


def dashboard(
    runs: Annotated[Path | None, typer.Argument(help="Folder of runs, or a run.", show_default="runs")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="0: any that is free.", show_default="the first free one from 6006"),
    ] = None,
) -> None:
    """Show runs in TensorBoard, those still in training too; Ctrl-C ends it."""
    from seq2attn.experiment.dashboard import start_dashboard
    from seq2attn.runs.folder import RUNS
    from seq2attn.training.signals import StopRequest

    with StopRequest() as stop:
        typer.echo(start_dashboard(runs or RUNS, port))
        typer.echo("Ctrl-C ends it", err=True)
        while stop.signal_number is None:
            time.sleep(_LOOK_SECONDS)
    raise typer.Exit(128 + stop.signal_number)

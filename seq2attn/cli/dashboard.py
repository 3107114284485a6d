"""`seq2attn dashboard`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

_POLL_SECONDS = 0.1


def dashboard(
    runs: Annotated[Path | None, typer.Argument(help="A run, or a folder of runs.", show_default="runs")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 takes any free one.", show_default="the first free one from 6006"),
    ] = None,
) -> None:
    """Show runs in TensorBoard, including those still training. Stop it with Ctrl-C."""
    from seq2attn.experiment.dashboard import start_dashboard
    from seq2attn.runs.folder import RUNS
    from seq2attn.training.signals import StopRequest

    with StopRequest() as stop:
        typer.echo(start_dashboard(runs or RUNS, port))
        typer.echo("press Ctrl-C to stop", err=True)
        while stop.signal_number is None:
            time.sleep(_POLL_SECONDS)
    raise typer.Exit(128 + stop.signal_number)

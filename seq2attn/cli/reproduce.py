"""`seq2attn reproduce`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.progress import translation_progress
from seq2attn.cli.score_tables import print_joined, print_scores, print_verdict
from seq2attn.cli.train import Device


def reproduce(
    preset: Annotated[
        str,
        typer.Option(
            help="smoke (2 minutes), quick (an hour on 2 cores), or another folder in configs/; the README lists them."
        ),
    ] = "quick",
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Training budget of each model.")] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Trainings of each model, with seeds that follow each other; the curve is a mean."),
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder.", show_default="results/PRESET")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a setting of every model.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Train the models of a preset and draw BLEU over sentence length. What is there already is reused."""
    from seq2attn.experiment.reproduce import Interrupted
    from seq2attn.experiment.reproduce import reproduce as run_experiment

    command = shlex.join(["seq2attn", *sys.argv[1:]])
    folder = out or Path("results") / preset
    try:
        with translation_progress() as report:
            result = run_experiment(preset, folder, device.value, command, report, minutes, overrides or [], seeds)
    except Interrupted as stop:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(128 + stop.signal_number) from None
    print_scores(result.evaluation.summary)
    print_verdict(result.evaluation.summary)
    if result.joined is not None:
        print_joined(result.joined)
    for name, path in result.paths.items():
        typer.echo(f"{name}: {path}")

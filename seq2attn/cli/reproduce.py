"""`seq2attn reproduce`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption, JobsOption, OverridesOption, parse_jobs
from seq2attn.cli.output import print_joined, print_scores, print_verdict, translation_progress


def reproduce(
    preset: Annotated[
        str,
        typer.Option(
            help="smoke (2 minutes), quick (half an hour on 2 cores), or another folder in configs/ (see the README)."
        ),
    ] = "quick",
    minutes: Annotated[float | None, typer.Option(min=0.001, help="Training budget of each model, in minutes.")] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Train each model with this many consecutive seeds; the curve shows their mean."),
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Output folder.", show_default="results/PRESET")] = None,
    jobs: JobsOption = "auto",
    overrides: OverridesOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Train the models of a preset and plot BLEU by sentence length. Finished runs are reused, stopped ones resumed."""
    from seq2attn.experiment.reproduce import reproduce as run_experiment
    from seq2attn.experiment.side_by_side import Interrupted

    command = shlex.join(["seq2attn", *sys.argv[1:]])
    n_jobs = parse_jobs(jobs)
    folder = out or Path("results") / preset
    try:
        with translation_progress() as report_progress:
            result = run_experiment(
                preset, folder, device.value, command, report_progress, minutes, overrides or [], seeds, n_jobs
            )
    except Interrupted as stop:
        typer.echo("stopped; run the same command again to resume", err=True)
        raise typer.Exit(128 + stop.signal_number) from None
    print_scores(result.evaluation.summary)
    print_verdict(result.evaluation.summary)
    if result.joined is not None:
        print_joined(result.joined)
    for name, path in result.paths.items():
        typer.echo(f"{name}: {path}")

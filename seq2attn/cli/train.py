"""`seq2attn train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption


def train(
    config: Annotated[Path, typer.Argument(help="YAML configuration, such as configs/smoke/rnn_attention.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a setting; may be repeated.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the newest checkpoint.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Run of the same model whose weights and subwords a new run starts with, as after pruning.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Use only deterministic operations on a GPU; some are slower.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.001, help="Training budget in minutes; the learning-rate schedule is fitted to it."),
    ] = None,
    nproc: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that train together on this machine, a GPU each; `torchrun` is for several machines."
        ),
    ] = 1,
) -> None:
    """Train one model and write everything about it to a run folder."""
    from seq2attn.config.load import load_config, replace_budget
    from seq2attn.experiment.pictures import Pictures
    from seq2attn.runs.folder import RunFolder
    from seq2attn.training.launch import launch
    from seq2attn.training.process_group import launched_processes, launched_rank
    from seq2attn.training.train import check_shareable
    from seq2attn.training.train import train as run_training

    settings = load_config(config, [*(overrides or []), *["train.deterministic=true"] * deterministic])
    if minutes is not None:
        settings = replace_budget(settings, minutes)
    folder = run_dir or RunFolder.named(str(settings.name)).path
    if nproc not in (1, launched_processes()):
        check_shareable(settings.train, nproc)
        raise typer.Exit(launch(nproc, sys.argv[1:]))
    reports = launched_rank() == 0
    if reports and resume and not RunFolder(folder).exists:
        typer.echo(f"{folder}: no run to resume; starting a new one", err=True)
    result = run_training(settings, folder, device.value, resume, observer=Pictures(), start_from=start_from)
    if result.stopped_by is not None:
        if reports:
            typer.echo(f"stopped after step {result.steps}; run the same command with --resume to continue", err=True)
        raise typer.Exit(128 + result.stopped_by)
    if reports:
        typer.echo(str(folder))

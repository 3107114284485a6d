"""`seq2attn train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where the numbers are computed."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def train(
    config: Annotated[Path, typer.Argument(help="A YAML file, such as configs/smoke/rnn_attention.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits every time on a GPU too, where it costs some speed.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0.001, help="Budget; the learning rate falls to its end within it.")
    ] = None,
) -> None:
    """Train one model; everything about it lands in its run folder."""
    from seq2attn.config.load import load_config, replace_budget
    from seq2attn.runs.folder import RunFolder
    from seq2attn.training.train import train as run_training

    settings = load_config(config, [*(overrides or []), *["train.deterministic=true"] * deterministic])
    if minutes is not None:
        settings = replace_budget(settings, minutes)
    folder = run_dir or RunFolder.named(str(settings.name)).path
    if resume and not RunFolder(folder).exists:
        typer.echo(f"{folder}: no run to go on with yet; this starts one", err=True)
    result = run_training(settings, folder, device.value, resume)
    if result.stopped_by is not None:
        typer.echo(f"stopped after step {result.steps}; the same command with --resume goes on", err=True)
        raise typer.Exit(128 + result.stopped_by)
    typer.echo(str(folder))

"""`seq2attn export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Program(StrEnum):
    """What reads the exported model."""

    ctranslate2 = "ctranslate2"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run of a transformer.")],
    program: Annotated[Program, typer.Option("--to", help="The program that is to read the model.")],
    out: Annotated[Path, typer.Option(help="A new folder for it.")],
) -> None:
    """Write a trained transformer for a program that translates faster."""
    from seq2attn.device import choose_device
    from seq2attn.export.ctranslate2 import export_ctranslate2
    from seq2attn.runs.folder import load_run

    trained = load_run(run, choose_device("cpu"))
    match program:
        case Program.ctranslate2:
            export_ctranslate2(trained, out)
    typer.echo(str(out))

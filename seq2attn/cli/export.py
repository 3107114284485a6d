"""`seq2attn export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Program(StrEnum):
    """Programs that read the exported model."""

    ctranslate2 = "ctranslate2"
    onnx = "onnx"
    transformers = "transformers"


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    program: Annotated[Program, typer.Option("--to", help="Program to export for.")],
    out: Annotated[Path, typer.Option(help="New folder to write the model to.")],
    push: Annotated[
        str | None,
        typer.Option(
            help="With --to transformers: upload it to this repository of the Hugging Face hub, as in user/model; "
            "created private unless it exists.",
            show_default="upload nothing",
        ),
    ] = None,
) -> None:
    """Export a trained model: to ONNX (all models), or to CTranslate2 or Hugging Face's transformers (transformers)."""
    from seq2attn.device import choose_device
    from seq2attn.errors import ConfigError
    from seq2attn.export.ctranslate2 import export_ctranslate2
    from seq2attn.export.hub import check_name, upload
    from seq2attn.export.onnx import export_onnx
    from seq2attn.export.transformers import export_transformers
    from seq2attn.runs.folder import load_run

    if push is not None:
        if program != Program.transformers:
            raise ConfigError(f"--push {push}: only --to transformers can be uploaded")
        check_name(push)
    trained = load_run(run, choose_device("cpu"))
    match program:
        case Program.ctranslate2:
            export_ctranslate2(trained, out)
        case Program.onnx:
            export_onnx(trained, out)
        case Program.transformers:
            export_transformers(trained, out, push)
    typer.echo(str(out))
    if push is not None:
        typer.echo(upload(out, push))

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


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    program: Annotated[Program, typer.Option("--to", help="Program to export for.")],
    out: Annotated[Path, typer.Option(help="New folder to write the model to.")],
) -> None:
    """Export a trained model to another program: CTranslate2 (transformers), or ONNX (all models)."""
    from seq2attn.device import choose_device
    from seq2attn.export.ctranslate2 import export_ctranslate2
    from seq2attn.export.onnx import export_onnx
    from seq2attn.runs.folder import load_run

    trained = load_run(run, choose_device("cpu"))
    match program:
        case Program.ctranslate2:
            export_ctranslate2(trained, out)
        case Program.onnx:
            export_onnx(trained, out)
    typer.echo(str(out))

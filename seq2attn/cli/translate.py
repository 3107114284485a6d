"""`seq2attn translate`."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption
from seq2attn.cli.output import line_progress


def translate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    file: Annotated[Path, typer.Argument(help="Text file, one sentence per line; - is standard input.")] = Path("-"),
    beam: Annotated[int | None, typer.Option(min=1, help="Beam size.", show_default="the run's")] = None,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Translations per sentence, best first. Text output always has N lines each; missing ones are empty.",
        ),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array per line, with scores.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Translate text line by line, in order."""
    from seq2attn.data.files import read_lines
    from seq2attn.data.locations import STANDARD_INPUT
    from seq2attn.decoding.translate import Translator
    from seq2attn.device import choose_device
    from seq2attn.errors import disk_errors
    from seq2attn.runs.folder import load_run

    trained = load_run(run, choose_device(device.value))
    settings = trained.config.decode
    if beam is not None:
        settings = settings.model_copy(update={"beam_size": beam})
    translator = Translator(trained.model, trained.subwords, settings)
    at_prompt = file == STANDARD_INPUT and sys.stdin.isatty()
    lines = _prompt(trained.name) if at_prompt else read_lines(file)
    # At a prompt each answer comes at once; a file is read ahead, to batch sentences of similar length.
    streamed = translator.stream(lines, n_best, read_ahead=1) if at_prompt else translator.stream(lines, n_best)
    number = 0
    with line_progress() as report_lines, disk_errors(Path("standard output")):
        for number, translations in enumerate(streamed, start=1):
            if (parts := translations[0].parts) > 1:
                typer.echo(f"line {number}: too long to translate at once, translated in {parts} parts", err=True)
            if as_json:
                typer.echo(json.dumps([translation.as_json() for translation in translations], ensure_ascii=False))
            else:
                texts = [translation.text for translation in translations]
                typer.echo("\n".join(texts + [""] * (n_best - len(texts))))
            report_lines(number)
    if not number and not at_prompt:
        typer.echo("no lines to translate", err=True)


def _prompt(name: str) -> Iterator[str]:
    """Lines typed at a prompt, until Ctrl-D; a line that is not valid text is reported and skipped."""
    from seq2attn.data.files import decode_line
    from seq2attn.errors import DataError

    typer.echo(f"{name}: type a sentence and press Enter; Ctrl-D to quit", err=True)
    for number in itertools.count(1):
        typer.echo("> ", nl=False, err=True)
        line = sys.stdin.buffer.readline()
        if not line:
            break
        try:
            yield decode_line(line, f"line {number}")
        except DataError as error:
            typer.echo(f"seq2attn: {error}", err=True)
    typer.echo(err=True)

"""`seq2attn translate`."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.progress import line_progress
from seq2attn.cli.train import Device


def translate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    file: Annotated[Path, typer.Argument(help="Text, one sentence a line; - is standard input.")] = Path("-"),
    beam: Annotated[int | None, typer.Option(min=1, help="Beam size.", show_default="the run's")] = None,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Translations of each sentence, best first. As text always N lines, empty where there are fewer.",
        ),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with scores.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Translate text, one line for one line, in order."""
    from dataclasses import asdict

    from seq2attn.data.files import STANDARD_INPUT, read_lines
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
    # A person waits for each answer; a file is read ahead, so that sentences of one length can go together.
    streamed = translator.stream(lines, n_best, read_ahead=1) if at_prompt else translator.stream(lines, n_best)
    number = 0
    with line_progress() as report, disk_errors(Path("standard output")):
        for number, translations in enumerate(streamed, start=1):
            if (parts := translations[0].parts) > 1:
                typer.echo(f"line {number}: very long, so that it was translated in {parts} parts", err=True)
            if as_json:
                typer.echo(json.dumps([asdict(one) for one in translations], ensure_ascii=False))
            else:
                texts = [one.text for one in translations]
                typer.echo("\n".join(texts + [""] * (n_best - len(texts))))
            report(number)
    if not number and not at_prompt:
        typer.echo("no lines to translate", err=True)


def _prompt(name: str) -> Iterator[str]:
    """Lines that a person types, until Ctrl-D; one that is no text is told and left out."""
    from seq2attn.data.files import decode_line
    from seq2attn.errors import DataError

    typer.echo(f"{name}: a sentence and Enter; Ctrl-D to leave", err=True)
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

"""`seq2attn translate`."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption, Precision, PrecisionOption
from seq2attn.cli.output import line_progress

if TYPE_CHECKING:
    from seq2attn.decoding.translate import LineFormat, Translator
    from seq2attn.runs.folder import TrainedRun


def translate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    file: Annotated[
        Path,
        typer.Argument(help="Text file, one sentence per line; - is standard input. With --out also a folder of them."),
    ] = Path("-"),
    beam: Annotated[int | None, typer.Option(min=1, help="Beam size.", show_default="the run's")] = None,
    n_best: Annotated[
        int,
        typer.Option(
            min=1,
            help="Translations per sentence, best first. Text output always has N lines each; missing ones are empty.",
        ),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array per line, with scores.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write to this file, or for a folder to files in this one, once they are complete. "
            "The same command continues after an interruption.",
            show_default="standard output",
        ),
    ] = None,
    nproc: Annotated[
        int | None, typer.Option(min=1, help="With --out: processes that translate, a thread each.", show_default="1")
    ] = None,
    precision: PrecisionOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Translate text line by line, in order."""
    from seq2attn.data.files import read_lines
    from seq2attn.data.locations import STANDARD_INPUT
    from seq2attn.decoding.translate import LineFormat, Translator
    from seq2attn.errors import ConfigError, disk_errors

    choice = ModelChoice(run, device.value, beam, precision)
    form = LineFormat(n_best, as_json)
    if out is not None:
        if file == STANDARD_INPUT:
            raise ConfigError("--out: standard input cannot be read again to continue; give a file or a folder")
        _translate_to_files(choice, form, file, out, nproc or 1)
        return
    if nproc is not None or file.is_dir():
        raise ConfigError(f"{f'--nproc {nproc}' if nproc else file}: say where the translations go with --out")
    trained = _load_run(choice)
    translator = Translator(trained.model, trained.subwords, trained.config.decode)
    at_prompt = file == STANDARD_INPUT and sys.stdin.isatty()
    lines = _prompt(trained.name) if at_prompt else read_lines(file)
    # At a prompt each answer comes at once; a file is read ahead, to batch sentences of similar length.
    streamed = translator.stream(lines, n_best, read_ahead=1) if at_prompt else translator.stream(lines, n_best)
    number = 0
    with line_progress() as report_lines, disk_errors(Path("standard output")):
        for number, translations in enumerate(streamed, start=1):
            _warn(f"line {number}", translations[0].parts)
            typer.echo(form.lines(translations))
            report_lines(number)
    if not number and not at_prompt:
        typer.echo("no lines to translate", err=True)


@dataclass(frozen=True)
class ModelChoice:
    """What a process needs to know to translate."""

    run: Path
    device: str
    beam_size: int | None = None
    precision: Precision | None = None


def load_translator(choice: ModelChoice) -> Translator:
    """The translator of a run, for a process of its own."""
    from seq2attn.decoding.translate import Translator

    trained = _load_run(choice)
    return Translator(trained.model, trained.subwords, trained.config.decode)


def _load_run(choice: ModelChoice) -> TrainedRun:
    """The run with these settings; of several GPUs, on the one with the number of this process."""
    import torch

    from seq2attn.device import choose_device
    from seq2attn.runs.folder import load_run

    device = choose_device(choice.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    search = {"beam_size": choice.beam_size, "precision": choice.precision and choice.precision.value}
    return load_run(choice.run, device, {key: value for key, value in search.items() if value is not None})


def _translate_to_files(choice: ModelChoice, form: LineFormat, source: Path, out: Path, nproc: int) -> None:
    from seq2attn.decoding.whole_files import TranslatorSource, translate_files
    from seq2attn.errors import disk_errors

    trained = _load_run(choice)
    decode = trained.config.decode
    settings = {"model": dict(trained.about), "decode": decode.model_dump()}
    del trained  # each process loads its own; what `auto` stands for was measured here, once for all
    translator = TranslatorSource(load_translator, replace(choice, precision=Precision(decode.precision)))
    number = 0
    with line_progress() as report_lines, disk_errors(out):
        for done in translate_files(source, out, translator, form, settings, nproc):
            for line, parts in done.split_lines.items():
                _warn(f"{done.source}:{line}", parts)
            number += done.n_lines
            report_lines(number)


def _warn(place: str, parts: int) -> None:
    """Say that a line was too long, if it was translated in several parts."""
    if parts > 1:
        typer.echo(f"{place}: too long to translate at once, translated in {parts} parts", err=True)


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

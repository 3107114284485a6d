"""`seq2attn bench`."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.progress import Report, named_progress, results_console
from seq2attn.cli.train import Device

if TYPE_CHECKING:
    from seq2attn.benchmark.growth import Growth
    from seq2attn.benchmark.speed import Bench
    from seq2attn.config.schema import Config

_DEFAULT_PRESET = "quick"


def bench(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(help="YAML files; without any, those of the preset quick.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a setting of every model.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="About how long to measure; three rounds are made in any case.")
    ] = 120.0,
    lengths: Annotated[
        str | None,
        typer.Option(help="Measure how a training step grows with the sentence instead, as in 10,20,40,80,160,320."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write bench.json into this folder, and with --lengths the figure.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Measure how fast models train and translate here, beside what this machine's matrix products allow."""
    from seq2attn.benchmark.growth import measure_growth, parse_lengths
    from seq2attn.benchmark.speed import measure_speed
    from seq2attn.benchmark.tables import growth_table, speed_tables
    from seq2attn.device import choose_device
    from seq2attn.experiment.reproduce import preset_files

    models = _named(configs or preset_files(_DEFAULT_PRESET), overrides or [])
    command = shlex.join(["seq2attn", *sys.argv[1:]])
    chosen = choose_device(device.value)
    result: Bench | Growth
    with named_progress("measuring") as report:
        audience = _Audience(report)
        if lengths is None:
            result = measure_speed(models, chosen, command, seconds, audience)
            table = speed_tables(result)
        else:
            result = measure_growth(models, parse_lengths(lengths), chosen, command, seconds, audience)
            table = growth_table(result)
    if out is not None:
        _write(result, out)
        typer.echo(f"results are in {out}", err=True)
    if as_json:
        typer.echo(result.to_json(), nl=False)
    else:
        results_console().print(table)


class _Audience:
    """Lines and bars on stderr."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def say(self, text: str) -> None:
        typer.echo(text, err=True)


def _named(files: Sequence[Path], overrides: Sequence[str]) -> dict[str, Config]:
    """The configurations by name; where a name is not theirs alone, by file."""
    from seq2attn.config.load import load_config

    loaded = {file: load_config(file, overrides) for file in files}
    names = Counter(config.name for config in loaded.values())
    return {
        str(file) if config.name is None or names[config.name] > 1 else config.name: config
        for file, config in loaded.items()
    }


def _write(result: Bench | Growth, folder: Path) -> None:
    from seq2attn.benchmark.growth import Growth
    from seq2attn.benchmark.tables import draw_growth
    from seq2attn.errors import disk_errors

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(result.to_json(), encoding="utf-8")
        if isinstance(result, Growth):
            draw_growth(result, folder / "growth")

"""`seq2attn bench`."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption, JsonOption, OverridesOption
from seq2attn.cli.output import Narrator, named_progress, results_console

if TYPE_CHECKING:
    from seq2attn.benchmark.growth import Growth
    from seq2attn.benchmark.speed import Bench
    from seq2attn.config.schema import Config

_DEFAULT_PRESET = "natural"


def bench(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(help="YAML configurations.", show_default="those of the preset natural"),
    ] = None,
    overrides: OverridesOption = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="How long to measure, roughly; at least three rounds are measured.")
    ] = 120.0,
    lengths: Annotated[
        str | None,
        typer.Option(help="Measure a training step at these sentence lengths instead, as in 10,20,40,80,160,320."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write bench.json to this folder; with --lengths, a figure too.")
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Measure how fast models train and translate, compared with this machine's matrix multiplication speed."""
    from seq2attn.benchmark.growth import measure_growth, parse_lengths
    from seq2attn.benchmark.speed import measure_speed
    from seq2attn.benchmark.subject import resolved
    from seq2attn.benchmark.tables import growth_table, speed_tables
    from seq2attn.device import choose_device
    from seq2attn.experiment.reproduce import preset_files

    named = _named(configs or preset_files(_DEFAULT_PRESET), overrides or [])
    command = shlex.join(["seq2attn", *sys.argv[1:]])
    chosen = choose_device(device.value)
    result: Bench | Growth
    with resolved(named, chosen) as models, named_progress("measuring") as report_progress:
        audience = Narrator(report_progress)
        if lengths is None:
            result = measure_speed(models, chosen, command, seconds, audience)
            table = speed_tables(result)
        else:
            result = measure_growth(models, parse_lengths(lengths), chosen, command, seconds, audience)
            table = growth_table(result)
    if out is not None:
        _write(result, out)
        typer.echo(f"wrote the results to {out}", err=True)
    if as_json:
        typer.echo(result.to_json(), nl=False)
    else:
        results_console().print(table)


def _named(files: Sequence[Path], overrides: Sequence[str]) -> dict[str, Config]:
    """The configurations by name, or by file where several share a name."""
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

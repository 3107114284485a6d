"""`seq2attn attention`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption

if TYPE_CHECKING:
    from seq2attn.attention.maps import Choice, Exploration
    from seq2attn.experiment.explore import Units

_PICTURES = (".png", ".svg")
_PAGE = ".html"


class Kind(StrEnum):
    """Kinds of attention in a transformer; an RNN has only cross."""

    cross = "cross"
    encoder = "encoder"
    decoder = "decoder"


def attention(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are shown side by side.")],
    source: Annotated[str, typer.Option(help="Sentence to translate.")],
    target: Annotated[
        str | None,
        typer.Option(help="Translation to force on every model.", show_default="each model's own translation"),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(help="From the translation to the source (cross), or self-attention in the encoder or decoder."),
    ] = Kind.cross,
    layer: Annotated[
        int | None,
        typer.Option(min=1, help="Layer, counted from 1.", show_default="the second to last; of two, the last"),
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=1, help="Head, counted from 1.", show_default="the mean of all heads")
    ] = None,
    subwords: Annotated[
        bool, typer.Option("--subwords", help="Show subwords instead of merging them into words.")
    ] = False,
    effects: Annotated[
        bool,
        typer.Option(
            "--effects",
            help="In a page or JSON, also show what each look is worth: how much less probable each word becomes "
            "without it.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a picture (.png, .svg) or an interactive page (.html).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the weights of every layer and head.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Show which source words a model attends to as it writes each word of a translation."""
    from seq2attn.attention.maps import Choice
    from seq2attn.device import choose_device
    from seq2attn.errors import ConfigError
    from seq2attn.experiment.explore import explore

    if out is not None and out.suffix not in (*_PICTURES, _PAGE):
        raise ConfigError(f"--out {out}: expected a file name ending in {', '.join(_PICTURES)} or {_PAGE}")
    if effects and not as_json and (out is None or out.suffix != _PAGE):
        raise ConfigError(f"--effects: shown by a page alone; add --out NAME{_PAGE}, or --json")
    choice = Choice(kind.value, layer, head)
    units: Units | None = None if not effects else "subwords" if subwords else "words"
    exploration = explore(runs, source, target, choose_device(device.value), units)
    exploration.check(choice)
    if out is not None:
        _write(exploration, choice, subwords, out)
        typer.echo(f"wrote {out}", err=True)
    if as_json:
        typer.echo(json.dumps(exploration.as_json(choice, subwords), ensure_ascii=False))
    elif out is None:
        _print(exploration, choice, subwords)


def _write(exploration: Exploration, choice: Choice, subwords: bool, out: Path) -> None:
    from seq2attn.attention.figure import save_figure
    from seq2attn.attention.html import write_page

    if out.suffix == _PAGE:
        write_page(exploration, choice, subwords, out)
        return
    missing = save_figure(exploration, choice, subwords, out)
    if missing:
        typer.echo(
            f"{out}: no installed font has {' '.join(missing)}, so each is drawn as a placeholder; install a font for "
            f"the script, or write a {_PAGE} page, which uses the reader's fonts",
            err=True,
        )


def _print(exploration: Exploration, choice: Choice, subwords: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from seq2attn.attention.terminal import LEGEND, LEGEND_IN_COLOURS, terminal_map

    console = Console(highlight=False)
    colours = console.color_system is not None and not console.no_color
    for system in exploration.systems:
        console.print(Text(system.name, style="bold"), soft_wrap=True)
        console.print(Text(system.translation), soft_wrap=True)
        attention_map = system.attention.map(choice, subwords)
        if attention_map is None:
            console.print(Text(f"{system.why_no_map(choice.kind)}\n"), soft_wrap=True)
            continue
        console.print(Text(attention_map.title, style="dim"), soft_wrap=True)
        console.print(terminal_map(attention_map, console.width, colours), soft_wrap=True, crop=False)
    console.print(Text(LEGEND_IN_COLOURS if colours else LEGEND, style="dim"), soft_wrap=True)

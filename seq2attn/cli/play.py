"""`seq2attn play`."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_POLL_SECONDS = 0.2
_MIB = 2**20


class Bits(StrEnum):
    """Bits of a weight in the page."""

    eight = "8"
    sixteen = "16"
    thirty_two = "32"


def play(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one direction of translation.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the page to this file (.html).", show_default="serve it on this machine")
    ] = None,
    precision: Annotated[Bits, typer.Option(help="Bits of a weight in the page.")] = Bits.eight,
    sentences: Annotated[
        int, typer.Option(min=0, max=1000, help="Test sentences to put into the page, of every length.")
    ] = 200,
    measure: Annotated[
        int,
        typer.Option(
            min=0,
            show_default="not measured",
            help="Translate this many test sentences with the page's weights and with those in 32 bits, and say in the "
            "page what BLEU each has.",
        ),
    ] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes any free one.")] = 0,
) -> None:
    """Translate in a browser with several models at once, in a page that needs neither a server nor a network."""
    from seq2attn.device import choose_device
    from seq2attn.errors import ConfigError
    from seq2attn.play.page import play_page, serve_page, write_page
    from seq2attn.play.weights import BITS
    from seq2attn.runs.folder import load_runs
    from seq2attn.training.process import StopRequest

    if out is not None and out.suffix != ".html":
        raise ConfigError(f"--out {out}: expected a file name ending in .html")
    stored = next(name for name, bits in BITS.items() if str(bits) == precision.value)
    loaded = load_runs(runs, choose_device("cpu"))
    page = play_page(loaded, stored, sentences, lambda line: typer.echo(f"seq2attn: {line}", err=True), measure)
    if out is not None:
        write_page(page, out)
        typer.echo(f"wrote {out} ({out.stat().st_size / _MIB:.1f} MiB)", err=True)
        return
    with StopRequest() as stop:
        typer.echo(serve_page(page, port))
        typer.echo("press Ctrl-C to stop", err=True)
        while stop.signal_number is None:
            time.sleep(_POLL_SECONDS)
    raise typer.Exit(128 + stop.signal_number)

"""`seq2attn serve`."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption

_POLL_SECONDS = 0.1


def serve(
    runs: Annotated[list[Path], typer.Argument(help="Run folders. A request names one; by default it is the first.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8000,
    batch_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Source tokens times beam size in a batch; 1 translates one sentence at a time.",
            show_default="the run's",
        ),
    ] = None,
    max_body_bytes: Annotated[int, typer.Option(min=1, help="Longest body of a request.")] = 2**20,
    max_sentences: Annotated[int, typer.Option(min=1, help="Most sentences in a request.")] = 256,
    max_characters: Annotated[int, typer.Option(min=1, help="Longest sentence.")] = 5000,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Most sentences that wait; requests beyond are told to come later.")
    ] = 1024,
    device: DeviceOption = Device.auto,
) -> None:
    """Translate over HTTP; sentences of many clients share a batch. An OpenAPI page is at /docs."""
    from seq2attn.device import choose_device
    from seq2attn.errors import ConfigError, MissingExtraError
    from seq2attn.runs.folder import load_runs
    from seq2attn.training.process import StopRequest

    try:
        from seq2attn.server.app import Service
        from seq2attn.server.messages import Limits
        from seq2attn.server.process import address_of, is_loopback, listen, serving
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'seq2attn[serve]' brings it") from error

    if max_waiting < max_sentences:
        raise ConfigError(f"--max-waiting {max_waiting}: expected at least --max-sentences, {max_sentences}")
    limits = Limits(max_body_bytes, max_sentences, max_characters, max_waiting)
    with listen(host, port) as listener, StopRequest() as stop:
        service = Service(load_runs(runs, choose_device(device.value)), limits, batch_tokens)
        if not is_loopback(listener):
            typer.echo(f"seq2attn: --host {host}: other machines can use it, without a password", err=True)
        with serving(service, listener) as thread:
            typer.echo(address_of(listener))
            typer.echo("press Ctrl-C to stop", err=True)
            while stop.signal_number is None and thread.is_alive():
                time.sleep(_POLL_SECONDS)
    if stop.signal_number != signal.SIGTERM:
        raise typer.Exit(1 if stop.signal_number is None else 128 + stop.signal_number)

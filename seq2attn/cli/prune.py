"""`seq2attn prune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.options import Device, DeviceOption, JsonOption
from seq2attn.cli.output import named_progress, results_console

if TYPE_CHECKING:
    from seq2attn.pruning.prune import Pruned


def prune(
    run: Annotated[Path, typer.Argument(help="Run folder of a transformer.")],
    out: Annotated[Path, typer.Option(help="New run folder.")],
    heads: Annotated[
        int | None, typer.Option(min=1, help="Heads to keep, of all attentions together.", show_default=False)
    ] = None,
    keep_bleu: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of BLEU on validation to keep, as in 0.99, instead of --heads.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Remove the least important heads of a transformer: a smaller and faster run."""
    from seq2attn.device import choose_device
    from seq2attn.errors import ConfigError
    from seq2attn.pruning.prune import PruneGoal, prune_run
    from seq2attn.runs.folder import load_run

    if (heads is None) == (keep_bleu is None):
        raise ConfigError("give either --heads N or --keep-bleu SHARE")
    trained = load_run(run, choose_device(device.value))
    with named_progress("removing") as progress:
        pruned = prune_run(trained, PruneGoal(heads, keep_bleu), out, progress)
    if as_json:
        typer.echo(json.dumps(pruned.to_dict(), indent=1))
        return
    _print(pruned)
    typer.echo(str(out))


def _print(pruned: Pruned) -> None:
    from rich.table import Table

    table = Table("", "before", "after", title="Without the least important heads")
    table.add_row("heads", str(pruned.n_heads_before), str(len(pruned.kept)))
    table.add_row("parameters", f"{pruned.parameters_before:,}", f"{pruned.parameters_after:,}")
    table.add_row("validation loss", f"{pruned.before.loss:.3f}", f"{pruned.after.loss:.3f}")
    table.add_row("validation BLEU, greedy", f"{pruned.before.bleu:.1f}", f"{pruned.after.bleu:.1f}")
    console = results_console()
    console.print(table)
    kept = (str(head) for head in pruned.kept)
    console.print(f"kept: {', '.join(kept)}", soft_wrap=True)

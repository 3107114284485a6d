"""`seq2attn eval`."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.progress import translation_progress
from seq2attn.cli.scores import print_scores
from seq2attn.cli.train import Device


class Split(StrEnum):
    """A split of the corpus."""

    test = "test"
    validation = "validation"


class LengthOf(StrEnum):
    """The side whose length makes the buckets."""

    source = "source"
    reference = "reference"


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs on the same corpus.")],
    by_length: Annotated[bool, typer.Option("--by-length", help="Scores in buckets of sentence length.")] = False,
    split: Annotated[Split, typer.Option(help="Which sentences.")] = Split.test,
    bins: Annotated[
        str | None,
        typer.Option(help="First lengths of the buckets. [default: 0,10,20,30,40,50,60]", show_default=False),
    ] = None,
    length_of: Annotated[LengthOf, typer.Option(help="Whose length.")] = LengthOf.source,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam size. [default: the run's]", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write figure, tables and report into this folder.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Score runs on held-out sentences: BLEU with its interval, by sentence length if asked."""
    from seq2attn.evaluation.lengths import DEFAULT_BINS, Bins, parse_binning
    from seq2attn.experiment.evaluate import EvaluationSettings, evaluate_runs
    from seq2attn.experiment.outputs import write_outputs
    from seq2attn.training.run_folder import choose_device

    chosen = parse_binning(bins) if bins else DEFAULT_BINS if by_length or out else Bins((0,))
    command = shlex.join(["seq2attn", *sys.argv[1:]])
    settings = EvaluationSettings(split.value, chosen, length_of.value, beam, command)
    with translation_progress() as report:
        evaluation = evaluate_runs(runs, settings, choose_device(device.value), report)
    if out is not None:
        write_outputs(evaluation, out)
        typer.echo(f"figure, tables and report are in {out}", err=True)
    if as_json:
        typer.echo(evaluation.summary.to_json(), nl=False)
    else:
        print_scores(evaluation.summary)

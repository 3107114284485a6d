"""`seq2attn eval`."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import (
    NAMES_HELP,
    BaselineOption,
    BinsOption,
    ByLengthOption,
    Device,
    DeviceOption,
    JoinOption,
    LengthOf,
    LengthOfOption,
    LengthUnitOption,
    MetricOption,
    PlotOption,
    ResampleOption,
    SearchesOption,
    SubwordsModelOption,
    choose_binning,
    further_metrics,
    parse_join_sizes,
    parse_system,
)
from seq2attn.cli.output import print_joined, print_scores, print_verdict, translation_progress


class Split(StrEnum):
    """A split of the corpus."""

    test = "test"
    validation = "validation"
    confirm = "confirm"


def evaluate(
    runs: Annotated[list[str], typer.Argument(help=f"Run folders, all on the same corpus. {NAMES_HELP}")],
    by_length: ByLengthOption = False,
    plot: PlotOption = None,
    split: Annotated[Split, typer.Option(help="Split to evaluate on.")] = Split.test,
    bins: BinsOption = None,
    length_of: LengthOfOption = LengthOf.source,
    length_unit: LengthUnitOption = None,
    subwords_model: SubwordsModelOption = None,
    metric: MetricOption = None,
    baseline: BaselineOption = None,
    resample: ResampleOption = None,
    join: JoinOption = None,
    searches: SearchesOption = False,
    beam: Annotated[int | None, typer.Option(min=1, help="Beam size.", show_default="the run's")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write figure, tables and report to this folder.")] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Score runs on held-out sentences: BLEU with a confidence interval, optionally by sentence length."""
    from seq2attn.device import choose_device
    from seq2attn.evaluation.joined import JOINED_BINS, JoinedSummary
    from seq2attn.experiment.evaluate import EvaluationSettings, evaluate_runs
    from seq2attn.experiment.joined import evaluate_joined, write_joined
    from seq2attn.experiment.outputs import write_outputs

    named = [parse_system(word) for word in runs]
    sizes = () if join is None else parse_join_sizes(join)
    settings = EvaluationSettings(
        split=split.value,
        bins=choose_binning(bins, by_length or bool(plot) or out is not None),
        length_of=length_of.value,
        beam_size=beam,
        command=shlex.join(["seq2attn", *sys.argv[1:]]),
        length_unit=None if length_unit is None else length_unit.value,
        subwords_model=subwords_model,
        further_metrics=further_metrics(metric),
        baseline=baseline,
        resample=None if resample is None else resample.value,
        names={path: name for name, path in named if name is not None},
        searches=searches,
    )
    with translation_progress() as report_progress:
        evaluation = evaluate_runs([path for _, path in named], settings, choose_device(device.value), report_progress)
        joined_bins = JOINED_BINS if bins is None else settings.bins
        joined = evaluate_joined(evaluation, sizes, settings, report_progress, joined_bins) if sizes else None
    if out is not None:
        write_outputs(evaluation, out)
        if joined is not None:
            write_joined(joined, out)
        typer.echo(f"wrote figure, tables and report to {out}", err=True)
    shown = evaluation.summary if joined is None else joined
    if as_json:
        typer.echo(shown.to_json(), nl=False)
    elif isinstance(shown, JoinedSummary):
        print_joined(shown)
    else:
        print_scores(shown, plot)
        if shown.joined:
            print_verdict(shown)

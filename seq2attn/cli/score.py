"""`seq2attn score`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.options import (
    NAMES_HELP,
    BaselineOption,
    BinsOption,
    ByLengthOption,
    LengthOf,
    LengthOfOption,
    LengthUnitOption,
    MetricOption,
    PlotOption,
    SubwordsModelOption,
    choose_binning,
    further_metrics,
    parse_system,
)
from seq2attn.cli.output import print_scores


def score(
    hypotheses: Annotated[list[str], typer.Argument(help=f"Files of translations. {NAMES_HELP}")],
    reference: Annotated[list[Path], typer.Option(help="File of reference translations; may be repeated.")],
    source: Annotated[Path | None, typer.Option(help="File of source sentences.", show_default=False)] = None,
    source_language: Annotated[
        str | None, typer.Option(help="Two-letter code; decides the unit of source length.", show_default=False)
    ] = None,
    target_language: Annotated[
        str | None,
        typer.Option(
            help="Two-letter code; decides the tokenizer and the unit of reference length.", show_default=False
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="SacreBLEU tokenizer for BLEU.", show_default="depends on the language")
    ] = None,
    by_length: ByLengthOption = False,
    plot: PlotOption = None,
    bins: BinsOption = None,
    length_of: LengthOfOption = LengthOf.source,
    length_unit: LengthUnitOption = None,
    subwords_model: SubwordsModelOption = None,
    metric: MetricOption = None,
    baseline: BaselineOption = None,
    resamples: Annotated[int | None, typer.Option(min=100, help="Resamples per interval.", show_default="1000")] = None,
    trials: Annotated[int | None, typer.Option(min=100, help="Resamples per p-value.", show_default="10000")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write figure, table and summary to this folder.")] = None,
) -> None:
    """Score any system's translations from plain, .gz or .jsonl files: BLEU, optionally by sentence length."""
    from seq2attn.evaluation.lengths import length_unit as length_unit_of
    from seq2attn.evaluation.measure import MeasureSettings
    from seq2attn.evaluation.metrics import Bleu
    from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
    from seq2attn.experiment.score_files import LengthSettings, ScoredFiles, score_files
    from seq2attn.report.outputs import write_scores

    files = ScoredFiles(source, tuple(reference), tuple(map(parse_system, hypotheses)))
    buckets = by_length or bool(plot) or bins is not None or out is not None
    # The source is needed only for its length.
    side = length_of if buckets else LengthOf.reference
    language = source_language if side == LengthOf.source else target_language
    unit = length_unit.value if length_unit is not None else length_unit_of(language or "")
    lengths = LengthSettings(side.value, unit, subwords_model)
    settings = MeasureSettings(
        choose_binning(bins, buckets),
        Bleu(tokenizer or _tokenizer_for(target_language)),
        further_metrics(metric),
        baseline,
        resamples or N_RESAMPLES,
        trials or N_PAIRED_RESAMPLES,
    )
    summary = score_files(files, lengths, settings, shlex.join(["seq2attn", *sys.argv[1:]]))
    if out is not None:
        write_scores(summary, out)
        typer.echo(f"wrote figure, table and summary to {out}", err=True)
    if as_json:
        typer.echo(summary.to_json(), nl=False)
    else:
        print_scores(summary, plot)


def _tokenizer_for(language: str | None) -> str:
    """The tokenizer for the target language; prints a hint if a better one could be installed."""
    from seq2attn.evaluation.tokenizers import DEFAULT_TOKENIZER, best_tokenizer, tokenizer_for, what_is_missing

    if language is None:
        return DEFAULT_TOKENIZER
    best, chosen = best_tokenizer(language), tokenizer_for(language)
    if best != chosen:
        typer.echo(f"seq2attn: scored with {chosen}; for {best}, {what_is_missing(best)}", err=True)
    return chosen

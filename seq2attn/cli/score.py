"""`seq2attn score`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from seq2attn.cli.measuring import (
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
    metrics_beside,
    parse_system,
)
from seq2attn.cli.score_tables import print_scores


def score(
    hypotheses: Annotated[list[str], typer.Argument(help=f"Files of translations. {NAMES_HELP}")],
    reference: Annotated[list[Path], typer.Option(help="Reference translations; give it again for each further one.")],
    source: Annotated[Path | None, typer.Option(help="What was translated.", show_default=False)] = None,
    source_language: Annotated[
        str | None, typer.Option(help="Two-letter code, for lengths of the source.", show_default=False)
    ] = None,
    target_language: Annotated[
        str | None, typer.Option(help="Two-letter code, for tokenizer and lengths.", show_default=False)
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="SacreBLEU's, for BLEU.", show_default="the language's")] = None,
    by_length: ByLengthOption = False,
    plot: PlotOption = None,
    bins: BinsOption = None,
    length_of: LengthOfOption = LengthOf.source,
    length_unit: LengthUnitOption = None,
    subwords_model: SubwordsModelOption = None,
    metric: MetricOption = None,
    baseline: BaselineOption = None,
    resamples: Annotated[int | None, typer.Option(min=100, help="Behind an interval.", show_default="1000")] = None,
    trials: Annotated[int | None, typer.Option(min=100, help="Behind a p-value.", show_default="10000")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write figure, table and summary into this folder.")] = None,
) -> None:
    """Score translations of any system, from plain files (.gz, .jsonl): BLEU, by sentence length if asked."""
    from seq2attn.evaluation.lengths import length_unit as length_unit_of
    from seq2attn.evaluation.measure import MeasureSettings
    from seq2attn.evaluation.metrics import Bleu
    from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
    from seq2attn.experiment.score_files import LengthSettings, ScoredFiles, score_files
    from seq2attn.report.outputs import write_scores

    files = ScoredFiles(source, tuple(reference), tuple(map(parse_system, hypotheses)))
    buckets = by_length or bool(plot) or bins is not None or out is not None
    # The source is read for its length alone.
    of = length_of if buckets else LengthOf.reference
    language = source_language if of == LengthOf.source else target_language
    unit = length_unit.value if length_unit is not None else length_unit_of(language or "")
    lengths = LengthSettings(of.value, unit, subwords_model)
    how = MeasureSettings(
        choose_binning(bins, buckets),
        Bleu(tokenizer or _tokenizer_for(target_language)),
        metrics_beside(metric),
        baseline,
        resamples or N_RESAMPLES,
        trials or N_PAIRED_RESAMPLES,
    )
    summary = score_files(files, lengths, how, shlex.join(["seq2attn", *sys.argv[1:]]))
    if out is not None:
        write_scores(summary, out)
        typer.echo(f"figure, table and summary are in {out}", err=True)
    if as_json:
        typer.echo(summary.to_json(), nl=False)
    else:
        print_scores(summary, plot)


def _tokenizer_for(language: str | None) -> str:
    """The tokenizer of the target language; says so where a better one could be installed."""
    from seq2attn.evaluation.tokenizers import DEFAULT_TOKENIZER, best_tokenizer, tokenizer_for, what_is_missing

    if language is None:
        return DEFAULT_TOKENIZER
    best, chosen = best_tokenizer(language), tokenizer_for(language)
    if best != chosen:
        typer.echo(f"seq2attn: scored with {chosen}; for {best}, {what_is_missing(best)}", err=True)
    return chosen

"""Tables of a summary, for terminal, document and spreadsheet"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import rich.table
from rich import box
from rich.console import JustifyMethod
from rich.text import Text

from seq2attn.evaluation.lengths import EVERY_LENGTH, Range
from seq2attn.evaluation.score import BLEU, Bucket, Score
from seq2attn.evaluation.slope import WORDS, Slope
from seq2attn.report.markdown import Table
from seq2attn.report.wording import (
    claim_interval_text,
    claim_text,
    how_resampled,
    measured_text,
    p_value_text,
    signed,
    verdict,
)
from seq2attn.results.summary import Summary, System

TOO_SMALL = "n too small"
"""Shown in place of an interval in a bucket of few sentences."""

_CAPTION = "Second line: 95 % interval; ×: length relative to the reference."
_CELL_COLUMNS = len("12.3–45.6 ×0.97")
_TRAINING_COLUMNS = ("minutes", "updates", "target tokens", "device", "validation loss", "validation BLEU")
_BUCKET_COLUMNS = ("low", "high", "n", "bleu", "bleu_low", "bleu_high", "length_ratio", "bleu_spread")


def interval_text(value: float | None, low: float | None, high: float | None) -> str:
    """A score with its interval, `24.5 (23.1–25.9)`; a dash without a score."""
    if value is None:
        return "–"
    return f"{value:.1f} ({TOO_SMALL})" if low is None else f"{value:.1f} ({low:.1f}–{high:.1f})"


def std_text(std: float | None) -> str:
    """The standard deviation over several outputs, ` ±0.4`; empty for a single output."""
    return "" if std is None else f" ±{std:.1f}"


def score_text(score: Score | None) -> str:
    """A score with its interval and its standard deviation, if any, `24.5 (23.1–25.9) ±0.4`; a dash without a score."""
    if score is None:
        return "–"
    return f"{interval_text(score.value, score.low, score.high)}{std_text(score.std)}"


def bucket_text(bucket: Bucket) -> str:
    """A bucket's BLEU with its interval and length ratio: `24.5 (23.1–25.9), length ×0.97`."""
    text = score_text(bucket.bleu)
    return text if bucket.length_ratio is None else f"{text}, length ×{bucket.length_ratio:.2f}"


def sentences_text(n: int) -> str:
    """A number of sentences."""
    return "1 sentence" if n == 1 else f"{n:,} sentences"


def length_name(summary: Summary) -> str:
    """What the buckets count, as a heading: `source words`."""
    return f"{summary.length_of} {summary.length_unit}"


def score_table(summary: Summary, metric: str = BLEU) -> Table:
    """Scores with their intervals: a row for each bucket and one for all sentences, a column for each system."""
    rows = [
        (buckets[0].label, f"{buckets[0].n:,}", *(score_text(bucket.scores.get(metric)) for bucket in buckets))
        for buckets in _bucket_rows(summary)
    ]
    overall = [system.overall for system in summary.systems]
    rows.append(("all", f"{overall[0].n:,}", *(score_text(bucket.scores.get(metric)) for bucket in overall)))
    return Table(_header(summary), tuple(rows))


def seeds_table(summary: Summary) -> Table:
    """BLEU of each output (usually a seed) of the systems that have several: a row for each system."""
    systems = [system for system in summary.systems if system.outputs]
    most = max((len(system.outputs) for system in systems), default=0)
    rows = []
    for system in systems:
        scores = [f"{output.bleu:.1f}" for output in system.outputs]
        rows.append((system.name, *scores, *["–"] * (most - len(scores)), score_text(system.overall.bleu)))
    return Table(("system", *(str(number) for number in range(1, most + 1)), "mean"), tuple(rows))


def length_ratio_table(summary: Summary) -> Table:
    """Length of the translations relative to the references: a row for each bucket, a column for each system."""
    rows = [
        (buckets[0].label, f"{buckets[0].n:,}", *(_ratio_text(bucket) for bucket in buckets))
        for buckets in _rows_of_buckets(summary)
    ]
    return Table(_header(summary), tuple(rows))


def failure_table(summary: Summary) -> Table:
    """Shares of repeated 4-grams and of capped outputs: a row for each system and share, a column for each bucket."""
    rows = []
    for system in summary.systems:
        for what, shares in (
            ("repeated", [bucket.repeated for bucket in system.buckets]),
            ("cut off", [bucket.capped for bucket in system.buckets]),
        ):
            if any(share is not None for share in shares):
                cells = ("–" if share is None else f"{100 * share:.1f} %" for share in shares)
                rows.append((f"{system.name}: {what}", *cells))
    labels = (bucket.label for bucket in summary.systems[0].buckets)
    return Table((length_name(summary), *labels), tuple(rows))


def terminal_table(summary: Summary) -> rich.table.Table:
    """BLEU with the interval and the length ratio below it in each cell, for `rich` to print."""
    rows = _bucket_rows(summary)
    title = f"BLEU by {length_name(summary)}: {summary.text_name}" if rows else f"BLEU: {summary.text_name}"
    table = rich.table.Table(title=Text(title), box=box.SIMPLE_HEAD)
    caption = f"{_CAPTION}\n{how_resampled(summary)}"
    table.caption, table.caption_justify = Text(caption, style="dim"), "left"
    for place, heading in enumerate(_header(summary)):
        table.add_column(
            Text(heading), justify="right" if place else "left", min_width=_CELL_COLUMNS if place > 1 else None
        )
    for buckets in rows:
        table.add_row(
            buckets[0].label, f"{buckets[0].n:,}", *(_stacked(bucket.bleu, bucket.length_ratio) for bucket in buckets)
        )
    table.add_section()
    overall = [
        _stacked(system.overall.bleu, None if rows else system.buckets[0].length_ratio) for system in summary.systems
    ]
    table.add_row("all", f"{summary.systems[0].overall.n:,}", *overall)
    return table


def slope_table(summary: Summary) -> Table:
    """BLEU lost with length: a row for each system with its interval, also relative to its mean BLEU."""
    rows = [(system.name, _slope_text(system.slope), _slope_share_text(system.slope)) for system in summary.systems]
    return Table(("system", f"BLEU lost per {WORDS} {summary.length_unit}", "relative to its BLEU"), tuple(rows))


def metric_title(summary: Summary, metric: str) -> str:
    """The metric's name, with a note where lower is better."""
    score = summary.systems[0].overall.scores[metric]
    return f"{metric}, lower is better" if score.lower_is_better else metric


def difference_table(summary: Summary, metric: str) -> Table:
    """Each system's difference from the baseline under one metric: a row for each system and bucket."""
    rows = [
        (
            found.system,
            "all" if (found.low, found.high) == EVERY_LENGTH else Range(found.low, found.high).label,
            f"{found.n:,}",
            f"{signed(found.value)} ({signed(found.value_low)} to {signed(found.value_high)})",
            p_value_text(found.p_randomisation_corrected),
            p_value_text(found.p_bootstrap_corrected),
        )
        for system in summary.systems
        for found in summary.differences
        if (found.system, found.metric) == (system.name, metric)
    ]
    header = ("system", length_name(summary), "sentences", f"{metric} minus the baseline's")
    return Table((*header, "p, randomisation", "p, bootstrap"), tuple(rows))


def claims_table(summary: Summary) -> Table:
    """A row for each claim with its verdict and the measured value."""
    rows = tuple(
        (
            claim_text(claim, summary.length_unit),
            verdict(claim),
            measured_text(claim),
            claim_interval_text(claim),
            p_value_text(claim.p_value),
        )
        for claim in summary.claims
    )
    return Table(("claim", "verdict", "measured", "95 % interval", "p"), rows, numeric=False)


def systems_table(summary: Summary) -> Table:
    """The systems and what their training cost."""
    header = ("system", "kind", "attention", "parameters", "trained up to", *_TRAINING_COLUMNS)
    return Table(header, tuple(_system_row(system) for system in summary.systems), numeric=False)


def corpus_tables(card: Mapping[str, str], counts: Mapping[str, Mapping[str, int]]) -> list[Table]:
    """Where the text comes from, and how many pairs were kept; what is unknown is left out."""
    tables = []
    if card:
        tables.append(Table(("corpus", ""), tuple(card.items()), numeric=False))
    if counts:
        names = tuple(dict.fromkeys(name for of_split in counts.values() for name in of_split))
        rows = tuple(
            (split, *(f"{of_split[name]:,}" if name in of_split else "–" for name in names))
            for split, of_split in counts.items()
        )
        tables.append(Table(("split", *names), rows))
    return tables


def rich_table(table: Table, title: str, caption: str = "") -> rich.table.Table:
    """Any table for `rich` to print."""
    shown = rich.table.Table(title=Text(title), box=box.SIMPLE_HEAD, caption_justify="left")
    shown.caption = Text(caption, style="dim") if caption else None
    for place, heading in enumerate(table.header):
        justify: JustifyMethod = "right" if place and table.numeric else "left"
        shown.add_column(Text(heading), justify=justify, overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def to_csv(summary: Summary) -> str:
    """One line for each system and bucket, under a header; a field is empty without an upper end or a score."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["system", "run", "kind", "attention", "parameters", *_BUCKET_COLUMNS])
    for system in summary.systems:
        described = [system.name, system.run, system.kind, system.attention, system.parameters]
        writer.writerows([*described, *_bucket_fields(bucket)] for bucket in system.buckets)
    return stream.getvalue()


def _system_row(system: System) -> tuple[str, ...]:
    cap = "any length" if system.max_source_words is None else f"{system.max_source_words} words"
    parameters = "–" if system.parameters is None else f"{system.parameters:,}"
    name = f"{system.name} (the first of {len(system.outputs)})" if system.outputs else system.name
    return (name, system.kind or "–", system.attention or "–", parameters, cap, *_training_cells(system))


def _training_cells(system: System) -> tuple[str, ...]:
    training = system.training
    if training is None:
        return ("–",) * len(_TRAINING_COLUMNS)
    return (
        f"{training.minutes:.1f}",
        f"{training.steps:,}",
        f"{training.target_tokens:,}",
        training.device,
        "–" if training.validation_loss is None else f"{training.validation_loss:.3f}",
        "–" if training.validation_bleu is None else f"{training.validation_bleu:.1f}",
    )


def _slope_text(slope: Slope | None) -> str:
    return "–" if slope is None else f"{signed(slope.loss)} ({signed(slope.loss_low)} to {signed(slope.loss_high)})"


def _slope_share_text(slope: Slope | None) -> str:
    if slope is None or slope.share is None or slope.share_low is None or slope.share_high is None:
        return "–"
    share, low, high = (f"{signed(100 * value)} %" for value in (slope.share, slope.share_low, slope.share_high))
    return f"{share} ({low} to {high})"


def _bucket_fields(bucket: Bucket) -> list[object]:
    bleu = bucket.bleu
    value, low, high, std = (None,) * 4 if bleu is None else (bleu.value, bleu.low, bleu.high, bleu.std)
    return [bucket.low, bucket.high, bucket.n, value, low, high, bucket.length_ratio, std]


def _header(summary: Summary) -> tuple[str, ...]:
    return (length_name(summary), "sentences", *(system.name for system in summary.systems))


def _rows_of_buckets(summary: Summary) -> list[tuple[Bucket, ...]]:
    """The same bucket of every system, bucket by bucket."""
    return list(zip(*(system.buckets for system in summary.systems), strict=True))


def _bucket_rows(summary: Summary) -> list[tuple[Bucket, ...]]:
    """The same; empty where there is only one bucket, which would repeat the row of all sentences."""
    rows = _rows_of_buckets(summary)
    return rows if len(rows) > 1 else []


def _ratio_text(bucket: Bucket) -> str:
    return "–" if bucket.length_ratio is None else f"{bucket.length_ratio:.2f}"


def _stacked(score: Score | None, length_ratio: float | None) -> Text:
    """The score with interval and length ratio dimmed below it, so that three systems fit into 80 columns."""
    if score is None:
        return Text("–")
    ratio = "" if length_ratio is None else f" ×{length_ratio:.2f}"
    interval = TOO_SMALL if score.low is None else f"{score.low:.1f}–{score.high:.1f}"
    return Text.assemble(f"{score.value:.1f}{std_text(score.std)}\n", (f"{interval}{ratio}", "dim"))

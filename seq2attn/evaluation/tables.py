"""The scores of a summary as a table: for the terminal, for a document, for a spreadsheet."""

from __future__ import annotations

import csv
import io

import rich.table
from rich import box
from rich.text import Text

from seq2attn.evaluation.document import Table
from seq2attn.evaluation.length_curve import Bucket
from seq2attn.evaluation.summary import Summary

TOO_SMALL = "n too small"
"""Stands where an interval would, in a bucket of few sentences."""

_CELL_COLUMNS = len("12.3–45.6 ×0.97")
_BUCKET_COLUMNS = ("low", "high", "n", "bleu", "bleu_low", "bleu_high", "length_ratio", "bleu_spread")


def interval_text(value: float | None, low: float | None, high: float | None) -> str:
    """A score with its interval, `24.5 (23.1–25.9)`; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.1f} ({TOO_SMALL})" if low is None else f"{value:.1f} ({low:.1f}–{high:.1f})"


def spread_text(spread: float | None) -> str:
    """The standard deviation over several outputs, ` ±0.4`; nothing where there is but one."""
    return "" if spread is None else f" ±{spread:.1f}"


def length_name(summary: Summary) -> str:
    """What the buckets count, as a heading: `source words`."""
    return f"{summary.length_of} {summary.length_unit}"


def bleu_table(summary: Summary) -> Table:
    """BLEU with its interval: a row for each bucket and one for all, a column for each system."""
    rows = [
        (buckets[0].label, f"{buckets[0].n:,}", *(interval_text(b.bleu, b.bleu_low, b.bleu_high) for b in buckets))
        for buckets in _rows_of_buckets(summary)
    ]
    overall = [interval_text(system.bleu, system.bleu_low, system.bleu_high) for system in summary.systems]
    rows.append(("all", f"{summary.systems[0].n_sentences:,}", *overall))
    return Table(_header(summary), tuple(rows))


def length_ratio_table(summary: Summary) -> Table:
    """Length of the translations as a share of the references': a row for each bucket, a column for each system."""
    rows = [
        (buckets[0].label, f"{buckets[0].n:,}", *(_ratio_text(bucket) for bucket in buckets))
        for buckets in _rows_of_buckets(summary)
    ]
    return Table(_header(summary), tuple(rows))


def terminal_table(summary: Summary) -> rich.table.Table:
    """BLEU, and below it in each cell the interval and the length ratio, for `rich` to print."""
    title = f"BLEU by {length_name(summary)}: {summary.text_name}"
    table = rich.table.Table(title=Text(title), box=box.SIMPLE_HEAD)
    for place, heading in enumerate(_header(summary)):
        table.add_column(
            Text(heading), justify="right" if place else "left", min_width=_CELL_COLUMNS if place > 1 else None
        )
    for buckets in _rows_of_buckets(summary):
        table.add_row(buckets[0].label, f"{buckets[0].n:,}", *(_terminal_cell(bucket) for bucket in buckets))
    table.add_section()
    overall = [_stacked(s.bleu, s.bleu_low, s.bleu_high, None, s.bleu_spread) for s in summary.systems]
    table.add_row("all", f"{summary.systems[0].n_sentences:,}", *overall)
    return table


def to_csv(summary: Summary) -> str:
    """One line for each system and bucket, under a header; an empty field where there is no end or no score."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["system", "run", "kind", "attention", "parameters", *_BUCKET_COLUMNS])
    for system in summary.systems:
        described = [system.name, system.run, system.kind, system.attention, system.parameters]
        writer.writerows([*described, *_bucket_fields(bucket)] for bucket in system.buckets)
    return stream.getvalue()


def _bucket_fields(bucket: Bucket) -> list[object]:
    return [getattr(bucket, column) for column in _BUCKET_COLUMNS]


def _header(summary: Summary) -> tuple[str, ...]:
    return (length_name(summary), "sentences", *(system.name for system in summary.systems))


def _rows_of_buckets(summary: Summary) -> list[tuple[Bucket, ...]]:
    """The same bucket of every system, bucket by bucket."""
    return list(zip(*(system.buckets for system in summary.systems), strict=True))


def _ratio_text(bucket: Bucket) -> str:
    return "–" if bucket.length_ratio is None else f"{bucket.length_ratio:.2f}"


def _terminal_cell(bucket: Bucket) -> Text:
    return _stacked(bucket.bleu, bucket.bleu_low, bucket.bleu_high, bucket.length_ratio, bucket.bleu_spread)


def _stacked(
    bleu: float | None, low: float | None, high: float | None, length_ratio: float | None, spread: float | None
) -> Text:
    """The score, and below it what it must be read with, dimmed, so that three systems fit into 80 columns."""
    if bleu is None:
        return Text("–")
    ratio = "" if length_ratio is None else f" ×{length_ratio:.2f}"
    interval = TOO_SMALL if low is None else f"{low:.1f}–{high:.1f}"
    return Text.assemble(f"{bleu:.1f}{spread_text(spread)}\n", (f"{interval}{ratio}", "dim"))

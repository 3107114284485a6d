"""The table of scores, and what is told of a score when one points at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.lengths import EVERY_LENGTH
from seq2attn.evaluation.score import Bucket
from seq2attn.evaluation.summary import Summary
from seq2attn.report.chart import MARKERS
from seq2attn.report.tables import TOO_SMALL, score_text, std_text
from seq2attn.report.wording import p_value_text, signed
from seq2attn.style import LINE_STYLES, SIGNS


@dataclass(frozen=True)
class Look:
    """How a system looks in every chart, and the sign that stands for it in text."""

    name: str
    colour: str
    marker: str
    sign: str


@dataclass(frozen=True)
class Cell:
    """A system's score on the sentences of one row; `share` of the highest score in the table is drawn behind it."""

    system: int
    value: str
    interval: str
    share: float
    tip: str


@dataclass(frozen=True)
class Row:
    """The sentences of one range of length, or all of them."""

    label: str
    n: int
    bucket: int | None
    """None: all sentences."""
    cells: Sequence[Cell]


def looks(summary: Summary) -> list[Look]:
    """How each system looks, in their order."""
    styles = islice(cycle(LINE_STYLES), len(summary.systems))
    return [
        Look(system.name, colour, MARKERS[marker], SIGNS[marker][0])
        for system, (colour, marker) in zip(summary.systems, styles, strict=True)
    ]


def score_rows(summary: Summary) -> list[Row]:
    """BLEU by length and on all sentences: the table, row by row."""
    buckets = [bucket for system in summary.systems for bucket in (*system.buckets, system.overall)]
    highest = max((bucket.bleu.value for bucket in buckets if bucket.bleu is not None), default=0.0) or 1.0
    rows = []
    for place, bucket in enumerate(summary.systems[0].buckets):
        cells = [_cell(summary, number, one.buckets[place], highest) for number, one in enumerate(summary.systems)]
        rows.append(Row(bucket.label, bucket.n, place, cells))
    cells = [_cell(summary, number, one.overall, highest) for number, one in enumerate(summary.systems)]
    return [*rows, Row("all", summary.systems[0].overall.n, None, cells)]


def bucket_tip(summary: Summary, place: int) -> str:
    """What every system scored on one range of length, a line each under the range."""
    bucket = summary.systems[0].buckets[place]
    lines = [f"{bucket.label} {summary.length_unit}: {_sentences(bucket.n)}"]
    for system, look in zip(summary.systems, looks(summary), strict=True):
        lines.append(f"{look.sign} {system.name}: {_told(system.buckets[place])}")
    return "\n".join(lines)


def _cell(summary: Summary, system: int, bucket: Bucket, highest: float) -> Cell:
    look = looks(summary)[system]
    is_all = (bucket.low, bucket.high) == EVERY_LENGTH
    where = "all lengths" if is_all else f"{bucket.label} {summary.length_unit}"
    lines = [f"{look.sign} {look.name}", f"{where}: {_sentences(bucket.n)}", f"BLEU {_told(bucket)}"]
    if (one := _difference(summary, look.name, bucket)) is not None:
        value = f"{signed(one.value)} ({signed(one.value_low)} to {signed(one.value_high)})"
        p_value = one.p_bootstrap_corrected if one.p_randomisation is None else one.p_randomisation_corrected
        lines.append(f"{value} beside {one.baseline}, p = {p_value_text(p_value)}")
    if (bleu := bucket.bleu) is None:
        return Cell(system, "–", "", 0.0, "\n".join(lines))
    interval = TOO_SMALL if bleu.low is None else f"{bleu.low:.1f}–{bleu.high:.1f}"
    return Cell(system, f"{bleu.value:.1f}{std_text(bleu.std)}", interval, bleu.value / highest, "\n".join(lines))


def _told(bucket: Bucket) -> str:
    text = score_text(bucket.bleu)
    return text if bucket.length_ratio is None else f"{text}, length ×{bucket.length_ratio:.2f}"


def _sentences(n: int) -> str:
    return "1 sentence" if n == 1 else f"{n:,} sentences"


def _difference(summary: Summary, system: str, bucket: Bucket) -> Difference | None:
    """The system's difference from the baseline on the sentences of `bucket`."""
    wanted = ("BLEU", system, bucket.low, bucket.high)
    found = (one for one in summary.differences if (one.metric, one.system, one.low, one.high) == wanted)
    return next(found, None)

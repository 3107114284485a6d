"""Curves prepared for every kind of drawing, and charts in pixel coordinates"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, islice
from typing import NamedTuple

from seq2attn.evaluation.score import Bucket, Score
from seq2attn.results.summary import Summary
from seq2attn.style import LINE_STYLES, SIGNS

Point = tuple[float, float]

# For each marker of `style.py`, a path around (0, 0).
MARKERS = {
    "o": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "s": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "D": "M0,-5L5,0L0,5L-5,0z",
    "^": "M0,-4.8L4.6,3.6h-9.2z",
    "v": "M0,4.8L4.6,-3.6h-9.2z",
    "P": "M-1.6,-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
}
_LEFT, _RIGHT, _TOP, _X_AXIS = 46.0, 10.0, 26.0, 44.0
_TICK_PIXELS = 60.0
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Look:
    """How a system looks in every drawing."""

    name: str
    colour: str
    marker: str
    """Matplotlib's letter for it."""

    @property
    def path(self) -> str:
        """The marker as an SVG path around (0, 0)."""
        return MARKERS[self.marker]

    @property
    def sign(self) -> str:
        """The sign that stands for the marker in text."""
        return SIGNS[self.marker][0]


class CurvePoint(NamedTuple):
    """One bucket of a curve: its middle on the axis, and the values drawn there."""

    middle: float
    score: Score | None
    enough: bool
    """Whether there are enough sentences; else the point is hollow."""
    alone: float | None = None
    """BLEU of the same joined sentences one by one, if they are joined."""

    @property
    def value(self) -> float | None:
        """The score; None where the bucket is empty."""
        return None if self.score is None else self.score.value

    @property
    def low(self) -> float | None:
        """The lower end of the interval, if any."""
        return None if self.score is None else self.score.low

    @property
    def high(self) -> float | None:
        """The upper end of the interval, if any."""
        return None if self.score is None else self.score.high


@dataclass(frozen=True)
class CurveSeries:
    """One system's line."""

    look: Look
    points: Sequence[CurvePoint]
    smoothed: Sequence[Point]


@dataclass(frozen=True)
class LengthCurve:
    """BLEU over sentence length, as matplotlib, SVG and terminal draw it."""

    spans: Sequence[Point]
    """Start and end of each bucket on the axis."""
    labels: Sequence[str]
    counts: Sequence[int]
    series: Sequence[CurveSeries]
    caps: Sequence[int]
    """The longest training lengths, in the unit of the axis."""

    @property
    def middles(self) -> list[float]:
        """The middle of each bucket on the axis."""
        return [(low + high) / 2 for low, high in self.spans]

    @property
    def scores(self) -> list[Score]:
        """Every score that is drawn."""
        return [point.score for series in self.series for point in series.points if point.score is not None]

    @property
    def top(self) -> float:
        """The highest score or end of an interval, at least 1."""
        alone = (point.alone for series in self.series for point in series.points if point.alone is not None)
        return max([1.0, *alone, *(score.value if score.high is None else score.high for score in self.scores)])


def looks(summary: Summary) -> list[Look]:
    """How each system looks, in their order."""
    styles = islice(cycle(LINE_STYLES), len(summary.systems))
    return [Look(system.name, *style) for system, style in zip(summary.systems, styles, strict=True)]


def bucket_spans(buckets: Sequence[Bucket]) -> list[Point]:
    """Start and end of each bucket on the axis; an open bucket is as wide as the one before it."""
    width = buckets[-2].high - buckets[-2].low if len(buckets) > 1 and buckets[-2].high is not None else 10
    ends = ((bucket.low, bucket.low + width if bucket.high is None else bucket.high) for bucket in buckets)
    return [(float(low), float(high)) for low, high in ends]


def length_curve(summary: Summary) -> LengthCurve:
    """The summary's curve, prepared for drawing."""
    buckets = summary.systems[0].buckets
    spans = bucket_spans(buckets)
    series = [
        CurveSeries(
            look,
            [
                CurvePoint((low + high) / 2, bucket.bleu, bucket.enough, bucket.alone)
                for (low, high), bucket in zip(spans, system.buckets, strict=True)
            ],
            [(float(point.length), point.bleu) for point in system.smoothed],
        )
        for look, system in zip(looks(summary), summary.systems, strict=True)
    ]
    is_in_words = summary.length_of == "source" and summary.length_unit == "words"
    caps = {system.max_source_words for system in summary.systems if system.max_source_words is not None}
    return LengthCurve(
        spans,
        labels=[bucket.label for bucket in buckets],
        counts=[bucket.n for bucket in buckets],
        series=series,
        caps=sorted(caps) if is_in_words else [],
    )


class Size(NamedTuple):
    """Width and height of a whole chart."""

    width: float
    height: float


WIDE, NARROW = Size(880.0, 430.0), Size(330.0, 340.0)
"""For a screen or paper, and for a phone, on which the wide chart would be too small to read."""


class Tick(NamedTuple):
    """A value on an axis."""

    place: float
    label: str


class Dot(NamedTuple):
    """A marker of a line; hollow where there are too few sentences to rely on it."""

    x: float
    y: float
    hollow: bool


class Whisker(NamedTuple):
    """An interval at one point."""

    x: float
    top: float
    bottom: float


class Bar(NamedTuple):
    """A count, with its label at (middle, top)."""

    x: float
    top: float
    width: float
    height: float
    label: str

    @property
    def middle(self) -> float:
        """The place of the label."""
        return self.x + self.width / 2


class Column(NamedTuple):
    """A strip of the chart that shows its values in a tooltip."""

    x: float
    width: float
    tip: str


@dataclass(frozen=True)
class Series:
    """One system's lines. Each path lists the points of one stretch without a gap, in SVG's notation."""

    system: int
    lines: Sequence[str]
    faint_lines: Sequence[str] = ()
    dashed_lines: Sequence[str] = ()
    bands: Sequence[str] = ()
    whiskers: Sequence[Whisker] = ()
    dots: Sequence[Dot] = ()


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels along an axis, linearly or by their logarithm."""

    first: float
    last: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """The pixel of `value`, which may lie beyond the ends of the axis."""
        if self.logarithmic:
            first, last, value = math.log(self.first), math.log(self.last), math.log(value)
        else:
            first, last = self.first, self.last
        return self.start + (value - first) / (last - first) * (self.end - self.start)

    def ticks(self) -> list[Tick]:
        """Round values within the axis, far enough apart for their labels."""
        values = self._round_logarithms() if self.logarithmic else self._round_values()
        return [Tick(self.place(value), f"{value:,.10g}") for value in values]

    def _round_values(self) -> list[float]:
        most = max(1.0, abs(self.end - self.start) / _TICK_PIXELS)
        least = (self.last - self.first) / most
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in _STEPS if factor * power >= least * (1 - 1e-9))
        numbers = range(math.ceil(self.first / step - 1e-9), math.floor(self.last / step + 1e-9) + 1)
        return [number * step for number in numbers]

    def _round_logarithms(self) -> list[float]:
        powers = range(math.floor(math.log10(self.first)), math.ceil(math.log10(self.last)) + 1)
        values = [factor * 10.0**power for power in powers for factor in _STEPS[:-1]]
        return [value for value in values if self.first <= value <= self.last]


@dataclass(frozen=True)
class Plane:
    """The part of a chart that its lines are drawn in."""

    size: Size
    x: Scale
    y: Scale

    @classmethod
    def of(cls, size: Size, x_ends: Point, y_ends: Point, below: float = 0.0, logarithmic: bool = False) -> Plane:
        """The plane of a chart of `size` from the first to the last values on its axes.

        `below`: pixels kept free between it and the labels of the x-axis. `logarithmic`: of the y-axis.
        """
        bottom = size.height - _X_AXIS - below
        return cls(
            size,
            Scale(*x_ends, start=_LEFT, end=size.width - _RIGHT),
            Scale(*y_ends, start=bottom, end=_TOP, logarithmic=logarithmic),
        )

    def points(self, values: Iterable[Point]) -> str:
        """The pixels of `values` in SVG's notation."""
        return " ".join(f"{self.x.place(x):.1f},{self.y.place(y):.1f}" for x, y in values)

    def stretches(self, values: Iterable[tuple[float, float | None]]) -> list[str]:
        """The same for each stretch of values that exist and lie within the plane."""
        low, high = self.y.first, self.y.last
        seen = ((x, None if y is None or not low <= y <= high else y) for x, y in values)
        return [self.points(stretch) for stretch in without_gaps(seen)]


def without_gaps(values: Iterable[tuple[float, float | None]]) -> list[list[Point]]:
    """The stretches of values without None."""
    grouped = groupby(values, key=lambda value: value[1] is None)
    return [[(x, y) for x, y in stretch if y is not None] for is_gap, stretch in grouped if not is_gap]

"""The charts of the page: scores over sentence length, and the course of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from seq2attn.evaluation.score import Bucket
from seq2attn.evaluation.summary import Summary, System
from seq2attn.report.chart import (
    Bar,
    Chart,
    Column,
    Dot,
    Plane,
    Point,
    Series,
    Size,
    Tick,
    Whisker,
    thinned,
    without_gaps,
)
from seq2attn.report.content import RunRecord
from seq2attn.report.figure import bucket_spans
from seq2attn.report.scores import bucket_tip, looks
from seq2attn.report.tables import length_name

_COUNTS = 56.0  # pixels below the lines for the bars of counts and their labels
_BAR_SHARE = 0.86
_RATIO_STEP = 0.1


def bleu_chart(summary: Summary, size: Size) -> Chart:
    """BLEU by length: lines, 95 % bands, windows, and below them how many sentences there are."""
    scores = [bucket.bleu for system in summary.systems for bucket in system.buckets if bucket.bleu is not None]
    highest = 1.1 * max([1.0, *(score.value if score.high is None else score.high for score in scores)])
    plane = Plane.of(size, _x_ends(summary), (0.0, highest), below=_COUNTS)
    series = [_bleu_series(plane, number, system, _middles(summary)) for number, system in enumerate(summary.systems)]
    return _chart(summary, plane, "BLEU", series, bars=_bars(summary, plane))


def ratio_chart(summary: Summary, size: Size) -> Chart:
    """Length of the translations as a share of the references', by length of the sentence."""
    ratios = [one.length_ratio for system in summary.systems for one in system.buckets if one.length_ratio is not None]
    low = _RATIO_STEP * math.floor(min([0.9, *ratios]) / _RATIO_STEP)
    high = _RATIO_STEP * math.ceil(max([1.1, *ratios]) / _RATIO_STEP)
    plane = Plane.of(size, _x_ends(summary), (low, high))
    series = [
        _line(plane, number, system.buckets, [bucket.length_ratio for bucket in system.buckets], _middles(summary))
        for number, system in enumerate(summary.systems)
    ]
    return _chart(summary, plane, "length ratio", series, rule=plane.y.place(1.0))


def _chart(
    summary: Summary,
    plane: Plane,
    y_title: str,
    series: Sequence[Series],
    bars: Sequence[Bar] = (),
    rule: float | None = None,
) -> Chart:
    buckets = summary.systems[0].buckets
    labels = [
        Tick(plane.x.place(middle), bucket.label) for middle, bucket in zip(_middles(summary), buckets, strict=True)
    ]
    return Chart(
        name=f"{y_title} by {summary.length_of} length",
        plane=plane,
        x_title=f"{length_name(summary)} in a sentence",
        y_title=y_title,
        x_ticks=thinned(labels, plane.x.end - plane.x.start),
        series=series,
        columns=[
            Column(plane.x.place(low), plane.x.place(high) - plane.x.place(low), bucket_tip(summary, place))
            for place, (low, high) in enumerate(bucket_spans(buckets).tolist())
        ],
        bars=bars,
        rule=rule,
        caps=_caps(summary, plane),
    )


def _x_ends(summary: Summary) -> Point:
    spans = bucket_spans(summary.systems[0].buckets)
    return float(spans[0, 0]), float(spans[-1, 1])


def _middles(summary: Summary) -> list[float]:
    middles: list[float] = bucket_spans(summary.systems[0].buckets).mean(axis=1).tolist()
    return middles


def _bleu_series(plane: Plane, number: int, system: System, middles: Sequence[float]) -> Series:
    line = _line(
        plane, number, system.buckets, [getattr(bucket.bleu, "value", None) for bucket in system.buckets], middles
    )
    ends = [
        (middle, getattr(bucket.bleu, "low", None), getattr(bucket.bleu, "high", None))
        for middle, bucket in zip(middles, system.buckets, strict=True)
    ]
    lower = without_gaps((middle, low) for middle, low, _ in ends)
    upper = without_gaps((middle, high) for middle, _, high in ends)
    return Series(
        system=number,
        lines=line.lines,
        faint_lines=plane.stretches((point.length, point.bleu) for point in system.smoothed),
        bands=[plane.points([*bottom, *reversed(top)]) for bottom, top in zip(lower, upper, strict=True)],
        whiskers=[
            Whisker(plane.x.place(middle), plane.y.place(high), plane.y.place(low))
            for middle, low, high in ends
            if low is not None and high is not None
        ],
        dots=line.dots,
    )


def _line(
    plane: Plane, number: int, buckets: Sequence[Bucket], values: Sequence[float | None], middles: Sequence[float]
) -> Series:
    """A line through `values`, hollow where there are few sentences."""
    return Series(
        system=number,
        lines=plane.stretches(zip(middles, values, strict=True)),
        dots=[
            Dot(plane.x.place(middle), plane.y.place(value), not bucket.enough)
            for middle, value, bucket in zip(middles, values, buckets, strict=True)
            if value is not None
        ],
    )


def _bars(summary: Summary, plane: Plane) -> list[Bar]:
    buckets = summary.systems[0].buckets
    most = max([1, *(bucket.n for bucket in buckets)])
    labels = thinned(
        [Tick(place, f"{bucket.n:,}") for place, bucket in enumerate(buckets)], plane.x.end - plane.x.start
    )
    told = {int(tick.place): tick.label for tick in labels}
    bottom = plane.y.start + _COUNTS
    bars = []
    for place, (bucket, (low, high)) in enumerate(zip(buckets, bucket_spans(buckets).tolist(), strict=True)):
        left, right = plane.x.place(low), plane.x.place(high)
        width, height = _BAR_SHARE * (right - left), 0.6 * _COUNTS * bucket.n / most
        bars.append(Bar((left + right - width) / 2, bottom - height, width, height, told.get(place, "")))
    return bars


def _caps(summary: Summary, plane: Plane) -> list[Tick]:
    """Where training sentences ended, if that is within the chart."""
    if summary.length_of != "source" or summary.length_unit != "words":
        return []
    caps = {system.max_source_words for system in summary.systems if system.max_source_words is not None}
    return [Tick(plane.x.place(cap), f"trained on ≤ {cap} words") for cap in sorted(caps) if cap <= plane.x.last]


_TRAINING, _VALIDATION, _BLEU = "perplexity/train", "perplexity/validation", "bleu/validation"
# More points than this in a line would be closer than a pixel is wide.
_MOST_POINTS = 400
# A model that has learned nothing yet would flatten everything that comes after it.
_MOST_PERPLEXITY = 1.5


def training_charts(summary: Summary, runs: Sequence[RunRecord], size: Size) -> list[Chart]:
    """Perplexity, that of training finely beside that of validation, and BLEU; without those that no run recorded."""
    return [
        chart
        for chart in (_perplexity_chart(summary, runs, size), _bleu_chart(summary, runs, size))
        if chart is not None
    ]


def _perplexity_chart(summary: Summary, runs: Sequence[RunRecord], size: Size) -> Chart | None:
    values = [value for run in runs for _, value in _curve(run, _VALIDATION)]
    if not values:
        return None
    ends = (0.8 * min(values), _MOST_PERPLEXITY * max(values))
    plane = Plane.of(size, _steps(runs), ends, logarithmic=True)
    return _training_chart(summary, runs, plane, "perplexity", _VALIDATION, beside=_TRAINING)


def _bleu_chart(summary: Summary, runs: Sequence[RunRecord], size: Size) -> Chart | None:
    values = [value for run in runs for _, value in _curve(run, _BLEU)]
    if not values:
        return None
    return _training_chart(summary, runs, Plane.of(size, _steps(runs), (0.0, 1.1 * max([1.0, *values]))), "BLEU", _BLEU)


def _training_chart(
    summary: Summary, runs: Sequence[RunRecord], plane: Plane, title: str, key: str, beside: str | None = None
) -> Chart:
    names = [system.name for system in summary.systems]
    series = []
    for run in runs:
        curve = _curve(run, key)
        faint = [] if beside is None else plane.stretches(_thin(_curve(run, beside)))
        dots = [Dot(plane.x.place(step), plane.y.place(value), False) for step, value in curve]
        series.append(Series(names.index(run.system), [plane.points(curve)], faint_lines=faint, dots=dots))
    return Chart(
        name=f"{title} while training",
        plane=plane,
        x_title="updates",
        y_title=f"{title} of validation sentences",
        x_ticks=thinned(plane.x.ticks(), plane.x.end - plane.x.start),
        series=series,
        columns=_columns(summary, runs, plane),
    )


def _curve(run: RunRecord, key: str) -> list[Point]:
    return [(line["step"], line[key]) for line in run.metrics if key in line and "step" in line]


def _steps(runs: Sequence[RunRecord]) -> Point:
    return 0.0, max([1.0, *(line["step"] for run in runs for line in run.metrics)])


def _thin(curve: Sequence[Point]) -> Sequence[Point]:
    return curve[:: 1 + len(curve) // _MOST_POINTS]


def _columns(summary: Summary, runs: Sequence[RunRecord], plane: Plane) -> list[Column]:
    """A strip around each update that any run was validated at."""
    steps = sorted({step for run in runs for key in (_VALIDATION, _BLEU) for step, _ in _curve(run, key)})
    edges = [plane.x.start, *(plane.x.place((one + next_one) / 2) for one, next_one in pairwise(steps)), plane.x.end]
    return [
        Column(left, right - left, _tip(summary, runs, step))
        for step, (left, right) in zip(steps, pairwise(edges), strict=True)
    ]


def _tip(summary: Summary, runs: Sequence[RunRecord], step: float) -> str:
    signs = {look.name: look.sign for look in looks(summary)}
    lines = [f"update {step:,.0f}"]
    for run in runs:
        told = []
        for key, name, places in ((_VALIDATION, "perplexity", 2), (_BLEU, "BLEU", 1)):
            value = dict(_curve(run, key)).get(step)
            told += [] if value is None else [f"{name} {value:.{places}f}"]
        lines += [f"{signs[run.system]} {run.name}: {', '.join(told)}"] if told else []
    return "\n".join(lines)

"""The charts of the page: scores by sentence length, and training curves"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from seq2attn.plots import chart
from seq2attn.report.content import RunRecord
from seq2attn.report.tables import bucket_text, length_name, sentences_text
from seq2attn.results.summary import Summary

_COUNTS = 56.0  # pixels below the lines for the bars of counts and their labels
_BAR_SHARE = 0.86
_RATIO_STEP = 0.1


@dataclass(frozen=True)
class Chart:
    """A whole chart."""

    name: str
    plane: chart.Plane
    x_title: str
    y_title: str
    x_ticks: Sequence[chart.Tick]
    series: Sequence[chart.Series]
    columns: Sequence[chart.Column]
    bars: Sequence[chart.Bar] = ()
    rule: float | None = None
    """The height of a horizontal line, as at a ratio of 1."""
    caps: Sequence[chart.Tick] = ()
    """The places of vertical dashed lines."""


def thinned(ticks: Sequence[chart.Tick], width: float, character: float = 6.5) -> list[chart.Tick]:
    """Every n-th of the ticks, so that their labels, at `character` pixels a character, fit into `width`."""
    longest = max((len(tick.label) for tick in ticks), default=0)
    every = max(1, math.ceil(len(ticks) * (longest + 1) * character / width))
    return list(ticks[::every])


def bleu_chart(summary: Summary, size: chart.Size) -> Chart:
    """BLEU by length: lines, 95 % bands, smoothed curves, and below them bars of sentence counts."""
    curve = chart.length_curve(summary)
    plane = chart.Plane.of(size, _x_ends(curve), (0.0, 1.1 * curve.top), below=_COUNTS)
    series = [_bleu_series(plane, number, line) for number, line in enumerate(curve.series)]
    return _chart(summary, curve, plane, "BLEU", series, bars=_bars(curve, plane))


def ratio_chart(summary: Summary, size: chart.Size) -> Chart:
    """Length of the translations relative to the references, by length of the sentence."""
    curve = chart.length_curve(summary)
    by_system = [[bucket.length_ratio for bucket in system.buckets] for system in summary.systems]
    ratios = [ratio for of_system in by_system for ratio in of_system if ratio is not None]
    low = _RATIO_STEP * math.floor(min([0.9, *ratios]) / _RATIO_STEP)
    high = _RATIO_STEP * math.ceil(max([1.1, *ratios]) / _RATIO_STEP)
    plane = chart.Plane.of(size, _x_ends(curve), (low, high))
    series = [
        _line(plane, number, line, of_system)
        for number, (line, of_system) in enumerate(zip(curve.series, by_system, strict=True))
    ]
    return _chart(summary, curve, plane, "length ratio", series, rule=plane.y.place(1.0))


def bucket_tip(summary: Summary, place: int) -> str:
    """Each system's score on one range of length, one line for each."""
    bucket = summary.systems[0].buckets[place]
    lines = [f"{bucket.label} {summary.length_unit}: {sentences_text(bucket.n)}"]
    for system, look in zip(summary.systems, chart.looks(summary), strict=True):
        lines.append(f"{look.sign} {system.name}: {bucket_text(system.buckets[place])}")
    return "\n".join(lines)


def _chart(
    summary: Summary,
    curve: chart.LengthCurve,
    plane: chart.Plane,
    y_title: str,
    series: Sequence[chart.Series],
    bars: Sequence[chart.Bar] = (),
    rule: float | None = None,
) -> Chart:
    labels = [
        chart.Tick(plane.x.place(middle), label) for middle, label in zip(curve.middles, curve.labels, strict=True)
    ]
    return Chart(
        name=f"{y_title} by {summary.length_of} length",
        plane=plane,
        x_title=f"{length_name(summary)} in a sentence",
        y_title=y_title,
        x_ticks=thinned(labels, plane.x.end - plane.x.start),
        series=series,
        columns=[
            chart.Column(plane.x.place(low), plane.x.place(high) - plane.x.place(low), bucket_tip(summary, place))
            for place, (low, high) in enumerate(curve.spans)
        ],
        bars=bars,
        rule=rule,
        caps=[chart.Tick(plane.x.place(cap), f"trained on ≤ {cap} words") for cap in curve.caps if cap <= plane.x.last],
    )


def _x_ends(curve: chart.LengthCurve) -> chart.Point:
    return curve.spans[0][0], curve.spans[-1][1]


def _bleu_series(plane: chart.Plane, number: int, series: chart.CurveSeries) -> chart.Series:
    scores = [point.score for point in series.points]
    line = _line(plane, number, series, [None if score is None else score.value for score in scores])
    ends = [
        (point.middle, getattr(point.score, "low", None), getattr(point.score, "high", None)) for point in series.points
    ]
    lower = chart.without_gaps((middle, low) for middle, low, _ in ends)
    upper = chart.without_gaps((middle, high) for middle, _, high in ends)
    return chart.Series(
        system=number,
        lines=line.lines,
        faint_lines=plane.stretches(series.smoothed),
        dashed_lines=plane.stretches((point.middle, point.alone) for point in series.points),
        bands=[plane.points([*bottom, *reversed(top)]) for bottom, top in zip(lower, upper, strict=True)],
        whiskers=[
            chart.Whisker(plane.x.place(middle), plane.y.place(high), plane.y.place(low))
            for middle, low, high in ends
            if low is not None and high is not None
        ],
        dots=line.dots,
    )


def _line(plane: chart.Plane, number: int, series: chart.CurveSeries, values: Sequence[float | None]) -> chart.Series:
    """A line through `values`, hollow where there are few sentences."""
    return chart.Series(
        system=number,
        lines=plane.stretches((point.middle, value) for point, value in zip(series.points, values, strict=True)),
        dots=[
            chart.Dot(plane.x.place(point.middle), plane.y.place(value), not point.enough)
            for point, value in zip(series.points, values, strict=True)
            if value is not None
        ],
    )


def _bars(curve: chart.LengthCurve, plane: chart.Plane) -> list[chart.Bar]:
    most = max([1, *curve.counts])
    labels = thinned(
        [chart.Tick(place, f"{count:,}") for place, count in enumerate(curve.counts)], plane.x.end - plane.x.start
    )
    shown = {int(tick.place): tick.label for tick in labels}
    bottom = plane.y.start + _COUNTS
    bars = []
    for place, (count, (low, high)) in enumerate(zip(curve.counts, curve.spans, strict=True)):
        left, right = plane.x.place(low), plane.x.place(high)
        width, height = _BAR_SHARE * (right - left), 0.6 * _COUNTS * count / most
        bars.append(chart.Bar((left + right - width) / 2, bottom - height, width, height, shown.get(place, "")))
    return bars


_TRAINING, _VALIDATION, _BLEU = "perplexity/train", "perplexity/validation", "bleu/validation"
# With more points, neighbours would be less than a pixel apart.
_MOST_POINTS = 400
# Cut off the first, very high perplexities, which would flatten the rest of the curve.
_MOST_PERPLEXITY = 1.5


def training_charts(summary: Summary, runs: Sequence[RunRecord], size: chart.Size) -> list[Chart]:
    """Perplexity (validation, and training as a fine line) and BLEU; a chart that no run has values for is left out."""
    drawn = _perplexity_chart(summary, runs, size), _bleu_chart(summary, runs, size)
    return [found for found in drawn if found is not None]


def _perplexity_chart(summary: Summary, runs: Sequence[RunRecord], size: chart.Size) -> Chart | None:
    values = [value for run in runs for _, value in _curve(run, _VALIDATION)]
    if not values:
        return None
    ends = (0.8 * min(values), _MOST_PERPLEXITY * max(values))
    plane = chart.Plane.of(size, _steps(runs), ends, logarithmic=True)
    return _training_chart(summary, runs, plane, "perplexity", _VALIDATION, faint_key=_TRAINING)


def _bleu_chart(summary: Summary, runs: Sequence[RunRecord], size: chart.Size) -> Chart | None:
    values = [value for run in runs for _, value in _curve(run, _BLEU)]
    if not values:
        return None
    return _training_chart(
        summary, runs, chart.Plane.of(size, _steps(runs), (0.0, 1.1 * max([1.0, *values]))), "BLEU", _BLEU
    )


def _training_chart(
    summary: Summary, runs: Sequence[RunRecord], plane: chart.Plane, title: str, key: str, faint_key: str | None = None
) -> Chart:
    names = [system.name for system in summary.systems]
    series = []
    for run in runs:
        curve = _curve(run, key)
        faint = [] if faint_key is None else plane.stretches(_thin(_curve(run, faint_key)))
        dots = [chart.Dot(plane.x.place(step), plane.y.place(value), False) for step, value in curve]
        series.append(chart.Series(names.index(run.system), [plane.points(curve)], faint_lines=faint, dots=dots))
    return Chart(
        name=f"{title} while training",
        plane=plane,
        x_title="updates",
        y_title=f"{title} of validation sentences",
        x_ticks=thinned(plane.x.ticks(), plane.x.end - plane.x.start),
        series=series,
        columns=_columns(summary, runs, plane),
    )


def _curve(run: RunRecord, key: str) -> list[chart.Point]:
    return [(line["step"], line[key]) for line in run.metrics if key in line and "step" in line]


def _steps(runs: Sequence[RunRecord]) -> chart.Point:
    return 0.0, max([1.0, *(line["step"] for run in runs for line in run.metrics)])


def _thin(curve: Sequence[chart.Point]) -> Sequence[chart.Point]:
    return curve[:: 1 + len(curve) // _MOST_POINTS]


def _columns(summary: Summary, runs: Sequence[RunRecord], plane: chart.Plane) -> list[chart.Column]:
    """A strip around each update that any run was validated at."""
    steps = sorted({step for run in runs for key in (_VALIDATION, _BLEU) for step, _ in _curve(run, key)})
    middles = [(step + next_step) / 2 for step, next_step in pairwise(steps)]
    edges = [plane.x.start, *map(plane.x.place, middles), plane.x.end]
    return [
        chart.Column(left, right - left, _tip(summary, runs, step))
        for step, (left, right) in zip(steps, pairwise(edges), strict=True)
    ]


def _tip(summary: Summary, runs: Sequence[RunRecord], step: float) -> str:
    signs = {look.name: look.sign for look in chart.looks(summary)}
    lines = [f"update {step:,.0f}"]
    for run in runs:
        values = []
        for key, name, places in ((_VALIDATION, "perplexity", 2), (_BLEU, "BLEU", 1)):
            value = dict(_curve(run, key)).get(step)
            values += [] if value is None else [f"{name} {value:.{places}f}"]
        lines += [f"{signs[run.system]} {run.name}: {', '.join(values)}"] if values else []
    return "\n".join(lines)

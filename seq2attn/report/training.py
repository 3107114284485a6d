"""The charts of training: perplexity and BLEU of the validation sentences over the updates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from seq2attn.evaluation.summary import Summary
from seq2attn.report.chart import Chart, Column, Dot, Plane, Point, Series, Size, thinned
from seq2attn.report.page_content import RunRecord
from seq2attn.report.scores import looks

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
    return _chart(summary, runs, plane, "perplexity", _VALIDATION, beside=_TRAINING)


def _bleu_chart(summary: Summary, runs: Sequence[RunRecord], size: Size) -> Chart | None:
    values = [value for run in runs for _, value in _curve(run, _BLEU)]
    if not values:
        return None
    return _chart(summary, runs, Plane.of(size, _steps(runs), (0.0, 1.1 * max([1.0, *values]))), "BLEU", _BLEU)


def _chart(
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

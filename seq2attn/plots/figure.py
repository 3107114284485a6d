"""The figure: BLEU over sentence length with intervals and counts"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.evaluation.slope import WINDOW
from seq2attn.plots.chart import CurveSeries, LengthCurve, length_curve
from seq2attn.results.summary import Summary
from seq2attn.style import FAINT, GRID, INK, InlineFigure, house_style, save_figure

_SIZE_INCHES = (9.6, 5.6)
_NAME_COLUMNS, _NAME_LINES = 21, 3
_NAME_POINTS = 10.0
_NOTE_COLUMNS = 120


def draw_length_curve(summary: Summary, path_without_suffix: str | Path) -> tuple[Path, Path]:
    """The figure as `.png` and `.svg`; their paths, in this order.

    Empty buckets leave a gap between others; at either end of the axis they are left out.
    """
    with house_style():
        return save_figure(length_curve_figure(summary), Path(path_without_suffix), _title(summary))


def length_curve_figure(summary: Summary) -> InlineFigure:
    """The figure; create and draw it inside `house_style()`.

    It is not registered with pyplot and needs no display.
    """
    summary = _without_empty_ends(summary)
    figure = InlineFigure(figsize=_SIZE_INCHES, facecolor="white")
    grid = figure.add_gridspec(2, 1, height_ratios=(6, 1), hspace=0.06, left=0.07, right=0.775, bottom=0.1, top=0.83)
    curves, counts = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    curve = length_curve(summary)
    _set_scales(curves, curve)
    for series in curve.series:
        _draw_series(curves, series)
    _name_lines(curves, curve)
    _draw_training_caps(curves, curve)
    _draw_counts(counts, curve)
    counts.set_xlabel(f"length of the {summary.length_of} sentence in {summary.length_unit}")
    _write_titles(figure, summary)
    return figure


def _without_empty_ends(summary: Summary) -> Summary:
    """The summary without the empty buckets at either end; unchanged where all are empty."""
    filled = [place for place, bucket in enumerate(summary.systems[0].buckets) if bucket.n]
    if not filled:
        return summary
    shown = slice(filled[0], filled[-1] + 1)
    systems = (replace(system, buckets=system.buckets[shown]) for system in summary.systems)
    return replace(summary, systems=tuple(systems))


def spread_apart(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Centres for labels of these heights, near the wanted ones, between `low` and `high`, without overlap.

    Where they do not fit, they start at `low` and extend above `high`.
    """
    centres = list(wanted)
    order = sorted(range(len(centres)), key=lambda place: centres[place])
    floor = low
    for place in order:
        centres[place] = max(centres[place], floor + heights[place] / 2)
        floor = centres[place] + heights[place] / 2
    ceiling = max(high, low + sum(heights))
    for place in reversed(order):
        centres[place] = min(centres[place], ceiling - heights[place] / 2)
        ceiling = centres[place] - heights[place] / 2
    return centres


def _title(summary: Summary) -> str:
    return f"BLEU over {summary.length_of} length"


def _set_scales(axes: Axes, curve: LengthCurve) -> None:
    axes.set_ylim(0.0, 1.1 * curve.top)
    axes.set_xlim(curve.spans[0][0], curve.spans[-1][1])
    axes.set_ylabel("BLEU")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_series(axes: Axes, series: CurveSeries) -> None:
    colour, marker = series.look.colour, series.look.marker
    middles = np.array([point.middle for point in series.points])
    bleu, low, high = (
        np.array([getattr(point, key) for point in series.points], dtype=np.float64) for key in ("value", "low", "high")
    )
    axes.fill_between(middles, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(middles, bleu, color=colour, linewidth=2.2)
    if series.smoothed:
        lengths, smooth = zip(*series.smoothed, strict=True)
        axes.plot(lengths, smooth, color=colour, linewidth=1.1, alpha=0.8, linestyle=(0, (1, 1.2)))
    alone = np.array([point.alone for point in series.points], dtype=np.float64)
    axes.plot(middles, alone, color=colour, linewidth=1.2, alpha=0.8, linestyle=(0, (5, 3)))
    few = np.array([not point.enough for point in series.points])
    # A band is invisible between empty neighbours; bars show the interval at every point.
    axes.vlines(middles, low, high, color=colour, alpha=0.45, linewidth=1.2)
    for chosen, face in ((~few, colour), (few, "white")):
        axes.plot(
            middles[chosen],
            bleu[chosen],
            linestyle="none",
            marker=marker,
            markersize=7,
            markeredgecolor=colour,
            markeredgewidth=1.6,
            markerfacecolor=face,
            clip_on=False,
        )


def _name_lines(axes: Axes, curve: LengthCurve) -> None:
    """Write each line's name to the right of it, connected to its last point."""
    names = [
        "\n".join(textwrap.wrap(series.look.name, _NAME_COLUMNS, max_lines=_NAME_LINES, placeholder="…"))
        for series in curve.series
    ]
    low, high = axes.get_ylim()
    axes_points = axes.get_position().height * _SIZE_INCHES[1] * 72
    line = 1.45 * _NAME_POINTS / axes_points * (high - low)
    left, right = curve.spans[0][0], curve.spans[-1][1]
    ends = [_last_point(series, right) for series in curve.series]
    heights = [line * (name.count("\n") + 1) for name in names]
    centres = spread_apart([y for _, y in ends], heights, low, high)
    gap = 0.008 * (right - left)
    for name, end, centre, series in zip(names, ends, centres, curve.series, strict=True):
        elbow, foot = right + gap, right + 3 * gap
        axes.plot(
            [end[0], elbow, foot],
            [end[1], centre, centre],
            color=series.look.colour,
            linewidth=0.9,
            alpha=0.7,
            clip_on=False,
            zorder=1.5,
        )
        axes.text(foot + gap, centre, name, va="center", fontsize=_NAME_POINTS, fontweight="bold", color=INK)


def _last_point(series: CurveSeries, right: float) -> tuple[float, float]:
    """The end of a line; the bottom of the axis for a system without any score."""
    scored = [(point.middle, point.score.value) for point in series.points if point.score is not None]
    return scored[-1] if scored else (right, 0.0)


def _draw_training_caps(axes: Axes, curve: LengthCurve) -> None:
    """Draw a dashed line at the longest training length; an arrow at the edge where that lies beyond the axis."""
    for order, cap in enumerate(curve.caps):
        words = f"trained on ≤ {cap} words"
        inside = cap <= curve.spans[-1][0]
        place = float(cap if inside else curve.spans[-1][1])
        if inside:
            axes.axvline(place, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.annotate(
            words if inside else f"{words} →",
            (place, 1.0),
            xycoords=axes.get_xaxis_transform(),
            # Every second label is higher, so that neighbours do not overlap.
            xytext=(0, 3 + 12 * (order % 2)),
            textcoords="offset points",
            ha="center" if inside else "right",
            fontsize=9,
            color=FAINT,
        )


def _draw_counts(axes: Axes, curve: LengthCurve) -> None:
    """Draw the number of sentences in each bucket, which is the same for all systems."""
    axes.bar(curve.middles, curve.counts, width=[0.86 * (high - low) for low, high in curve.spans], color="#d1d5db")
    for middle, count in zip(curve.middles, curve.counts, strict=True):
        axes.annotate(
            f"{count:,}",
            (middle, count),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=FAINT,
        )
    axes.set_xlim(curve.spans[0][0], curve.spans[-1][1])
    axes.set_ylim(0, 1.6 * max([1, *curve.counts]))
    axes.set_xticks(curve.middles, curve.labels)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_ylabel("sentences", fontsize=8.5, color=FAINT)


def figure_notes(summary: Summary) -> list[str]:
    """What the signs in the figure mean, for those that it shows."""
    notes = []
    if any(
        bucket.bleu is not None and bucket.bleu.low is not None
        for system in summary.systems
        for bucket in system.buckets
    ):
        notes.append(f"bands: 95 % bootstrap intervals over {summary.resample}")
    if any(system.smoothed for system in summary.systems):
        notes.append(f"dotted: windows of {WINDOW} lengths")
    if any(bucket.alone is not None for system in summary.systems for bucket in system.buckets):
        notes.append("dashed: the same sentences one by one")
    if any(bucket.n and not bucket.enough for system in summary.systems for bucket in system.buckets):
        notes.append(f"hollow: fewer than {FEW_SENTENCES} sentences")
    return notes


def _write_titles(figure: Figure, summary: Summary) -> None:
    notes = [note.replace(" ", "\N{NO-BREAK SPACE}") for note in (summary.text_name, *figure_notes(summary))]
    lines = textwrap.fill("  ·  ".join(notes), _NOTE_COLUMNS, break_long_words=False).replace("\N{NO-BREAK SPACE}", " ")
    figure.text(0.02, 0.945, _title(summary), fontsize=15, fontweight="bold")
    figure.text(0.02, 0.925, lines, fontsize=10, color=FAINT, va="top")

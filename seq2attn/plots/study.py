"""The figure of a study: curves with bands, or estimates with intervals"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from seq2attn.results.study import StudyPanel, StudyResult, StudySeries
from seq2attn.style import FAINT, GRID, LINE_STYLES, InlineFigure, house_style, save_figure

_PANEL_INCHES, _ROW_INCHES, _LEAST_INCHES = 6.4, 0.3, 3.6
_MOST_IN_A_ROW = 3
_TITLE_COLUMNS = 62
_FEW_VALUES = 10
"""Values of a logarithmic axis that each get a label."""
_NARROW = 300.0
"""Ratio of the ends of a logarithmic axis below which 2 and 5 are labelled too."""
_MOST_WITHIN = 6
"""Series in a legend within the axes."""
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.2)))


def draw_study(result: StudyResult, path_without_suffix: Path) -> tuple[Path, Path]:
    """The figure as `.png` and `.svg`; their paths, in this order."""
    with house_style():
        return save_figure(study_figure(result), path_without_suffix, result.question)


def study_figure(result: StudyResult) -> InlineFigure:
    """The panels in even rows of three at most; create and draw the figure inside `house_style()`."""
    most = max((len(panel.categories) for panel in result.panels), default=0)
    height = max(_LEAST_INCHES, 1.6 + _ROW_INCHES * most)
    number = max(1, len(result.panels))
    rows = ceil(number / _MOST_IN_A_ROW)
    columns = ceil(number / rows)
    figure = InlineFigure(figsize=(_PANEL_INCHES * columns, height * rows), facecolor="white", layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(result.question, _TITLE_COLUMNS * columns)), fontweight="bold")
    places = figure.subplots(rows, columns, squeeze=False).flat
    # The panels first: `zip` takes one item more of what stands before that which ends.
    for panel, axes in zip(result.panels, places, strict=False):
        _draw_panel(axes, panel)
    for axes in places:  # those that are left
        axes.set_axis_off()
    return figure


def _draw_panel(axes: Axes, panel: StudyPanel) -> None:
    axes.set_title(panel.title, fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="x" if panel.categories else "y", color=GRID)
    for number, series in enumerate(panel.series):
        if panel.categories:
            offset = (number - (len(panel.series) - 1) / 2) * 0.6 / max(1, len(panel.series))
            _draw_estimates(axes, series, number, offset)
        else:
            _draw_curve(axes, series, number)
    if panel.categories:
        axes.set_yticks(range(len(panel.categories)), panel.categories)
        axes.set_ylim(len(panel.categories) - 0.5, -0.5)
        axes.set_xlabel(panel.y_label)
    else:
        if panel.x_scale == "log":
            axes.set_xscale("log")
            _label_logarithms(axes.xaxis, {point.x for series in panel.series for point in series.points})
        if panel.y_scale == "log":
            axes.set_yscale("log")
            _label_logarithms(axes.yaxis)
        axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
    if len(panel.series) > _MOST_WITHIN:  # it would hide curves, and the search for the best place would be slow
        axes.legend(frameon=False, fontsize=8.5, labelcolor=FAINT, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif len(panel.series) > 1:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=FAINT)


def _label_logarithms(axis: Axis, values: Collection[float] = ()) -> None:
    """Labels of a logarithmic axis, in digits, because formulas are not drawn: at `values` if these are few."""
    low, high = axis.get_view_interval()
    if 0 < len(values) <= _FEW_VALUES:
        axis.set_major_locator(FixedLocator(sorted(values)))
        axis.set_minor_locator(NullLocator())
    else:
        digits = range(1, 10) if high < low * 10 else (1, 2, 5) if high < low * _NARROW else (1,)
        axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _draw_curve(axes: Axes, series: StudySeries, number: int) -> None:
    colour, marker = LINE_STYLES[number % len(LINE_STYLES)]
    dash = _DASHES[number // len(LINE_STYLES) % len(_DASHES)]
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    axes.plot(x, y, color=colour, marker=marker, markersize=4.5, linewidth=1.8, linestyle=dash, label=series.name)
    if series.points and all(point.low is not None and point.high is not None for point in series.points):
        low, high = _ends(series)
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)


def _draw_estimates(axes: Axes, series: StudySeries, number: int, offset: float) -> None:
    colour, marker = LINE_STYLES[number % len(LINE_STYLES)]
    rows = [point.x + offset for point in series.points]
    low, high = _ends(series)
    axes.hlines(rows, low, high, color=colour, linewidth=1.4, alpha=0.7)
    values = [point.y for point in series.points]
    axes.plot(values, rows, linestyle="none", marker=marker, markersize=5.5, color=colour, label=series.name)


def _ends(series: StudySeries) -> tuple[Sequence[float], Sequence[float]]:
    """Both ends of each interval; the value itself where there is none."""
    low = [point.y if point.low is None else point.low for point in series.points]
    return low, [point.y if point.high is None else point.high for point in series.points]

"""The figure of growth: time and memory of a training step over the length of its sentences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from seq2attn.benchmark.growth import Growth, GrowthPoint
from seq2attn.benchmark.timing import Spread
from seq2attn.style import FAINT, GRID, LINE_STYLES, house_style, save_figure

_SIZE_INCHES = (9.6, 5.0)
_TITLE = "Cost of a training step over sentence length"


def draw_growth(growth: Growth, path_without_suffix: Path) -> tuple[Path, Path]:
    """The figure as `.png` and `.svg`; their paths, in this order."""
    with house_style():
        return save_figure(_growth_figure(growth), path_without_suffix, _TITLE)


def _growth_figure(growth: Growth) -> Figure:
    figure = Figure(figsize=_SIZE_INCHES, facecolor="white")
    time, memory = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.075, right=0.98, bottom=0.15, top=0.72, wspace=0.24)
    _draw(time, growth, lambda point: point.seconds, 1e3, "milliseconds a step")
    _draw(memory, growth, lambda point: point.added_bytes, 1e-6, "megabytes that the step adds")
    lines, names = time.get_legend_handles_labels()
    figure.legend(lines, names, loc="upper left", bbox_to_anchor=(0.012, 0.86), ncols=4, frameon=False)
    figure.text(0.02, 0.93, _TITLE, fontsize=15, fontweight="bold")
    notes = [
        f"{growth.sentences} sentence pairs, targets as long as sources",
        f"median of {growth.rounds} measurements, bars from the lowest to the highest",
    ]
    figure.text(0.02, 0.88, "  ·  ".join(notes), fontsize=10, color=FAINT)
    figure.text(0.02, 0.02, f"{growth.setting.machine}; device {growth.setting.device}", fontsize=8, color=FAINT)
    return figure


def _draw(axes: Axes, growth: Growth, spread_of: Callable[[GrowthPoint], Spread], factor: float, label: str) -> None:
    """One line a model; what grows with the length is straight, what grows with its square bends upwards."""
    lengths = [point.length for point in growth.models[0].points]
    for model, (colour, marker) in zip(growth.models, cycle(LINE_STYLES), strict=False):
        spreads = [spread_of(point) for point in model.points]
        median, lowest, highest = (
            factor * np.array([getattr(spread, name) for spread in spreads]) for name in ("median", "lowest", "highest")
        )
        axes.plot(lengths, median, color=colour, marker=marker, linewidth=2.2, label=model.name)
        axes.vlines(lengths, lowest, highest, color=colour, alpha=0.45, linewidth=1.2)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("tokens of each sentence")
    axes.set_title(label, loc="left", fontsize=10)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)

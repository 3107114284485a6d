"""A benchmark as terminal tables and as a figure"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import rich.table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from seq2attn.benchmark.growth import Growth, GrowthPoint
from seq2attn.benchmark.machine import Setting, Spread
from seq2attn.benchmark.speed import Bench, ModelSpeed
from seq2attn.style import FAINT, GRID, LINE_STYLES, house_style, save_figure

_GIGA, _MEGA, _MILLI = 1e9, 1e6, 1e-3


def speed_tables(bench: Bench) -> RenderableType:
    """The models, then everything around them, then how to read the tables."""
    models = _table("model", "tokens/s", "GFLOP/s", "share", "memory")
    for model in bench.models:
        _add_model(models, model)
        models.add_section()
    tables = [models, _ratios_table(bench)] if len(bench.models) > 1 else [models]
    around = _table("around the models", "")
    around.add_row("matrix products, float32", f"{_text(bench.products_flops_per_second, 1 / _GIGA)} GFLOP/s")
    for what, spread in bench.pipeline_tokens_per_second.items():
        around.add_row(what, f"{_text(spread)} tokens/s")
    for what, spread in bench.start_up_seconds.items():
        around.add_row(what, f"{_text(spread, digits=2)} s")
    note = (
        f"Median (lowest–highest) of {bench.rounds} rounds, of {bench.products_flops_per_second.count} for the matrix "
        "products. Tokens are source tokens for encoding and target tokens otherwise, without padding. Share: model "
        "FLOP/s divided by the rate of matrix products in the same round. Memory: peak of a process that only trains."
    )
    if len(bench.models) > 1:
        note += (
            " Ratios: tokens/s divided by those of the first model in the same round; their median with its 95 % "
            "interval, which takes six rounds."
        )
    return Group(*tables, around, _footer(bench.setting, note))


def _ratios_table(bench: Bench) -> rich.table.Table:
    """The other models relative to the first: a row for their size, and one for each kind of work."""
    first, *others = bench.models
    table = _table(f"relative to {first.name}", "")
    for model in others:
        table.add_row(Text(model.name, style="bold"), "")
        table.add_row("  parameters", f"{model.parameters / first.parameters:.3f}")
        for work, speed in model.works.items():
            ratio = speed.relative_to_first
            interval = "" if ratio.low is None else f" ({ratio.low:.3f}–{ratio.high:.3f})"
            table.add_row(f"  {work}", f"{ratio.median:.3f}{interval}")
    return table


def growth_table(growth: Growth) -> RenderableType:
    """A row for each model and length."""
    table = _table("model", "tokens", "ms a step", "MB added", "MB in all")
    for model in growth.models:
        for place, point in enumerate(model.points):
            table.add_row(
                Text("" if place else model.name),
                str(point.length),
                _text(point.seconds, 1 / _MILLI),
                _text(point.added_bytes, 1 / _MEGA),
                f"{point.peak_bytes.median / _MEGA:,.0f}",
            )
        table.add_section()
    note = (
        f"A training step on {growth.sentences} sentence pairs, source and target of as many tokens each. Median "
        f"(lowest–highest) of {growth.rounds} measurements, each the median of {growth.steps} steps. Added: by how "
        "much these raise the peak of a process that has trained on two tokens."
    )
    return Group(table, _footer(growth.setting, note))


def _table(*headings: str) -> rich.table.Table:
    table = rich.table.Table(box=box.SIMPLE_HEAD)
    for place, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if place else "left", no_wrap=place > 0)
    return table


def _add_model(table: rich.table.Table, model: ModelSpeed) -> None:
    """The name in a row of its own, so that five columns fit into 80."""
    table.add_row(Text(model.name, style="bold"), "", "", "", f"{model.peak_memory_bytes / _MEGA:,.0f} MB")
    for work, speed in model.works.items():
        table.add_row(
            f"  beam of {model.beam_size}" if work == "beam" else f"  {work}",
            _text(speed.tokens_per_second),
            f"{speed.flops_per_second.median / _GIGA:,.1f}",
            f"{_text(speed.share_of_products, 100)} %",
            "",
        )


def _text(spread: Spread, factor: float = 1.0, digits: int = 0) -> str:
    """The median with lowest and highest, `5,312 (5,240–5,387)`, times `factor`."""
    median, lowest, highest = (
        f"{factor * value:,.{digits}f}" for value in (spread.median, spread.lowest, spread.highest)
    )
    return f"{median} ({lowest}–{highest})"


def _footer(setting: Setting, note: str) -> Text:
    return Text(f"{note}\n{setting.machine}; device {setting.device}", style="dim")


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

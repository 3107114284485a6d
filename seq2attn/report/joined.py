"""Scores on joined sentences as tables and as a figure"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seq2attn.evaluation.joined import Cost, JoinedGroup, JoinedSummary, JoinedSystem
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.report.markdown import Block, Code, Heading, Paragraph, Picture, Table
from seq2attn.report.tables import score_text
from seq2attn.report.wording import p_value_text, signed
from seq2attn.style import FAINT, GRID, INK, LINE_STYLES, house_style, save_figure

EXPLANATION = (
    "Consecutive sentences of a document are joined, and each sentence is used once for each join size. Joined is the "
    "BLEU of the whole as one input, alone is that of the same sentences translated one at a time. The difference is "
    "due to length alone. Intervals and one-sided p-values are from a bootstrap over documents; p is corrected for the "
    "number of rows (Holm)."
)


def size_table(summary: JoinedSummary) -> Table:
    """A row for each system and join size."""
    return _table(summary, "sentences joined", [(system.name, system.by_size) for system in summary.systems])


def joined_length_table(summary: JoinedSummary) -> Table:
    """A row for each system and range of lengths; ranges without segments are left out."""
    groups = [(system.name, tuple(group for group in system.by_length if group.n)) for system in summary.systems]
    return _table(summary, f"source {summary.length_unit}", groups)


def joined_blocks(summary: JoinedSummary, figure_address: str) -> Iterator[Block]:
    """The result as the blocks of a document."""
    names = ", ".join(system.name for system in summary.systems)
    yield Heading(f"Sentences joined and alone: {summary.corpus}, {summary.split}", 1)
    yield Paragraph(f"{EXPLANATION} At most {summary.longest} words are joined. Measured on: {summary.machine}.")
    yield Picture(figure_address, f"BLEU over length of joined sentences: {names}")
    yield Heading("By the number of sentences joined", 2)
    yield size_table(summary)
    yield Heading("By length of the input", 2)
    yield joined_length_table(summary)
    yield Heading("How to reproduce it", 2)
    yield Code(summary.command)
    yield Paragraph(f"SacreBLEU's signature: {summary.signature}")


def _table(summary: JoinedSummary, what: str, systems: list[tuple[str, tuple[JoinedGroup, ...]]]) -> Table:
    header = ("system", what, "segments", f"mean {summary.length_unit}", "joined", "alone", "lost by joining", "p")
    return Table(header, tuple((name, *_cells(group)) for name, groups in systems for group in groups))


def _cells(group: JoinedGroup) -> tuple[str, ...]:
    mean_length = "–" if group.mean_length is None else f"{group.mean_length:.0f}"
    lost, p_value = _cost_cells(group.cost)
    return (group.label, f"{group.n:,}", mean_length, score_text(group.joined), score_text(group.alone), lost, p_value)


def _cost_cells(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "–", "–"
    return f"{signed(cost.value)} ({signed(cost.low)} to {signed(cost.high)})", p_value_text(cost.p_corrected)


_SIZE_INCHES = (9.6, 5.6)
_TITLE = "BLEU over the length of joined sentences"


def draw_joined(summary: JoinedSummary, path_without_suffix: Path) -> tuple[Path, Path]:
    """The figure as `.png` and `.svg`; their paths, in this order."""
    with house_style():
        return save_figure(joined_figure(summary), path_without_suffix, _TITLE)


def joined_figure(summary: JoinedSummary) -> Figure:
    """The figure; create and draw it inside `house_style()`.

    Each group is drawn at the mean length of its segments; groups of few segments are left out.
    """
    figure = Figure(figsize=_SIZE_INCHES, facecolor="white")
    axes = figure.add_axes((0.07, 0.1, 0.67, 0.73))
    tops = [1.0]
    for system, (colour, marker) in zip(summary.systems, cycle(LINE_STYLES), strict=False):
        tops += _draw_system(axes, system, colour, marker)
    axes.set_ylim(0.0, 1.1 * max(tops))
    axes.set_xlim(left=0.0)
    _draw_caps(axes, summary)
    axes.set_ylabel("BLEU")
    axes.set_xlabel(f"length of the input in {summary.length_unit}, mean of each group")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _draw_legend(axes, summary)
    figure.text(0.02, 0.945, _TITLE, fontsize=15, fontweight="bold")
    notes = f"{summary.corpus}, {summary.split}  ·  bands: 95 % bootstrap intervals over documents"
    figure.text(0.02, 0.905, notes, fontsize=10, color=FAINT)
    return figure


def _draw_system(axes: Axes, system: JoinedSystem, colour: str, marker: str) -> list[float]:
    """Draw both lines of a system, with the interval of the joined one, and return the highest values."""
    rows = [_values(group) for group in system.by_length if group.n >= FEW_SENTENCES]
    if not rows:
        return []
    x, low, joined, high, alone = np.array(rows, dtype=np.float64).T
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(x, joined, color=colour, linewidth=2.2, marker=marker, markersize=6)
    axes.plot(x, alone, color=colour, linewidth=1.3, linestyle=(0, (3, 2)))
    return [*high, *alone]


def _values(group: JoinedGroup) -> tuple[float | None, ...]:
    """Mean length, the interval's low end, BLEU joined, its high end, and BLEU alone."""
    assert group.joined is not None
    assert group.alone is not None
    return group.mean_length, group.joined.low, group.joined.value, group.joined.high, group.alone.value


def _draw_caps(axes: Axes, summary: JoinedSummary) -> None:
    """Draw a dashed line at the longest training length."""
    if summary.length_unit != "words":
        return
    caps = {system.max_source_words for system in summary.systems if system.max_source_words}
    for order, cap in enumerate(sorted(caps)):
        axes.axvline(cap, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2)
        place = (cap, 1.0)
        axes.annotate(
            f"trained on ≤ {cap} words",
            place,
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3 + 12 * (order % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=FAINT,
        )


def _draw_legend(axes: Axes, summary: JoinedSummary) -> None:
    lines = [
        Line2D([], [], color=colour, linewidth=2.2, marker=marker, label=system.name)
        for system, (colour, marker) in zip(summary.systems, cycle(LINE_STYLES), strict=False)
    ]
    lines += [
        Line2D([], [], color=INK, linewidth=2.2, label="as one input"),
        Line2D([], [], color=INK, linewidth=1.3, linestyle=(0, (3, 2)), label="the same sentences\none at a time"),
    ]
    axes.legend(handles=lines, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)

"""Attention maps as a picture: a heat map for each, all on one colour scale."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font, StyleFlags

from seq2attn.attention.maps import AttentionMap, Choice, Exploration
from seq2attn.errors import disk_errors
from seq2attn.style import FAINT, GRID, INK, PNG_DPI, InlineFigure, house_style

# Most weights of a transformer are small; the square root makes them visible, and the colour bar shows the scale.
_SCALE = PowerNorm(0.5, vmin=0.0, vmax=1.0)
_SCALE_TICKS = (0.0, 0.05, 0.2, 0.5, 1.0)
_COLOURS = "Oranges"  # as on the page
_CELL_INCHES, _CHARACTER_INCHES, _LEAST_INCHES = 0.24, 0.085, 2.2
_TEXT_INCHES, _LINE_INCHES = 2.6, 0.19
_HEADING_POINTS, _TITLE_POINTS, _LABEL_POINTS = 12.0, 9.5, 8.5
_MOST_IN_ONE_ROW = 3


@dataclass(frozen=True)
class Panel:
    """A heat map of a picture, or paragraphs in its place: the translation, and why the system has no map."""

    title: str
    map: AttentionMap | None
    instead: tuple[str, ...] = ()


def save_figure(exploration: Exploration, choice: Choice, as_subwords: bool, path: Path) -> str:
    """Write the picture as PNG or SVG, by the suffix of `path`; the characters that no installed font has.

    Raises: RunError if it cannot be written, or if a system lacks the layer or head.
    """
    systems = exploration.systems
    heading = exploration.source if len(systems) > 1 else f"{systems[0].name}: {exploration.source}"
    figure, missing = maps_figure(panels_of(exploration, choice, as_subwords), heading)
    with disk_errors(path), house_style():
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=PNG_DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return missing


def panels_of(exploration: Exploration, choice: Choice, as_subwords: bool) -> list[Panel]:
    """A panel for each system; for a single system without a chosen head, a panel for every head."""
    if len(exploration.systems) == 1:
        (system,) = exploration.systems
        if maps := system.attention.maps(choice, as_subwords):
            return [Panel(attention_map.title, attention_map) for attention_map in maps]
    found = []
    for system in exploration.systems:
        attention_map = system.attention.map(choice, as_subwords)
        if attention_map is None:
            found.append(Panel(system.name, None, (system.translation, system.why_no_map(choice.kind))))
        else:
            found.append(Panel(f"{system.name}: {attention_map.title}", attention_map))
    return found


def maps_figure(panels: Sequence[Panel], heading: str) -> tuple[Figure, str]:
    """The picture, and the characters that no installed font has, which are drawn as placeholders.

    Its size depends on the number of words: nothing is shrunk to fit.
    """
    labels = [label for panel in panels if panel.map for label in (*panel.map.rows, *panel.map.columns)]
    paragraphs = [paragraph for panel in panels for paragraph in (panel.title, *panel.instead)]
    families, missing = fonts_for([heading, *paragraphs, *labels])
    n_columns = len(panels) if len(panels) <= _MOST_IN_ONE_ROW else math.ceil(math.sqrt(len(panels)))
    n_rows = math.ceil(len(panels) / n_columns)
    width, height = np.max([_panel_inches(panel) for panel in panels], axis=0)
    with house_style(), mpl.rc_context({"font.family": families}):
        figure = InlineFigure((n_columns * width + 0.9, n_rows * height + 0.5), facecolor="white", layout="constrained")
        room = figure.get_figwidth() * _TITLE_POINTS / _HEADING_POINTS
        figure.suptitle(_wrapped(heading, room), x=0.01, ha="left", fontsize=_HEADING_POINTS)
        axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for panel_axes, panel in zip_longest(axes, panels):
            if panel is None:
                panel_axes.set_axis_off()
            else:
                _draw_panel(panel_axes, panel)
        if any(panel.map for panel in panels):
            _draw_scale(figure, axes)
        # Only the second layout accounts for the height of the column labels under the titles.
        figure.draw_without_rendering()
    return figure, missing


def _panel_inches(panel: Panel) -> tuple[float, float]:
    if panel.map is None:
        lines = _instead(panel).count("\n") + 1
        return _TEXT_INCHES, max(_LEAST_INCHES, (lines + 3) * _LINE_INCHES)
    cells = _cells_inches(panel.map)
    labels = [max(map(_width, side)) * _CHARACTER_INCHES for side in (panel.map.rows, panel.map.columns)]
    return cells[0] + labels[0] + 0.3 + _LINE_INCHES, cells[1] + labels[1] + 0.6 + _LINE_INCHES


def _cells_inches(attention_map: AttentionMap) -> tuple[float, float]:
    """Width and height of the cells only."""
    n_rows, n_columns = attention_map.weights.shape
    return max(_LEAST_INCHES, n_columns * _CELL_INCHES), max(_LEAST_INCHES, n_rows * _CELL_INCHES)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    inches = _TEXT_INCHES if panel.map is None else _cells_inches(panel.map)[0]
    axes.set_title(_wrapped(panel.title, inches), fontsize=_TITLE_POINTS, loc="left", color=INK)
    if panel.map is None:
        axes.set_axis_off()
        axes.text(0.0, 1.0, _instead(panel), va="top", color=INK, fontsize=_TITLE_POINTS, transform=axes.transAxes)
        return
    rows, columns = panel.map.rows, panel.map.columns
    axes.imshow(panel.map.weights, cmap=_COLOURS, norm=_SCALE, interpolation="nearest")
    axes.set_anchor("NW")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(panel.map.column_name, color=FAINT, fontsize=_LABEL_POINTS)
    axes.set_ylabel(panel.map.row_name, color=FAINT, fontsize=_LABEL_POINTS)
    axes.set_xticks(range(len(columns)), [_stacked(label) for label in columns])
    axes.set_yticks(range(len(rows)), rows)
    for label, text in zip(axes.get_xticklabels(), columns, strict=True):
        label.set_rotation(0 if _is_wide(text) or len(text) == 1 else 90)
    axes.set_xticks(np.arange(0.5, len(columns) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.5)
    axes.tick_params(which="both", length=0, labelsize=_LABEL_POINTS)
    axes.spines[:].set_color(FAINT)


def _draw_scale(figure: Figure, axes: list[Axes]) -> None:
    colours = mpl.cm.ScalarMappable(norm=_SCALE, cmap=_COLOURS)
    # Without `panchor=False`, the colour bar would centre the maps in their cells.
    bar = figure.colorbar(colours, ax=axes, ticks=_SCALE_TICKS, fraction=0.03, pad=0.02, aspect=30, panchor=False)
    bar.ax.set_yticklabels([f"{tick:.0%}" for tick in _SCALE_TICKS])
    bar.ax.tick_params(length=0, labelsize=_LABEL_POINTS)
    bar.outline.set_visible(False)


def _instead(panel: Panel) -> str:
    return "\n\n".join(_wrapped(paragraph, _TEXT_INCHES) for paragraph in panel.instead)


def _wrapped(text: str, inches: float) -> str:
    n_characters = int(inches / _CHARACTER_INCHES * len(text) / max(1, _width(text)))
    return textwrap.fill(text, max(10, n_characters), break_on_hyphens=False)


def _is_wide(text: str) -> bool:
    """Whether all characters of `text` are as wide as high, so that they can be stacked."""
    return all(unicodedata.east_asian_width(character) in "WF" for character in text)


def _stacked(text: str) -> str:
    return "\n".join(text) if _is_wide(text) else text


def _width(text: str) -> int:
    """The width of `text` in Latin characters."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


_USUAL = "DejaVu Sans"
_PLACEHOLDERS = "Last Resort High-Efficiency"


def fonts_for(labels: Iterable[str]) -> tuple[list[str], str]:
    """Font families that together have the characters of `labels`, and the characters that no installed font has.

    Matplotlib's own font comes first and has Latin, Greek, Cyrillic, Arabic and Hebrew. Only for other characters are
    the installed fonts searched, by reading the files, because matplotlib's cached list may be outdated. Characters
    that are still missing are drawn as placeholders of their script.
    """
    usual = FT2Font(font_manager.findfont(_USUAL))
    families = [_USUAL]
    missing = {ord(character) for label in labels for character in label if not character.isspace()} - set(
        usual.get_charmap()
    )
    for path, font in _plain_first(font_manager.findSystemFonts()) if missing else ():
        if covered := missing & set(font.get_charmap()):
            font_manager.fontManager.addfont(path)
            families.append(font.family_name)
            missing -= covered
    return [*families, _PLACEHOLDERS] if missing else families, "".join(sorted(map(chr, missing)))


def _plain_first(paths: Iterable[str]) -> list[tuple[str, FT2Font]]:
    """The readable fonts: first those that are neither bold nor italic, then by path."""
    found = []
    for path in paths:
        try:
            found.append((path, FT2Font(path)))
        except (OSError, RuntimeError):  # damaged, or of an unsupported format
            continue
    return sorted(found, key=lambda font: (font[1].style_flags != StyleFlags.NORMAL, font[0]))

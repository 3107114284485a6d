"""The curve in a terminal, drawn with Braille dots or ASCII"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from matplotlib.ticker import MaxNLocator
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.plots.chart import length_curve
from seq2attn.results.summary import Summary
from seq2attn.style import SIGNS

FEWEST_COLUMNS = 44
"""Columns below which a plot would show too little."""

_MOST_COLUMNS = 76
_ROWS = 12
_TICKS, _TICK_STEPS = 4, (1, 2, 2.5, 5, 10)
# The dots of a sign of Braille, `(row, column)` within its cell.
_BRAILLE = 0x2800
_DOTS = {(0, 0): 0x01, (1, 0): 0x02, (2, 0): 0x04, (0, 1): 0x08, (1, 1): 0x10, (2, 1): 0x20, (3, 0): 0x40, (3, 1): 0x80}
_PLAIN_SIGNS = {marker: f"{letter.upper()}{letter}" for marker, letter in zip(SIGNS, "osdavp", strict=True)}

_Point = tuple[float, float]
"""Shares of the width and of the height, from the lower left."""


def terminal_plot(summary: Summary, columns: int, ascii_only: bool = False) -> Text:
    """The plot in at most `columns` cells; with `ascii_only`, in ASCII characters only."""
    signs = _PLAIN_SIGNS if ascii_only else SIGNS
    curve = length_curve(summary)
    left, right = curve.spans[0][0], curve.spans[-1][1]
    middles = [(middle - left) / (right - left) for middle in curve.middles]
    highest = max((score.value for score in curve.scores), default=0.0)
    ticks = list(MaxNLocator(_TICKS, steps=_TICK_STEPS).tick_values(0.0, max(1.0, highest)))
    margin = max(len(f"{tick:g}") for tick in ticks) + 1
    canvas = _Canvas(min(columns, _MOST_COLUMNS) - margin - 1, _ROWS, ascii_only)
    # Where two lines cross, the first system stays visible.
    for series in reversed(curve.series):
        points = [
            None if point.score is None else (middle, point.score.value / ticks[-1])
            for middle, point in zip(middles, series.points, strict=True)
        ]
        canvas.line(points, series.look.colour)
        for place, point in zip(points, series.points, strict=True):
            if place is not None:
                canvas.sign(place, signs[series.look.marker][not point.enough], series.look.colour)
    text = Text(f"BLEU over {summary.length_of} {summary.length_unit}\n", no_wrap=True, overflow="ignore")
    text.append_text(_framed(canvas, ticks, margin, ascii_only))
    text.append(_bucket_labels(curve.labels, middles, canvas.columns, margin, ascii_only))
    for series in curve.series:
        name = series.look.name
        name = name if cell_len(name) <= columns - 2 else set_cell_size(name, columns - 3) + "…"
        text.append("\n").append(signs[series.look.marker][0], style=series.look.colour).append(f" {name}")
    if any(0 < count < FEW_SENTENCES for count in curve.counts):
        mark = "small letter" if ascii_only else "hollow"
        text.append(f"\n{mark}: fewer than {FEW_SENTENCES} sentences", style="dim")
    return text


class _Canvas:
    """Cells with lines of dots and signs on them, each in one colour."""

    def __init__(self, columns: int, rows: int, ascii_only: bool) -> None:
        self.columns = columns
        self.rows = rows
        self._is_plain = ascii_only
        # Dots in a cell, across and down.
        self._across, self._down = (1, 1) if ascii_only else (2, 4)
        self._dots: dict[tuple[int, int], int] = {}
        self._colours: dict[tuple[int, int], str] = {}
        self._signs: dict[tuple[int, int], str] = {}

    def line(self, points: Sequence[_Point | None], colour: str) -> None:
        """Join neighbours by dots; None leaves a gap."""
        for first, second in pairwise(points):
            if first is None or second is None:
                continue
            (left, start), (right, end) = self._dot(first), self._dot(second)
            before = start
            for column in range(left, right + 1):
                row = round(start + (end - start) * (column - left) / max(1, right - left))
                # A steep line has no holes.
                for each in range(min(before, row), max(before, row) + 1):
                    self._set_dot(each, column, colour)
                before = row

    def sign(self, point: _Point, sign: str, colour: str) -> None:
        """Put a sign in the cell at `point`, over any dots."""
        column, row = self._dot(point)
        cell = (row // self._down, column // self._across)
        self._signs[cell], self._colours[cell] = sign, colour

    def row(self, row: int) -> Text:
        """One line of cells, counted from the top."""
        cells = [self._cell(row, column) for column in range(self.columns)]
        text = Text()
        for colour, run in groupby(cells, key=lambda cell: cell[1]):
            text.append("".join(sign for sign, _ in run), style=colour)
        return text

    def _dot(self, point: _Point) -> tuple[int, int]:
        """The column and the row, from the top, of the dot at `point`."""
        across, down = self._across * self.columns, self._down * self.rows
        x, y = point
        return min(across - 1, int(x * across)), min(down - 1, max(0, int((1.0 - y) * down)))

    def _set_dot(self, row: int, column: int, colour: str) -> None:
        cell = (row // self._down, column // self._across)
        self._dots[cell] = self._dots.get(cell, 0) | _DOTS[row % self._down, column % self._across]
        self._colours[cell] = colour

    def _cell(self, row: int, column: int) -> tuple[str, str]:
        cell = (row, column)
        colour = self._colours.get(cell, "")
        if cell in self._signs:
            return self._signs[cell], colour
        if cell in self._dots:
            return "." if self._is_plain else chr(_BRAILLE + self._dots[cell]), colour
        return " ", ""


def _framed(canvas: _Canvas, ticks: Sequence[float], margin: int, ascii_only: bool) -> Text:
    """The canvas with its two axes, the upright one with numbers."""
    side, tick_side, corner, bottom = "|++-" if ascii_only else "│┤└─"
    # A tick stands in the row that holds its height; that of zero is the lower axis.
    numbers = {min(canvas.rows - 1, int((1.0 - tick / ticks[-1]) * canvas.rows)): f"{tick:g}" for tick in ticks[1:]}
    text = Text()
    for row in range(canvas.rows):
        text.append(f"{numbers.get(row, ''):>{margin}}{tick_side if row in numbers else side}", style="dim")
        text.append_text(canvas.row(row)).append("\n")
    return text.append(f"{ticks[0]:>{margin}g}{corner}{bottom * canvas.columns}\n", style="dim")


def _bucket_labels(labels: Sequence[str], middles: Sequence[float], columns: int, margin: int, ascii_only: bool) -> str:
    """The ranges of length below their points, without those for which there is no room."""
    line = ""
    for name, middle in zip(labels, middles, strict=True):
        label = name.replace("–", "-") if ascii_only else name
        start = min(int(middle * columns) - len(label) // 2, columns - len(label))
        if start > len(line) or not line:
            line = line.ljust(start) + label
    return " " * (margin + 1) + line

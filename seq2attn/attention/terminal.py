"""An attention map in a terminal: coloured blocks, or digits where there are no colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.style import Style
from rich.text import Text

from seq2attn.attention.maps import AttentionMap

LEGEND = "Rows look at columns. Digits: tenths of the row's attention, rounded down; a dot: less than a tenth."
LEGEND_IN_COLOURS = "Rows look at columns. The brighter a block, the more of the row's attention it has."

_CELL = 2
_LONGEST_LABEL, _TALLEST_LABEL = 18, 12
# From hardly seen to bright, with a ground of its own, so that it reads on dark and light terminals alike.
_GROUND, _MIDDLE, _BRIGHT = (27, 36, 64), (52, 120, 200), (255, 226, 120)


def terminal_map(one: AttentionMap, width: int, colours: bool) -> Text:
    """The map in at most `width` cells; columns that do not fit follow below, in bands.

    Each row ends with the word that it looks at most. Column labels are written downwards.
    """
    labels = [_shortened(label, _LONGEST_LABEL) for label in one.rows]
    margin = max(map(cell_len, labels)) + 1
    strongest = one.weights.argmax(axis=1)
    tops = [f" {_shortened(one.columns[place], _LONGEST_LABEL)}" for place in strongest]
    fitting = max(1, (width - margin - max(map(cell_len, tops))) // _CELL)
    text = Text(no_wrap=True, overflow="ignore")
    for first in range(0, len(one.columns), fitting):
        band = slice(first, first + fitting)
        for line in _downwards(one.columns[band]):
            text.append(" " * margin + line.rstrip() + "\n")
        for label, weights, top in zip(labels, one.weights, tops, strict=True):
            text.append(" " * (margin - 1 - cell_len(label)) + label + " ")
            for weight in weights[band].tolist():
                text.append_text(_block(weight) if colours else Text(_digit(weight).rjust(_CELL)))
            text.append(f"{top}\n", style="dim" if colours else "")
        text.append("\n" if band.stop < len(one.columns) else "")
    return text


def _downwards(labels: Sequence[str]) -> list[str]:
    """The labels as lines, each label in two columns, one sign below the other, ending at the last line."""
    stacks = [_signs(_shortened(label, _TALLEST_LABEL)) for label in labels]
    lines = zip_longest(*(reversed(stack) for stack in stacks), fillvalue="")
    return ["".join(" " * (_CELL - cell_len(sign)) + sign for sign in line) for line in reversed(list(lines))]


def _signs(label: str) -> list[str]:
    """The signs of `label`, accents with what they stand on."""
    signs: list[str] = []
    for sign in label:
        if signs and unicodedata.category(sign).startswith("M"):
            signs[-1] += sign
        else:
            signs.append(sign)
    return signs


def _shortened(label: str, cells: int) -> str:
    return label if cell_len(label) <= cells else set_cell_size(label, cells - 1).rstrip() + "…"


def _digit(weight: float) -> str:
    return "·" if weight < 0.1 else str(min(9, int(10 * weight)))


def _block(weight: float) -> Text:
    """Two blanks on the colour of `weight`; its root, as in the figure, lets faint ones show."""
    place = min(1.0, weight) ** 0.5 * 2
    low, high = (_GROUND, _MIDDLE) if place < 1 else (_MIDDLE, _BRIGHT)
    share = place if place < 1 else place - 1
    mixed = [round(a + share * (b - a)) for a, b in zip(low, high, strict=True)]
    return Text(" " * _CELL, style=Style(bgcolor=Color.from_rgb(*mixed)))

"""Attention maps in a terminal, as coloured blocks, or as digits without colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.style import Style
from rich.text import Text

from seq2attn.attention.maps import AttentionMap

LEGEND = "Rows attend to columns. Digits: tenths of the row's attention, rounded down; a dot: less than a tenth."
LEGEND_IN_COLOURS = "Rows attend to columns. The brighter a block, the larger its part of the row's attention."

_CELL = 2
_LONGEST_LABEL, _TALLEST_LABEL = 18, 12
# From dark to bright on a background of its own, which is readable in dark and light terminals.
_GROUND, _MIDDLE, _BRIGHT = (27, 36, 64), (52, 120, 200), (255, 226, 120)


def terminal_map(attention_map: AttentionMap, width: int, colours: bool) -> Text:
    """The map in at most `width` cells; columns that do not fit follow below, in bands.

    Each row ends with the word of its largest weight. Column labels are written downwards.
    """
    labels = [_shortened(label, _LONGEST_LABEL) for label in attention_map.rows]
    margin = max(map(cell_len, labels)) + 1
    strongest = attention_map.weights.argmax(axis=1)
    tops = [f" {_shortened(attention_map.columns[place], _LONGEST_LABEL)}" for place in strongest]
    fitting = max(1, (width - margin - max(map(cell_len, tops))) // _CELL)
    text = Text(no_wrap=True, overflow="ignore")
    for first in range(0, len(attention_map.columns), fitting):
        band = slice(first, first + fitting)
        for line in _downwards(attention_map.columns[band]):
            text.append(" " * margin + line.rstrip() + "\n")
        for label, weights, top in zip(labels, attention_map.weights, tops, strict=True):
            text.append(" " * (margin - 1 - cell_len(label)) + label + " ")
            for weight in weights[band].tolist():
                text.append_text(_block(weight) if colours else Text(_digit(weight).rjust(_CELL)))
            text.append(f"{top}\n", style="dim" if colours else "")
        text.append("\n" if band.stop < len(attention_map.columns) else "")
    return text


def _downwards(labels: Sequence[str]) -> list[str]:
    """The labels as lines: each label takes two columns, a character per line, and ends at the last line."""
    stacks = [_characters(_shortened(label, _TALLEST_LABEL)) for label in labels]
    lines = zip_longest(*(reversed(stack) for stack in stacks), fillvalue="")
    return [
        "".join(" " * (_CELL - cell_len(character)) + character for character in line) for line in reversed(list(lines))
    ]


def _characters(label: str) -> list[str]:
    """The characters of `label`, each with its combining marks."""
    characters: list[str] = []
    for character in label:
        if characters and unicodedata.category(character).startswith("M"):
            characters[-1] += character
        else:
            characters.append(character)
    return characters


def _shortened(label: str, cells: int) -> str:
    return label if cell_len(label) <= cells else set_cell_size(label, cells - 1).rstrip() + "…"


def _digit(weight: float) -> str:
    return "·" if weight < 0.1 else str(min(9, int(10 * weight)))


def _block(weight: float) -> Text:
    """Two spaces on the colour of `weight`; as in the figure, its square root makes small weights visible."""
    place = min(1.0, weight) ** 0.5 * 2
    low, high = (_GROUND, _MIDDLE) if place < 1 else (_MIDDLE, _BRIGHT)
    share = place if place < 1 else place - 1
    mixed = [round(a + share * (b - a)) for a, b in zip(low, high, strict=True)]
    return Text(" " * _CELL, style=Style(bgcolor=Color.from_rgb(*mixed)))

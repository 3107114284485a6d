"""Short pairs inside long ones: the clauses of two sentences that are punctuated alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from seq2attn.data.files import Pair

Count = Callable[[str, str], tuple[int, int]]
"""Words of a source and of a target."""


def _clause_that_ends_at(marks: str) -> re.Pattern[str]:
    """A clause, with the mark that ends it: closing quotes may follow, and then a blank or the end of the text."""
    return re.compile(rf"""\s*(.+?(?:([{marks}])[{marks}]*(?:["'”’)\]]|\s?»)*(?=\s|$)|$))""")


_STRONG = _clause_that_ends_at(".;:!?")
_ANY = _clause_that_ends_at(".;:!?,")

# Translators choose freely between these three; a question, an exclamation or a comma stays one.
_SAME_PAUSE = str.maketrans(";:", "..")


def clause_pairs(source: str, target: str, count: Count) -> list[Pair]:
    """The clauses of a pair of normalised sentences, side by side, and neighbouring ones in twos; each once.

    The pair is divided at strong marks where its sides have the same ones, and each part of it (the whole, where it
    was not divided) at commas as well. The whole pair is not among them.
    """
    whole = (source, target)
    parts = _divide(whole, _STRONG, count)
    found = _with_neighbours(parts)
    for part in parts or [whole]:
        found += _with_neighbours(_divide(part, _ANY, count))
    return [pair for pair in dict.fromkeys(found) if pair != whole]


def _divide(pair: Pair, pattern: re.Pattern[str], count: Count) -> list[Pair]:
    """The parts of a pair; none where its sides are not built alike.

    Alike: as many parts on both sides, the same marks between them (`.`, `;` and `:` count as one), and no part more
    than two words over twice the length of its counterpart. One that fails shows that the marks agree by chance, so
    that none is taken. What ends the pair need not agree: verses run on into the next at will.
    """
    (sources, source_marks), (targets, target_marks) = (_parts(text, pattern) for text in pair)
    if len(sources) < 2 or len(sources) != len(targets) or source_marks[:-1] != target_marks[:-1]:
        return []
    parts = list(zip(sources, targets, strict=True))
    for part in parts:
        shorter, longer = sorted(count(*part))
        if longer > 2 * shorter + 2:
            return []
    return parts


def _parts(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The parts of a text, and the mark that ends each ("" where the text ends without)."""
    matches = [match.groups(default="") for match in pattern.finditer(text)]
    return [part for part, _ in matches], [mark.translate(_SAME_PAUSE) for _, mark in matches]


def _with_neighbours(parts: Sequence[Pair]) -> list[Pair]:
    """The parts, and each with the one after it: sentences of middling length, of which there are few otherwise."""
    twos = [(f"{first[0]} {second[0]}", f"{first[1]} {second[1]}") for first, second in pairwise(parts)]
    return [*parts, *twos]

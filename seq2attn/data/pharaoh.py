"""Word alignments in Pharaoh format: a line for each sentence pair, as in `0-0 1-2 3?2`"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seq2attn.data.files import read_lines
from seq2attn.errors import DataError

Link = tuple[int, int]
_LINK = re.compile(r"(\d{1,9})([-?p])(\d{1,9})", re.ASCII)
_FORM = "expected links such as 0-0 (sure) and 0?1 or 0p1 (possible), source word first, separated by spaces"


class GoldLinks(NamedTuple):
    """The links of one sentence pair, (source word, target word), counted from 0."""

    sure: frozenset[Link]
    possible: frozenset[Link]
    """Those that are possible, but not sure."""


def read_links(path: Path, lengths: Sequence[tuple[int, int]], one_based: bool = False) -> list[GoldLinks]:
    """The links of each line of `path`; an empty line has none.

    Args:
        path: the file.
        lengths: number of source and of target words of each sentence pair, which links must not exceed.
        one_based: whether the first word is 1 instead of 0.

    Raises: DataError naming file and line where a link is malformed or leads outside its sentence pair, or where the
    file has more or fewer lines than there are pairs.
    """
    found: list[GoldLinks] = []
    for number, line in enumerate(read_lines(path), start=1):
        if number > len(lengths):
            raise DataError(f"{path}:{number}: more lines than the {len(lengths)} sentence pairs")
        found.append(_parse(line, lengths[number - 1], int(one_based), f"{path}:{number}"))
    if len(found) < len(lengths):
        raise DataError(f"{path}: {len(found)} lines, but there are {len(lengths)} sentence pairs")
    return found


def _parse(line: str, lengths: tuple[int, int], first: int, place: str) -> GoldLinks:
    sure: set[Link] = set()
    possible: set[Link] = set()
    for text in line.split():
        match = _LINK.fullmatch(text)
        if match is None:
            raise DataError(f"{place}: {text[:40]!r} is not a link; {_FORM}")
        source, target = int(match[1]) - first, int(match[3]) - first
        for index, length, side in ((source, lengths[0], "source"), (target, lengths[1], "target")):
            if not 0 <= index < length:
                raise DataError(f"{place}: {_outside(text, index + first, length, side, first)}")
        (sure if match[2] == "-" else possible).add((source, target))
    return GoldLinks(frozenset(sure), frozenset(possible - sure))


def _outside(text: str, index: int, length: int, side: str, first: int) -> str:
    valid = f"its {length} words count from {first} to {length - 1 + first}" if length else "it has no words"
    hint = "leave out --one-based if the file counts from 0" if first else "give --one-based if the file counts from 1"
    return f"link {text} names {side} word {index}, but {valid}; {hint}"

"""Where a translation differs from its reference, word by word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

from seq2attn.config.languages import has_unspaced_script

_WORD_WITH_BLANKS = re.compile(r"(\s*)(\S+)")


class Mark(StrEnum):
    """What a piece of text is to the reference."""

    same = "same"
    extra = "extra"
    """In the translation alone."""
    missing = "missing"
    """In the reference alone."""


class Piece(NamedTuple):
    """A stretch of text of one mark, and the blanks before it."""

    blanks: str
    text: str
    mark: Mark


class _Token(NamedTuple):
    blanks: str
    text: str


def mark_differences(translation: str, reference: str) -> list[Piece]:
    """The translation in pieces, and between them what it lacks of the reference.

    Words between blanks are compared as they are written, punctuation at their edges by itself; in scripts without
    blanks, characters are. The pieces that are not missing make the translation again.
    """
    ours, theirs = _tokens(translation), _tokens(reference)
    matcher = SequenceMatcher(None, [one.text for one in ours], [one.text for one in theirs], autojunk=False)
    pieces = []
    for kind, first, last, their_first, their_last in matcher.get_opcodes():
        if first < last:
            pieces.append(_piece(ours[first:last], Mark.same if kind == "equal" else Mark.extra))
        if kind != "equal" and their_first < their_last:
            pieces.append(_piece(theirs[their_first:their_last], Mark.missing))
    return pieces


def _piece(tokens: Sequence[_Token], mark: Mark) -> Piece:
    first, *others = tokens
    return Piece(first.blanks, first.text + "".join(one.blanks + one.text for one in others), mark)


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for blanks, word in _WORD_WITH_BLANKS.findall(text):
        first, *others = _parts(word)
        tokens += [_Token(blanks, first), *(_Token("", part) for part in others)]
    return tokens


def _parts(word: str) -> Iterator[str]:
    """The word without the punctuation at its edges, and each sign of that; its characters where it has no blanks."""
    places = [place for place, sign in enumerate(word) if not _is_punctuation(sign)]
    first, last = (places[0], places[-1] + 1) if places else (len(word), len(word))
    yield from word[:first]
    if inner := word[first:last]:
        yield from _characters(inner) if has_unspaced_script(inner) else (inner,)
    yield from word[last:]


def _characters(text: str) -> list[str]:
    """The characters, each with the marks that combine with it."""
    found: list[str] = []
    for sign in text:
        if found and unicodedata.category(sign).startswith("M"):
            found[-1] += sign
        else:
            found.append(sign)
    return found


def _is_punctuation(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "PS"

"""Word by word, the differences of a translation from its reference"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

from seq2attn.config.languages import has_unspaced_script, is_punctuation

_WORD_WITH_BLANKS = re.compile(r"(\s*)(\S+)")


class Mark(StrEnum):
    """How a piece of text relates to the reference."""

    same = "same"
    extra = "extra"
    """Only in the translation."""
    missing = "missing"
    """Only in the reference."""


class Piece(NamedTuple):
    """A stretch of text of one mark, and the blanks before it."""

    blanks: str
    text: str
    mark: Mark


class _Token(NamedTuple):
    blanks: str
    text: str


def mark_differences(translation: str, reference: str) -> list[Piece]:
    """The translation in pieces, and between them the words of the reference that it lacks.

    Words are compared as written, and punctuation at their edges separately; in scripts without spaces, characters are
    compared. The pieces not marked missing, joined, equal the translation.
    """
    ours, theirs = _tokens(translation), _tokens(reference)
    matcher = SequenceMatcher(None, [token.text for token in ours], [token.text for token in theirs], autojunk=False)
    pieces = []
    for kind, first, last, their_first, their_last in matcher.get_opcodes():
        if first < last:
            pieces.append(_piece(ours[first:last], Mark.same if kind == "equal" else Mark.extra))
        if kind != "equal" and their_first < their_last:
            pieces.append(_piece(theirs[their_first:their_last], Mark.missing))
    return pieces


def _piece(tokens: Sequence[_Token], mark: Mark) -> Piece:
    first, *others = tokens
    return Piece(first.blanks, first.text + "".join(token.blanks + token.text for token in others), mark)


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for blanks, word in _WORD_WITH_BLANKS.findall(text):
        first, *others = _parts(word)
        tokens += [_Token(blanks, first), *(_Token("", part) for part in others)]
    return tokens


def _parts(word: str) -> Iterator[str]:
    """The word, and each sign of the punctuation at its edges; single characters in scripts without spaces."""
    places = [place for place, sign in enumerate(word) if not is_punctuation(sign)]
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

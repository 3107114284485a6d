"""Subwords and the words that they make, and attention weights from the one to the other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.languages import has_unspaced_script

_BLANK = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_ALONE = frozenset({"<s>", "</s>"})
_SPELLED_OUT = {"<s>": "⟨start⟩", "</s>": "⟨end⟩", "<unk>": "⟨unknown⟩"}


@dataclass(frozen=True)
class Tokens:
    """A sentence as a model takes it and as a person reads it."""

    subwords: tuple[str, ...]
    """In SentencePiece's notation, the start, the end and the unknown spelled out."""
    words: tuple[str, ...]
    word_of: tuple[int, ...]
    """For each subword, which word it is a part of; rises by 0 or 1."""

    def labels(self, as_subwords: bool) -> tuple[str, ...]:
        """The subwords or the words."""
        return self.subwords if as_subwords else self.words


def group_subwords(pieces: Sequence[str]) -> Tokens:
    """The words that `pieces` make, in SentencePiece's notation: U+2581 stands for a blank, `<0xE9>` for a byte.

    A word ends at a blank, and punctuation at its edges stands apart: "(l'homme)." is "(", "l'homme" and ").".
    Scripts without blanks have no such words; there every subword stands alone.
    """
    words: list[str] = []
    word_of: list[int] = []
    for run in _runs_without_blank(_characters_whole(pieces)):
        for first, after in pairwise(_word_bounds([atom.text for atom in run])):
            parts = run[first:after]
            word_of += [len(words)] * sum(atom.n_subwords for atom in parts)
            words.append("".join(_SPELLED_OUT.get(atom.text, atom.text) for atom in parts) or _BLANK)
    return Tokens(tuple(_SPELLED_OUT.get(piece, piece) for piece in pieces), tuple(words), tuple(word_of))


def merge_weights(weights: NDArray[np.float64], rows: Tokens, columns: Tokens) -> NDArray[np.float64]:
    """Weights between words `(…, row words, column words)` from those between subwords `(…, rows, columns)`.

    What goes to a word is the sum over its subwords, what comes from a word is the mean over them, so that each row
    still sums to 1 (Clark et al. 2019, section 4.1).
    """
    members = _membership(rows)
    return (members / members.sum(axis=0)).T @ weights @ _membership(columns)


def _membership(tokens: Tokens) -> NDArray[np.float64]:
    """`(subwords, words)`: 1 where the subword is a part of the word, 0 elsewhere."""
    return np.eye(len(tokens.words))[list(tokens.word_of)]


@dataclass(frozen=True)
class _Atom:
    """What cannot be divided: a subword, or the bytes that spell one character."""

    text: str
    n_subwords: int
    after_blank: bool


def _characters_whole(pieces: Sequence[str]) -> Iterator[_Atom]:
    """The pieces, with the bytes of a character put together."""
    spelled = b""
    for piece in (*pieces, ""):
        byte = _BYTE.fullmatch(piece)
        value = bytes.fromhex(byte[1]) if byte else b""
        goes_on = bool(value) and value[0] & 0b1100_0000 == 0b1000_0000
        if spelled and not goes_on:
            yield _Atom(spelled.decode(errors="replace"), len(spelled), after_blank=False)
            spelled = b""
        if byte:
            spelled += value
        elif piece:
            yield _Atom(piece.replace(_BLANK, ""), 1, piece.startswith(_BLANK))


def _runs_without_blank(atoms: Iterator[_Atom]) -> list[list[_Atom]]:
    runs: list[list[_Atom]] = []
    for atom in atoms:
        if not runs or atom.after_blank or atom.text in _ALONE or runs[-1][-1].text in _ALONE:
            runs.append([])
        runs[-1].append(atom)
    return runs


def _word_bounds(texts: Sequence[str]) -> list[int]:
    """Where words begin among `texts`, which no blank divides, and where the last one ends."""
    letters = [place for place, text in enumerate(texts) if text and not _is_punctuation(text)]
    inner = {letters[0], letters[-1] + 1} if letters else set()
    for place in letters:
        if has_unspaced_script(texts[place]):
            inner |= {place, place + 1}
    # A blank that is a subword of its own belongs to what follows.
    return [0, *sorted(bound for bound in inner if bound < len(texts) and any(texts[:bound])), len(texts)]


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(character)[0] in "PS" for character in text)

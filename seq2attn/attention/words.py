"""Subwords grouped into words, and attention weights between subwords merged into weights between words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.languages import has_unspaced_script, is_punctuation

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_ALONE = frozenset({"<s>", "</s>"})
_SPELLED_OUT = {"<s>": "⟨start⟩", "</s>": "⟨end⟩", "<unk>": "⟨unknown⟩"}


@dataclass(frozen=True)
class Tokens:
    """A sentence in subwords, as the model reads it, and in words."""

    subwords: tuple[str, ...]
    """In SentencePiece's notation, except `⟨start⟩`, `⟨end⟩` and `⟨unknown⟩`."""
    words: tuple[str, ...]
    word_of: tuple[int, ...]
    """For each subword the index of its word; increases by 0 or 1."""

    def labels(self, as_subwords: bool) -> tuple[str, ...]:
        """The subwords or the words."""
        return self.subwords if as_subwords else self.words


def group_subwords(pieces: Sequence[str]) -> Tokens:
    """The words of `pieces`, which are in SentencePiece's notation: U+2581 is a space, `<0xE9>` a byte.

    A word ends at a space, and punctuation at its edges is separate: "(l'homme)." is "(", "l'homme" and ").".
    In scripts without spaces every subword counts as a word.
    """
    words: list[str] = []
    word_of: list[int] = []
    for run in _runs_without_space(_join_bytes(pieces)):
        for first, after in pairwise(_word_bounds([atom.text for atom in run])):
            parts = run[first:after]
            word_of += [len(words)] * sum(atom.n_subwords for atom in parts)
            words.append("".join(_SPELLED_OUT.get(atom.text, atom.text) for atom in parts) or _SPACE)
    return Tokens(tuple(_SPELLED_OUT.get(piece, piece) for piece in pieces), tuple(words), tuple(word_of))


def merge_weights(weights: NDArray[np.float64], rows: Tokens, columns: Tokens) -> NDArray[np.float64]:
    """Weights between words `(…, row words, column words)` from those between subwords `(…, rows, columns)`.

    The weight to a word is the sum over its subwords, the weight from a word their mean, so each row still sums to 1
    (Clark et al. 2019, section 4.1).
    """
    members = _membership(rows)
    return (members / members.sum(axis=0)).T @ weights @ _membership(columns)


def sum_rows(values: NDArray[np.float64], rows: Tokens) -> NDArray[np.float64]:
    """Sums over the subwords of each row word: `(…, row words, columns)` from `(…, row subwords, columns)`."""
    return _membership(rows).T @ values


def _membership(tokens: Tokens) -> NDArray[np.float64]:
    """`(subwords, words)`: 1 where the subword is part of the word, 0 elsewhere."""
    return np.eye(len(tokens.words))[list(tokens.word_of)]


@dataclass(frozen=True)
class _Atom:
    """An indivisible unit: a subword, or the bytes of one character."""

    text: str
    n_subwords: int
    after_space: bool


def _join_bytes(pieces: Sequence[str]) -> Iterator[_Atom]:
    """The pieces, with the bytes of each character joined."""
    spelled = b""
    for piece in (*pieces, ""):
        byte = _BYTE.fullmatch(piece)
        value = bytes.fromhex(byte[1]) if byte else b""
        continues = bool(value) and value[0] & 0b1100_0000 == 0b1000_0000
        if spelled and not continues:
            yield _Atom(spelled.decode(errors="replace"), len(spelled), after_space=False)
            spelled = b""
        if byte:
            spelled += value
        elif piece:
            yield _Atom(piece.replace(_SPACE, ""), 1, piece.startswith(_SPACE))


def _runs_without_space(atoms: Iterator[_Atom]) -> list[list[_Atom]]:
    runs: list[list[_Atom]] = []
    for atom in atoms:
        if not runs or atom.after_space or atom.text in _ALONE or runs[-1][-1].text in _ALONE:
            runs.append([])
        runs[-1].append(atom)
    return runs


def _word_bounds(texts: Sequence[str]) -> list[int]:
    """The index at which each word of `texts` begins, and the end of the last; no space is between them."""
    letters = [place for place, text in enumerate(texts) if text and not is_punctuation(text)]
    inner = {letters[0], letters[-1] + 1} if letters else set()
    for place in letters:
        if has_unspaced_script(texts[place]):
            inner |= {place, place + 1}
    # A space that is a subword of its own belongs to the text after it.
    return [0, *sorted(bound for bound in inner if bound < len(texts) and any(texts[:bound])), len(texts)]

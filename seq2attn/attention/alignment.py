"""Attention between the words of a given word alignment, read where a target word is written or where it is read"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.words import Tokens, group_subwords, merge_weights
from seq2attn.data.cleaning import normalise
from seq2attn.data.subwords import Side, Subwords
from seq2attn.errors import DataError

Reading = Literal["output", "input"]
"""Whether a target word's weights are those with which the decoder writes it, or those one step later, when it reads
it (Chen et al. 2020, section 3)."""
READINGS: tuple[Reading, ...] = get_args(Reading)


def words_of_subwords(subwords: Subwords, text: str, words: Sequence[str], side: Side) -> Tokens:
    """The subwords of `text`, without EOS, grouped into the given `words`.

    Args:
        subwords: how the model splits the text.
        text: a sentence.
        words: its words; a word ends at a space, and may also end before or after punctuation.
        side: of the model.

    Raises: DataError where the words are not those of the text, or a subword belongs to two of them.
    """
    pieces: list[str] = []
    word_of: list[int] = []
    remaining = list(map(normalise, words))
    for chunk in normalise(text).split():
        first = len(words) - len(remaining)
        inside = _take(remaining, chunk)
        found = subwords.pieces(_ids(subwords, chunk, side), side)
        groups = group_subwords(found)
        if inside > 1 and len(groups.words) != inside:
            raise DataError(f"{chunk!r} has {inside} words, which its subwords {' '.join(found)} do not follow")
        word_of += [first + (group if inside > 1 else 0) for group in groups.word_of]
        pieces += found
    if remaining:
        raise DataError(f"{text[:60]!r} does not contain its word {remaining[0]!r}")
    return Tokens(tuple(pieces), tuple(words), tuple(word_of))


def _take(words: list[str], chunk: str) -> int:
    """Remove the words that spell `chunk` from the front of `words`; their number.

    Raises: DataError where they do not.
    """
    spelled, number = "", 0
    while len(spelled) < len(chunk) and words:
        spelled += words.pop(0)
        number += 1
    if spelled != chunk:
        raise DataError(f"the words {spelled!r} differ from the text {chunk!r}")
    return number


def _ids(subwords: Subwords, text: str, side: Side) -> list[int]:
    if side == "source":
        return subwords.encode_source([text])[0][:-1]
    return subwords.encode_target([text])[0]


def word_weights(cross: NDArray[np.float64], source: Tokens, target: Tokens, reading: Reading) -> NDArray[np.float64]:
    """Weights between words, `(heads, target words, source words)`.

    The weight of EOS is left out, so rows sum to less than 1.

    Args:
        cross: of one layer, `(heads, target subwords + EOS, source subwords + EOS)`, the rows as they are written.
        source: the source's subwords without EOS, in words.
        target: those of the target.
        reading: where the weights of a target word are read.
    """
    rows = cross[..., :-1, :] if reading == "output" else cross[..., 1:, :]
    return merge_weights(rows[..., :-1], target, source)

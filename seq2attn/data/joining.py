"""Consecutive sentences of a document joined into longer ones: length apart from content (Varis and Bojar 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from seq2attn.config.languages import is_unspaced

MAX_JOINED_WORDS = 200
"""No more words are joined into one source; a single sentence may have more."""


def consecutive_groups(
    documents: Sequence[str | None], lengths: Sequence[int], size: int, longest: int = MAX_JOINED_WORDS
) -> list[range]:
    """The rows in groups of `size` consecutive ones of the same document; every row is in exactly one.

    A group is smaller at the end of its document, or where the next row would bring its length above `longest`. Rows
    without a document (None) stay alone.

    Args:
        documents: of each row.
        lengths: of each row, in words.
        size: rows in a whole group, 1 or more.
        longest: words in a group of several rows.
    """
    groups: list[range] = []
    words = 0
    for row, (document, length) in enumerate(zip(documents, lengths, strict=True)):
        words += length
        last = groups[-1] if groups else range(0)
        goes_on = 0 < len(last) < size and document is not None and document == documents[row - 1]
        if goes_on and words <= longest:
            groups[-1] = range(last.start, row + 1)
        else:
            groups.append(range(row, row + 1))
            words = length
    return groups


def join_texts(texts: Sequence[str], language: str) -> str:
    """The texts one after the other, with blanks between them where the language has any."""
    return ("" if is_unspaced(language) else " ").join(texts)

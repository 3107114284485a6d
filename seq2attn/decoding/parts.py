"""Lines that are longer than a model can take, in parts."""

from __future__ import annotations

from collections.abc import Callable

from seq2attn.data.subwords import EOS_ID


def split_ids(ids: list[int], most: int, begin_words: Callable[[list[int]], list[bool]]) -> list[list[int]]:
    """`ids` of a source (EOS last) in parts of at most `most` ids, EOS at the end of each.

    They are divided as late as can be before an id that begins a word, or anywhere where none does. `begin_words`
    says of each id whether it does.
    """
    parts, start, end = [], 0, len(ids) - 1
    while end - start >= most:
        beginnings = begin_words(ids[start + 1 : start + most])
        cut = start + max((place for place, begins in enumerate(beginnings, start=1) if begins), default=most - 1)
        parts.append([*ids[start:cut], EOS_ID])
        start = cut
    return [*parts, [*ids[start:end], EOS_ID]]

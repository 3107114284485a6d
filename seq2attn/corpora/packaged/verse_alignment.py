"""Which verse of one translation corresponds to which of another, found from the words.

Lengths are not enough: the verses of proverbs and psalms are all about equally long, so a correct chapter looks as
uncorrelated as a shifted one. Words that often occur in verses of the same number (above all names) do show it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

_WORD = re.compile(r"[^\W\d_]+")
# Words are compared by their first letters, so that most inflected forms count as one word.
_STEM_LETTERS = 6
# Words in more than this fraction of the verses do not identify a verse.
_COMMON_SHARE = 0.02
_LEAST_COMMON_LIMIT = 10
_WEAKEST_LINK = 0.05
# A verse without a partner costs as much as a fair match is worth. With a lower cost, one verse in a few thousand is
# moved because of a chance similarity; with a higher one, short shifted psalms go unnoticed.
_UNPAIRED_COST = 0.12
_REACH = 3


class WordLinks:
    """The association of words of two languages: Dice's coefficient over verses of the same number."""

    def __init__(self, source_texts: Sequence[str], target_texts: Sequence[str]) -> None:
        self._source_ids, source_counts = _content_words(source_texts)
        self._target_ids, target_counts = _content_words(target_texts)
        n_target = len(self._target_ids)
        cooccurrences = [
            np.add.outer(np.array(self._source_words(source)) * n_target, np.array(self._target_words(target))).ravel()
            for source, target in zip(source_texts, target_texts, strict=True)
        ]
        codes, together = np.unique(np.concatenate(cooccurrences).astype(np.int64), return_counts=True)
        alone = source_counts[codes // max(1, n_target)] + target_counts[codes % max(1, n_target)]
        dice = 2.0 * together / alone
        kept = (together >= 2) & (dice >= _WEAKEST_LINK)
        self._links: dict[int, float] = dict(zip(codes[kept].tolist(), dice[kept].tolist(), strict=True))

    def similarities(self, source_texts: Sequence[str], target_texts: Sequence[str]) -> np.ndarray:
        """(source verses, target verses), from 0 to 1: the mean strength of each word's best link.

        Only verses at most `_REACH` places apart are compared; the rest is 0.
        """
        sources = [self._source_words(text) for text in source_texts]
        targets = [self._target_words(text) for text in target_texts]
        matrix = np.zeros((len(sources), len(targets)))
        for row, source in enumerate(sources):
            for column in range(max(0, row - _REACH), min(len(targets), row + _REACH + 1)):
                matrix[row, column] = self._similarity(source, targets[column])
        return matrix

    def _similarity(self, source: list[int], target: list[int]) -> float:
        if not source or not target:
            return 0.0
        n_target = len(self._target_ids)
        strengths = [[self._links.get(word * n_target + other, 0.0) for other in target] for word in source]
        of_sources = sum(map(max, strengths)) / len(source)
        of_targets = sum(map(max, zip(*strengths, strict=True))) / len(target)
        return (of_sources + of_targets) / 2

    def _source_words(self, text: str) -> list[int]:
        return [self._source_ids[stem] for stem in _stems(text) if stem in self._source_ids]

    def _target_words(self, text: str) -> list[int]:
        return [self._target_ids[stem] for stem in _stems(text) if stem in self._target_ids]


def align_verses(similarities: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (source verse, target verse), both increasing, that maximise the sum of similarities minus the cost of
    unpaired verses (Needleman and Wunsch 1970, in a band). Pairs off the diagonal are numbered differently.

    similarities: (verses, verses).
    """
    size = len(similarities)
    best = np.full((size + 1, size + 1), -np.inf)
    best[0, 0] = 0.0
    steps: dict[tuple[int, int], tuple[int, int]] = {}
    for row in range(size + 1):
        for column in range(max(0, row - _REACH), min(size, row + _REACH) + 1):
            options = []
            if row and column:
                options.append((best[row - 1, column - 1] + similarities[row - 1, column - 1], (1, 1)))
            if row:
                options.append((best[row - 1, column] - _UNPAIRED_COST, (1, 0)))
            if column:
                options.append((best[row, column - 1] - _UNPAIRED_COST, (0, 1)))
            if options:
                best[row, column], steps[row, column] = max(options)
    pairs = []
    row = column = size
    while row or column:
        step = steps[row, column]
        row, column = row - step[0], column - step[1]
        if step == (1, 1):
            pairs.append((row, column))
    return pairs[::-1]


def _stems(text: str) -> list[str]:
    return sorted({word[:_STEM_LETTERS] for word in _WORD.findall(text.lower())})


def _content_words(texts: Sequence[str]) -> tuple[dict[str, int], np.ndarray]:
    """An id for each word that identifies verses, and the number of verses with each."""
    counts = Counter(chain.from_iterable(map(_stems, texts)))
    limit = max(_LEAST_COMMON_LIMIT, int(len(texts) * _COMMON_SHARE))
    words = sorted(stem for stem, count in counts.items() if 2 <= count <= limit)
    return {stem: number for number, stem in enumerate(words)}, np.array([counts[stem] for stem in words])

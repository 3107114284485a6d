"""BLEU over sentence length: buckets of length, and the corpus BLEU of each with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.errors import ConfigError
from seq2attn.evaluation.bleu import Statistics, bleu_of
from seq2attn.evaluation.significance import bleu_interval

FEW_SENTENCES = 30
"""A bucket with fewer is shown, and marked as such."""

LengthUnit = Literal["words", "characters"]
Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class Bins:
    """Ranges of length: from each edge up to, but not including, the next; the last has no end.

    A sentence of 10 words is therefore in 10–19, not in 0–9. The first edge is 0, so that every sentence has its place.
    """

    edges: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises: ConfigError where the edges do not rise from 0."""
        if self.edges[:1] != (0,) or any(high <= low for low, high in pairwise(self.edges)):
            raise ConfigError(f"bins {self}: expected whole numbers that rise from 0, as in {DEFAULT_BINS}")

    @classmethod
    def parse(cls, text: str) -> Bins:
        """Bins from their edges, as in `0,10,20`. Raises: ConfigError where they are not rising whole numbers."""
        try:
            edges = tuple(int(edge) for edge in text.split(","))
        except ValueError as error:
            raise ConfigError(f"bins {text}: expected whole numbers with commas, as in {DEFAULT_BINS}") from error
        return cls(edges)

    def __str__(self) -> str:
        """The edges as `parse` reads them."""
        return ",".join(map(str, self.edges))

    def ranges(self) -> list[tuple[int, int | None]]:
        """`(low, high)` of each bucket; `high` is not included, and None at the last."""
        return list(zip(self.edges, [*self.edges[1:], None], strict=True))

    def assign(self, lengths: Lengths) -> NDArray[np.intp]:
        """The index of each length's bucket."""
        return np.searchsorted(self.edges, lengths, side="right") - 1


DEFAULT_BINS = Bins((0, 10, 20, 30, 40, 50, 60))


@dataclass(frozen=True)
class Bucket:
    """The sentences of one range of length and their corpus BLEU; an empty bucket has no score."""

    low: int
    high: int | None
    n: int
    bleu: float | None
    bleu_low: float | None
    bleu_high: float | None
    length_ratio: float | None
    """Tokens in the hypotheses divided by those in the references."""

    @property
    def label(self) -> str:
        """The lengths in the bucket, both ends included, as people read them: `10–19`, `60+`."""
        if self.high is None:
            return f"{self.low}+"
        return f"{self.low}–{self.high - 1}" if self.high - self.low > 1 else f"{self.low}"

    @property
    def has_few_sentences(self) -> bool:
        """Whether the score rests on too few sentences to be leant on."""
        return self.n < FEW_SENTENCES


@dataclass(frozen=True)
class LengthCurve:
    """One system's scores: all sentences in one bucket, and each range of length."""

    overall: Bucket
    buckets: tuple[Bucket, ...]


def length_unit(language: str) -> LengthUnit:
    """What the length of a sentence in `language` is counted in."""
    return "characters" if is_unspaced(language) else "words"


def sentence_lengths(sentences: Iterable[str], unit: LengthUnit) -> Lengths:
    """The length of each raw sentence, `(n_sentences,)`: words between white space, or characters without it."""
    return np.fromiter((count_words(sentence, unit == "characters") for sentence in sentences), dtype=np.int64)


def length_curve(statistics: Statistics, lengths: Lengths, bins: Bins) -> LengthCurve:
    """Corpus BLEU of each bucket (never a mean of sentence BLEU) from `bleu.sentence_statistics`, and of all together.

    Args:
        statistics: `(n_sentences, N_STATISTICS)`.
        lengths: `(n_sentences,)`.
        bins: the ranges of length.
    """
    places = bins.assign(lengths)
    buckets = [_score(low, high, statistics[places == place]) for place, (low, high) in enumerate(bins.ranges())]
    return LengthCurve(_score(0, None, statistics), tuple(buckets))


def _score(low: int, high: int | None, statistics: Statistics) -> Bucket:
    if not len(statistics):
        return Bucket(low, high, 0, None, None, None, None)
    total = statistics.sum(axis=0)
    bleu_low, bleu_high = bleu_interval(statistics)
    length_ratio = float(total[0] / total[1]) if total[1] else None
    return Bucket(low, high, len(statistics), bleu_of(total), bleu_low, bleu_high, length_ratio)

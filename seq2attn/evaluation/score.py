"""A score under any metric, and a bucket of scores"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seq2attn.evaluation.lengths import Range

FEW_SENTENCES = 30
"""A score on fewer sentences is marked, has no interval, and is not tested."""

BLEU = "BLEU"
"""The metric that every bucket is scored by."""


@dataclass(frozen=True)
class Score:
    """A score on `n` sentences, with its 95 % interval if they are enough."""

    value: float
    low: float | None
    high: float | None
    n: int
    std: float | None = None
    """Standard deviation over the system's outputs, where it has several; the value is then their mean."""
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        """Drop the interval where there are too few sentences."""
        if not self.enough:
            object.__setattr__(self, "low", None)
            object.__setattr__(self, "high", None)

    @property
    def enough(self) -> bool:
        """Whether there are enough sentences for an interval."""
        return self.n >= FEW_SENTENCES


@dataclass(frozen=True)
class Bucket:
    """The sentences of one range of length with the system's score under each metric; no scores if it is empty."""

    low: int
    high: int | None
    n: int
    scores: Mapping[str, Score]
    """By the metric's name."""
    length_ratio: float | None = None
    """Tokens in the hypotheses divided by those in the references."""
    repeated: float | None = None
    """Share of the hypotheses' 4-grams that occur earlier in the same hypothesis."""
    capped: float | None = None
    """Share of hypotheses that were cut off at the length cap; None where that is not known, as for files."""
    alone: float | None = None
    """BLEU of the same joined sentences translated one by one; None where sentences are not joined."""

    @property
    def bleu(self) -> Score | None:
        """The score under BLEU."""
        return self.scores.get(BLEU)

    @property
    def label(self) -> str:
        """The lengths in the bucket, as in `10–19`."""
        return Range(self.low, self.high).label

    @property
    def enough(self) -> bool:
        """Whether there are enough sentences for an interval."""
        return self.n >= FEW_SENTENCES

"""What is known of a system's quality on the sentences of one range of length, and of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seq2attn.evaluation.lengths import Range

FEW_SENTENCES = 30
"""A bucket with fewer is shown, and marked as such: no interval is claimed, and nothing is tested on it."""


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval; without one where there are too few sentences to claim it."""

    value: float
    low: float | None
    high: float | None
    spread: float | None = None
    """Standard deviation over the system's outputs, where it has several."""


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
    bleu_spread: float | None = None
    """Standard deviation of BLEU over the system's outputs, where it has several; BLEU is then their mean."""

    @property
    def label(self) -> str:
        """The lengths in the bucket, as people read them."""
        return Range(self.low, self.high).label

    @property
    def has_few_sentences(self) -> bool:
        """Whether the score rests on too few sentences to be leant on."""
        return self.n < FEW_SENTENCES

    def as_claimed(self) -> Bucket:
        """The bucket as it is told: without an interval where there are few sentences."""
        return replace(self, bleu_low=None, bleu_high=None) if self.has_few_sentences else self


@dataclass(frozen=True)
class LengthCurve:
    """One system's BLEU: all sentences in one bucket, and each range of length; few sentences have intervals too."""

    overall: Bucket
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True)
class MetricCurve:
    """One system's scores under a metric beside BLEU, on all sentences and in each bucket."""

    metric: str
    lower_is_better: bool
    overall: Score | None
    buckets: tuple[Score | None, ...]

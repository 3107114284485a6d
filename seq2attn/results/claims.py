"""Claims about the curves of whole sentences, measured and tested by the comparisons of `comparisons.py`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from seq2attn.evaluation.comparisons import Comparison, bleu_difference, fall, retention, share_fall
from seq2attn.evaluation.lengths import Lengths, Range
from seq2attn.evaluation.metrics import Statistics
from seq2attn.evaluation.resampling import Clusters, Selection
from seq2attn.evaluation.score import Bucket, Score

SHORT = 20
"""Sentences of up to this length are short."""
MIDDLING = Range(10, 20)
"""Sentences of these lengths are middling: the peak of a healthy curve."""
LONG = 40
"""Sentences of this length and more are long."""
LEVEL_UNTIL = 60
"""Up to this length a model with attention is expected to be level, as in Bahdanau et al. 2015, Fig. 2."""
APART_FROM = 20
"""From this length up a model with attention is expected to be above one without."""
MIN_RETENTION = 0.85
"""Fraction of its BLEU on middling sentences that a model without a bottleneck keeps on long ones."""
MIN_BLEU = 5.0
"""A model with less BLEU on middling sentences has hardly learned to translate: its retention shows nothing."""
MAX_WIDTH = 2 * (1 - MIN_RETENTION)
"""A wider interval that contains `MIN_RETENTION` does not show on which side of it a model is."""
MAX_P_VALUE = 0.01
"""A tested claim is supported where its p-value is below this."""

NO_ATTENTION = "none"
"""The value of `attention` that names a fixed context."""

ClaimKind = Literal["retention", "share_fall", "above", "apart", "level", "past_cap", "longer_cap"]


@dataclass(frozen=True)
class Claim:
    """A claim about one system, or about one against another, with the measured values and the verdict.

    By kind, the claim about `system`, and the meaning of `first`, `second` and `value`:

    - retention: it keeps its BLEU on long sentences; BLEU on middling ones, BLEU on long ones, second / first.
    - share_fall: it reaches a smaller share of the BLEU of `against` on long sentences than on short ones; the share on
      short ones, the share on long ones, second - first.
    - above: its BLEU is above that of `against`; the BLEU of `against`, its own, second - first.
    - apart: its intervals do not touch those of `against`; none, none, the smallest gap between them.
    - level: its BLEU does not fall on long sentences (of up to 60 words); BLEU on middling ones, on long ones, second -
      first. A significant fall refutes it.
    - past_cap: its BLEU falls on sentences of more than `beyond` words, where its training ended; BLEU on middling ones
      up to there, on those beyond, second - first.
    - longer_cap: on sentences of more than `beyond` words, where the training of `against` ended, its BLEU is above
      that of `against`, the same model; as for above.

    `low` and `high` are the 95 % bootstrap interval of `value`.
    """

    kind: ClaimKind
    system: str
    against: str | None
    first: float | None
    second: float | None
    value: float
    low: float | None
    high: float | None
    p_value: float | None
    found: bool | None
    """Whether the scores support the claim; None where they are inconclusive."""
    beyond: int | None = None
    """The words after which a training ended, where the claim is about longer sentences."""


@dataclass(frozen=True)
class EvaluatedModel:
    """One system's scores, with the statistics of each sentence that they come from."""

    name: str
    attention: str
    statistics: Statistics
    """`(n_seeds, n_sentences, N_STATISTICS)`."""
    buckets: tuple[Bucket, ...]
    max_source_words: int | None = None
    """The longest source sentence it was trained on, where there was a cap."""
    model: str = ""
    """Systems of the same model differ only in their training text."""
    clusters: Clusters | None = None
    """Of the sentences, which are resampled as wholes; None: sentences are resampled."""


def find_claims(models: Sequence[EvaluatedModel], lengths: Lengths) -> tuple[Claim, ...]:
    """Retention of each model with attention, and each model without attention against each comparable one with it.

    Models trained only up to some length have further claims: whether those with attention stay level, how all of them
    score beyond that length, and how the same model trained on longer sentences compares. A claim that cannot be
    measured (no sentences of that length, or in too few documents, or no BLEU at all) is left out.

    Args:
        models: their translations of the same sentences, in the same order.
        lengths: the length of each sentence, `(n_sentences,)`.
    """
    middling, long = MIDDLING.includes(lengths), lengths >= LONG
    without = [model for model in models if model.attention == NO_ATTENTION]
    attending = [model for model in models if model.attention != NO_ATTENTION]
    claims = [
        _judged("retention", model, None, retention(model.statistics, middling, long, clusters=model.clusters))
        for model in attending
    ]
    for fixed in without:
        for model in attending:
            if model.max_source_words == fixed.max_source_words:
                of_both = fixed.statistics, model.statistics
                falls = share_fall(*of_both, lengths <= SHORT, long, clusters=model.clusters)
                claims.append(_judged("share_fall", fixed, model, falls))
                claims.append(_above("above", model, fixed, lengths >= APART_FROM))
                claims.append(_apart(model, fixed))
    claims += [_level(model, lengths) for model in attending if model.max_source_words is not None]
    for model in models:
        if (cap := model.max_source_words) is not None:
            until = Range(MIDDLING.low, cap + 1).includes(lengths)
            falls = fall(model.statistics, until, lengths > cap, clusters=model.clusters)
            claims.append(_judged("past_cap", model, None, falls, cap))
            longer = [other for other in models if other.model == model.model and (other.max_source_words or 0) > cap]
            claims += [_above("longer_cap", other, model, lengths > cap, cap) for other in longer]
    return tuple(claim for claim in claims if claim is not None)


def _above(
    kind: ClaimKind, model: EvaluatedModel, other: EvaluatedModel, chosen: Selection, beyond: int | None = None
) -> Claim | None:
    clusters = None if model.clusters is None else model.clusters[chosen]
    measured = bleu_difference(model.statistics[:, chosen], other.statistics[:, chosen], clusters=clusters)
    return _judged(kind, model, other, measured, beyond)


def _apart(attending: EvaluatedModel, fixed: EvaluatedModel) -> Claim | None:
    gaps = [
        _gap(ours.bleu, theirs.bleu)
        for ours, theirs in zip(attending.buckets, fixed.buckets, strict=True)
        if ours.low >= APART_FROM
    ]
    gap = min((gap for gap in gaps if gap is not None), default=None)
    if gap is None:
        return None
    return Claim("apart", attending.name, fixed.name, None, None, gap, None, None, None, found=gap > 0.0)


def _gap(upper: Score | None, lower: Score | None) -> float | None:
    """The gap between two intervals, negative where they overlap; None where either is missing."""
    if upper is None or lower is None or upper.low is None or lower.high is None:
        return None
    return upper.low - lower.high


def _level(model: EvaluatedModel, lengths: Lengths) -> Claim | None:
    until = Range(LONG, LEVEL_UNTIL).includes(lengths)
    measured = fall(model.statistics, MIDDLING.includes(lengths), until, clusters=model.clusters)
    claim = _judged("level", model, None, measured)
    return None if claim is None else replace(claim, found=not claim.found)


def _judged(
    kind: ClaimKind,
    model: EvaluatedModel,
    against: EvaluatedModel | None,
    measured: Comparison | None,
    beyond: int | None = None,
) -> Claim | None:
    """The claim with its verdict: whether it is significant or, without a test, whether retention is high enough."""
    if measured is None:
        return None
    found = _keeps_enough(measured) if measured.p_value is None else measured.p_value < MAX_P_VALUE
    other = None if against is None else against.name
    return Claim(kind, model.name, other, **asdict(measured), found=found, beyond=beyond)


def _keeps_enough(measured: Comparison) -> bool | None:
    """Whether retention is high enough; None where the scores are inconclusive."""
    is_vague = measured.low < MIN_RETENTION <= measured.high and measured.high - measured.low > MAX_WIDTH
    return None if is_vague or measured.first < MIN_BLEU else measured.value >= MIN_RETENTION

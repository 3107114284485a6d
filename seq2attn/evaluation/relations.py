"""What the curve is expected to show, each claim measured and tested: found, not found, or not to be told.

Three lengths of sentence are told apart: short, up to 20 words; middling, 10 to 19; long, 40 and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from seq2attn.evaluation.length_curve import Bucket, LengthCurve
from seq2attn.evaluation.lengths import Lengths
from seq2attn.evaluation.metrics import Statistics
from seq2attn.evaluation.resampling import Group
from seq2attn.evaluation.significance import Comparison, bleu_difference, fall, retention, share_fall
from seq2attn.evaluation.summary import Relation, RelationKind

SHORT = 20
"""Sentences of up to this length are short."""
MIDDLING = (10, 20)
"""Sentences from the first length to below the second are middling: the peak of a healthy curve."""
LONG = 40
"""Sentences of this length and more are long."""
LEVEL_UNTIL = 60
"""Up to this length a model with attention is expected to be level, as in Bahdanau et al. 2015, Fig. 2."""
APART_FROM = 20
"""From this length up a model with attention is expected to be above one without."""
MIN_RETENTION = 0.85
"""Share of its BLEU on middling sentences that a model without a bottleneck keeps on long ones."""
MIN_BLEU = 5.0
"""With less on middling sentences a model has hardly learned to translate; what it keeps of that tells nothing."""
MAX_WIDTH = 2 * (1 - MIN_RETENTION)
"""An interval wider than this that reaches across `MIN_RETENTION` does not tell on which side of it a model is."""
MAX_P_VALUE = 0.01
"""A tested claim is found where its p-value is below this."""

NO_ATTENTION = "none"
"""The value of `attention` that names a fixed context."""


@dataclass(frozen=True)
class Measured:
    """One system's scores, with the statistics of each sentence that they come from."""

    name: str
    attention: str
    statistics: Statistics
    """`(n_seeds, n_sentences, N_STATISTICS)`."""
    curve: LengthCurve
    max_source_words: int | None = None
    """The longest source sentence it was trained on, where there was a cap."""
    model: str = ""
    """Systems of one model differ in what they were trained on alone."""


def find_relations(systems: Sequence[Measured], lengths: Lengths) -> tuple[Relation, ...]:
    """Retention of each model with attention, and each model without it against each with it that was trained alike.

    Of systems that were trained up to a length only, also whether those with attention stay level, what all of them do
    past that length, and what the same model does that was trained further. A relation that cannot be measured (no
    sentence of a length it speaks of, or no BLEU at all) is left out.

    Args:
        systems: their translations of the same sentences, in the same order.
        lengths: the length of each sentence, `(n_sentences,)`.
    """
    fixed = [system for system in systems if system.attention == NO_ATTENTION]
    attending = [system for system in systems if system.attention != NO_ATTENTION]
    relations = [_retention(system, lengths) for system in attending]
    for one in fixed:
        for other in attending:
            if other.max_source_words == one.max_source_words:
                relations += [_share_fall(one, other, lengths), _above(other, one, lengths), _apart(other, one)]
    relations += [_level(system, lengths) for system in attending if system.max_source_words is not None]
    for one in systems:
        if (cap := one.max_source_words) is not None:
            relations.append(_past_cap(one, cap, lengths))
            longer = [other for other in systems if other.model == one.model and (other.max_source_words or 0) > cap]
            relations += [_longer_cap(other, one, cap, lengths) for other in longer]
    return tuple(relation for relation in relations if relation is not None)


def _retention(system: Measured, lengths: Lengths) -> Relation | None:
    measured = retention(system.statistics, _middling(lengths), lengths >= LONG)
    return _judged("retention", system.name, None, measured)


def _share_fall(fixed: Measured, attending: Measured, lengths: Lengths) -> Relation | None:
    measured = share_fall(fixed.statistics, attending.statistics, lengths <= SHORT, lengths >= LONG)
    return _judged("share_fall", fixed.name, attending.name, measured)


def _above(attending: Measured, fixed: Measured, lengths: Lengths) -> Relation | None:
    group = lengths >= APART_FROM
    measured = bleu_difference(attending.statistics[:, group], fixed.statistics[:, group])
    return _judged("above", attending.name, fixed.name, measured)


def _apart(attending: Measured, fixed: Measured) -> Relation | None:
    ours_and_theirs = zip(_claimed(attending), _claimed(fixed), strict=True)
    gaps = [
        ours.bleu_low - theirs.bleu_high
        for ours, theirs in ours_and_theirs
        if ours.low >= APART_FROM and ours.bleu_low is not None and theirs.bleu_high is not None
    ]
    if not gaps:
        return None
    gap = min(gaps)
    return Relation("apart", attending.name, fixed.name, None, None, gap, None, None, None, found=gap > 0.0)


def _claimed(system: Measured) -> list[Bucket]:
    return [bucket.as_claimed() for bucket in system.curve.buckets]


def _level(system: Measured, lengths: Lengths) -> Relation | None:
    measured = fall(system.statistics, _middling(lengths), (lengths >= LONG) & (lengths < LEVEL_UNTIL))
    relation = _judged("level", system.name, None, measured)
    return None if relation is None else replace(relation, found=not relation.found)


def _past_cap(system: Measured, cap: int, lengths: Lengths) -> Relation | None:
    measured = fall(system.statistics, (lengths >= MIDDLING[0]) & (lengths <= cap), lengths > cap)
    return _judged("past_cap", system.name, None, measured, cap)


def _longer_cap(system: Measured, against: Measured, cap: int, lengths: Lengths) -> Relation | None:
    group = lengths > cap
    measured = bleu_difference(system.statistics[:, group], against.statistics[:, group])
    return _judged("longer_cap", system.name, against.name, measured, cap)


def _middling(lengths: Lengths) -> Group:
    low, high = MIDDLING
    return (lengths >= low) & (lengths < high)


def _judged(
    kind: RelationKind, system: str, against: str | None, measured: Comparison | None, beyond: int | None = None
) -> Relation | None:
    """The comparison as a relation: found where its claim is significant, or where there is none, enough is kept."""
    if measured is None:
        return None
    found = _keeps_enough(measured) if measured.p_value is None else measured.p_value < MAX_P_VALUE
    return Relation(kind, system, against, **asdict(measured), found=found, beyond=beyond)


def _keeps_enough(measured: Comparison) -> bool | None:
    """Whether the share that is kept is enough; None where the scores cannot tell."""
    is_vague = measured.low < MIN_RETENTION <= measured.high and measured.high - measured.low > MAX_WIDTH
    return None if is_vague or measured.first < MIN_BLEU else measured.value >= MIN_RETENTION

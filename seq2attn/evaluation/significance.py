"""Paired bootstrap tests on BLEU (Koehn 2004) of the claims that a curve is expected to bear out.

Where two systems are compared, both are given the same resample; where two groups of sentences are, each group is
resampled within itself. Intervals are percentiles. The one-sided p-value of a claim is
(1 + resamples in which it does not hold) / (1 + resamples).

Statistics are `(n_seeds, n_sentences, N_STATISTICS)`; a system of several seeds has the mean BLEU of its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2attn.evaluation.metrics import Bleu, Scores, Statistics
from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, SEED, Bootstrap, Group, Panel, percentile_interval


@dataclass(frozen=True)
class Comparison:
    """Two quantities, what lies between them with its interval, and the p-value of the claim that was tested."""

    first: float
    second: float
    value: float
    low: float
    high: float
    p_value: float | None


def bleu_difference(
    system: Statistics,
    baseline: Statistics,
    n_resamples: int = N_PAIRED_RESAMPLES,
    seed: int = SEED,
    same_trainings: bool = False,
) -> Comparison | None:
    """BLEU of `system` minus that of `baseline` on the same sentences; the claim is that it is above 0.

    `first` is the baseline's BLEU, `second` the system's. `same_trainings`: both are of the same trainings, in the same
    order. None where there are no sentences.
    """
    panel = Panel(Bleu(), [system, baseline])
    everything = np.ones(panel.n_sentences, dtype=np.bool_)
    if not panel.n_sentences:
        return None
    ours, theirs = Bootstrap(panel, n_resamples, seed, same_trainings).scores(everything)
    second, first = _bleu(panel, everything)
    return _compare(first, second, second - first, ours - theirs, holds=ours > theirs)


def share_fall(
    system: Statistics,
    baseline: Statistics,
    short: Group,
    long: Group,
    n_resamples: int = N_PAIRED_RESAMPLES,
    seed: int = SEED,
) -> Comparison | None:
    """The share of `baseline`'s BLEU that `system` reaches on `long` minus that on `short`; the claim: it is below 0.

    `first` is the share on short sentences, `second` that on long ones. A resample in which the baseline has no BLEU,
    and so no share is defined, counts against the claim. None where a group is empty or the baseline's BLEU on it is 0.
    """
    panel = Panel(Bleu(), [system, baseline])
    bootstrap = Bootstrap(panel, n_resamples, seed)
    shares: list[float] = []
    resampled: list[Scores] = []
    for group in (short, long):
        if not group.any():
            return None
        ours, theirs = _bleu(panel, group)
        if theirs == 0.0:
            return None
        shares.append(ours / theirs)
        resampled.append(_ratio(*bootstrap.scores(group)))
    falls = resampled[1] - resampled[0]
    return _compare(shares[0], shares[1], shares[1] - shares[0], falls, holds=falls < 0.0)


def retention(
    statistics: Statistics, base: Group, long: Group, n_resamples: int = N_PAIRED_RESAMPLES, seed: int = SEED
) -> Comparison | None:
    """BLEU on `long` as a share of BLEU on `base`, for one system; an estimate without a claim.

    `first` is the BLEU on `base`, `second` that on `long`. None where a group is empty or the first is 0.
    """
    panel = Panel(Bleu(), [statistics])
    if not base.any() or not long.any():
        return None
    (first,), (second,) = _bleu(panel, base), _bleu(panel, long)
    if first == 0.0:
        return None
    bootstrap = Bootstrap(panel, n_resamples, seed)
    (before,), (after,) = bootstrap.scores(base), bootstrap.scores(long)
    return _compare(first, second, second / first, _ratio(after, before), holds=None)


def fall(
    statistics: Statistics, base: Group, long: Group, n_resamples: int = N_PAIRED_RESAMPLES, seed: int = SEED
) -> Comparison | None:
    """BLEU on `long` minus BLEU on `base`, for one system; the claim is that it is below 0.

    `first` is the BLEU on `base`, `second` that on `long`. None where a group is empty.
    """
    panel = Panel(Bleu(), [statistics])
    if not base.any() or not long.any():
        return None
    (first,), (second,) = _bleu(panel, base), _bleu(panel, long)
    bootstrap = Bootstrap(panel, n_resamples, seed)
    (before,), (after,) = bootstrap.scores(base), bootstrap.scores(long)
    return _compare(first, second, second - first, after - before, holds=after < before)


def _bleu(panel: Panel, group: Group) -> list[float]:
    """Each system's mean BLEU on the group."""
    return [float(scores.mean()) for scores in panel.output_scores(group)]


def _ratio(numerator: Scores, denominator: Scores) -> Scores:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)


def _compare(first: float, second: float, value: float, resampled: Scores, holds: Group | None) -> Comparison:
    low, high = percentile_interval(resampled)
    p_value = None if holds is None else (1 + int(np.count_nonzero(~holds))) / (1 + len(holds))
    return Comparison(first, second, value, low, high, p_value)

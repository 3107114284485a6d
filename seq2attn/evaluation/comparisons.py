"""Comparisons of BLEU between two systems, or two selections of sentences, by paired bootstrap (Koehn 2004)

Two systems are compared on the same resamples; two selections of sentences are resampled independently, but together
where sentences belong to clusters. Intervals are percentiles. The one-sided p-value of what is tested is
(1 + resamples in which it does not hold) / (1 + resamples).

Statistics are `(n_seeds, n_sentences, N_STATISTICS)`; a system of several seeds has the mean BLEU of its outputs. There
is no comparison (None) where a selection is empty, or in fewer clusters than `MIN_CLUSTERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seq2attn.evaluation.metrics import Bleu, Scores, Statistics
from seq2attn.evaluation.resampling import (
    N_PAIRED_RESAMPLES,
    Bootstrap,
    Clusters,
    Selection,
    StatisticsTable,
    percentile_interval,
)


@dataclass(frozen=True)
class Comparison:
    """Two quantities, their difference or ratio with its interval, and the p-value of the tested claim."""

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
    same_trainings: bool = False,
    clusters: Clusters | None = None,
) -> Comparison | None:
    """BLEU of `system` minus that of `baseline` on the same sentences; the claim is that it is above 0.

    `first` is the baseline's BLEU, `second` the system's. `same_trainings`: both come from the same trainings, in the
    same order.
    """
    table = StatisticsTable(Bleu(), [system, baseline], clusters)
    everything = np.ones(table.n_sentences, dtype=np.bool_)
    if not table.can_resample(everything):
        return None
    ours, theirs = Bootstrap(table, n_resamples, same_trainings=same_trainings).scores(everything)
    second, first = _bleu(table, everything)
    return _compare(first, second, second - first, ours - theirs, holds=ours > theirs)


def share_fall(
    system: Statistics,
    baseline: Statistics,
    short: Selection,
    long: Selection,
    n_resamples: int = N_PAIRED_RESAMPLES,
    clusters: Clusters | None = None,
) -> Comparison | None:
    """The share of `baseline`'s BLEU that `system` reaches on `long` minus that on `short`; the claim: it is below 0.

    `first` is the share on short sentences, `second` that on long ones. A resample in which the baseline's BLEU is 0,
    so that the share is undefined, counts against the claim. None where the baseline's BLEU on a selection is 0.
    """
    table = StatisticsTable(Bleu(), [system, baseline], clusters)
    bootstrap = Bootstrap(table, n_resamples)
    shares: list[float] = []
    resampled: list[Scores] = []
    for chosen in (short, long):
        if not table.can_resample(chosen):
            return None
        ours, theirs = _bleu(table, chosen)
        if theirs == 0.0:
            return None
        shares.append(ours / theirs)
        resampled.append(_ratio(*bootstrap.scores(chosen)))
    falls = resampled[1] - resampled[0]
    return _compare(shares[0], shares[1], shares[1] - shares[0], falls, holds=falls < 0.0)


def retention(
    statistics: Statistics,
    base: Selection,
    long: Selection,
    n_resamples: int = N_PAIRED_RESAMPLES,
    clusters: Clusters | None = None,
) -> Comparison | None:
    """BLEU on `long` divided by BLEU on `base`, for one system; an estimate without a test.

    `first` is the BLEU on `base`, `second` that on `long`. None where the first is 0.
    """
    measured = _on_both(statistics, base, long, n_resamples, clusters)
    if measured is None or measured.first == 0.0:
        return None
    first, second, before, after = measured
    return _compare(first, second, second / first, _ratio(after, before), holds=None)


def fall(
    statistics: Statistics,
    base: Selection,
    long: Selection,
    n_resamples: int = N_PAIRED_RESAMPLES,
    clusters: Clusters | None = None,
) -> Comparison | None:
    """BLEU on `long` minus BLEU on `base`, for one system; the claim is that it is below 0.

    `first` is the BLEU on `base`, `second` that on `long`.
    """
    measured = _on_both(statistics, base, long, n_resamples, clusters)
    if measured is None:
        return None
    first, second, before, after = measured
    return _compare(first, second, second - first, after - before, holds=after < before)


class _Both(NamedTuple):
    """A system's BLEU on two selections, and on each resample of them."""

    first: float
    second: float
    before: Scores
    after: Scores


def _on_both(
    statistics: Statistics, base: Selection, long: Selection, n_resamples: int, clusters: Clusters | None
) -> _Both | None:
    table = StatisticsTable(Bleu(), [statistics], clusters)
    if not table.can_resample(base) or not table.can_resample(long):
        return None
    (first,), (second,) = _bleu(table, base), _bleu(table, long)
    bootstrap = Bootstrap(table, n_resamples)
    (before,), (after,) = bootstrap.scores(base), bootstrap.scores(long)
    return _Both(first, second, before, after)


def _bleu(table: StatisticsTable, chosen: Selection) -> list[float]:
    """Each system's mean BLEU on the chosen sentences."""
    return [float(scores.mean()) for scores in table.output_scores(chosen)]


def _ratio(numerator: Scores, denominator: Scores) -> Scores:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)


def _compare(first: float, second: float, value: float, resampled: Scores, holds: Selection | None) -> Comparison:
    low, high = percentile_interval(resampled)
    p_value = None if holds is None else (1 + int(np.count_nonzero(~holds))) / (1 + len(holds))
    return Comparison(first, second, value, low, high, p_value)

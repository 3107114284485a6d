"""Bootstrap intervals and paired bootstrap tests on BLEU (Koehn 2004), from the statistics of each sentence.

A resample draws as many sentences as there are, with replacement. Where two systems are compared, both are given the
same resample; where two groups of sentences are, each group is resampled within itself. Intervals are percentiles.
The one-sided p-value of a claim is (1 + resamples in which it does not hold) / (1 + resamples).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.bleu import N_STATISTICS, Scores, Statistics, bleu_of, bleu_of_each

N_RESAMPLES = 1_000
"""Resamples behind an interval of BLEU."""
N_PAIRED_RESAMPLES = 10_000
"""Resamples behind a p-value; the smallest that it can be is then 0.0001."""
SEED = 12345
"""Seed of every bootstrap; sacreBLEU's own."""
CONFIDENCE = 0.95
"""Coverage of every interval."""

_CHUNK_BYTES = 2**25

Group = NDArray[np.bool_]
"""Which sentences belong to a group, `(n_sentences,)`."""


@dataclass(frozen=True)
class Comparison:
    """Two quantities, what lies between them with its interval, and the p-value of the claim that was tested."""

    first: float
    second: float
    value: float
    low: float
    high: float
    p_value: float | None


def resample_sums(statistics: Statistics, n_resamples: int, rng: np.random.Generator) -> Scores:
    """Sums of `statistics` over resamples of its rows, `(n_resamples, n_columns)`; memory does not grow with them."""
    n_sentences, n_columns = statistics.shape
    values = statistics.astype(np.float64)
    sums = np.empty((n_resamples, n_columns))
    chunk = max(1, _CHUNK_BYTES // (8 * n_sentences))
    for start in range(0, n_resamples, chunk):
        rows = min(chunk, n_resamples - start)
        drawn = rng.integers(n_sentences, size=(rows, n_sentences))
        # How often each sentence was drawn turns the sums of all resamples into one matrix product.
        drawn += np.arange(rows)[:, None] * n_sentences
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * n_sentences).reshape(rows, n_sentences)
        sums[start : start + rows] = times_drawn @ values
    return sums


def percentile_interval(values: Scores) -> tuple[float, float]:
    """The middle `CONFIDENCE` of `values`; undefined ones (NaN) are left out."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def bleu_interval(statistics: Statistics, n_resamples: int = N_RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """The interval of the corpus BLEU of at least one sentence."""
    sums = resample_sums(statistics, n_resamples, np.random.default_rng(seed))
    return percentile_interval(bleu_of_each(sums))


def bleu_difference(
    system: Statistics, baseline: Statistics, n_resamples: int = N_PAIRED_RESAMPLES, seed: int = SEED
) -> Comparison | None:
    """BLEU of `system` minus that of `baseline` on the same sentences; the claim is that it is above 0.

    `first` is the baseline's BLEU, `second` the system's. None where there are no sentences.
    """
    if not len(system):
        return None
    ours, theirs = _paired_bleu(system, baseline, n_resamples, np.random.default_rng(seed))
    first, second = bleu_of(baseline.sum(axis=0)), bleu_of(system.sum(axis=0))
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
    rng = np.random.default_rng(seed)
    shares: list[float] = []
    resampled: list[Scores] = []
    for group in (short, long):
        if not group.any() or (reached := bleu_of(baseline[group].sum(axis=0))) == 0.0:
            return None
        shares.append(bleu_of(system[group].sum(axis=0)) / reached)
        resampled.append(_ratio(*_paired_bleu(system[group], baseline[group], n_resamples, rng)))
    falls = resampled[1] - resampled[0]
    return _compare(shares[0], shares[1], shares[1] - shares[0], falls, holds=falls < 0.0)


def retention(
    statistics: Statistics, base: Group, long: Group, n_resamples: int = N_PAIRED_RESAMPLES, seed: int = SEED
) -> Comparison | None:
    """BLEU on `long` as a share of BLEU on `base`, for one system; an estimate without a claim.

    `first` is the BLEU on `base`, `second` that on `long`. None where a group is empty or the first is 0.
    """
    if not base.any() or not long.any() or (first := bleu_of(statistics[base].sum(axis=0))) == 0.0:
        return None
    rng = np.random.default_rng(seed)
    before, after = (bleu_of_each(resample_sums(statistics[group], n_resamples, rng)) for group in (base, long))
    second = bleu_of(statistics[long].sum(axis=0))
    return _compare(first, second, second / first, _ratio(after, before), holds=None)


def _paired_bleu(
    system: Statistics, baseline: Statistics, n_resamples: int, rng: np.random.Generator
) -> tuple[Scores, Scores]:
    """BLEU of both systems on the same resamples of the same sentences."""
    sums = resample_sums(np.hstack([system, baseline]), n_resamples, rng)
    return bleu_of_each(sums[:, :N_STATISTICS]), bleu_of_each(sums[:, N_STATISTICS:])


def _ratio(numerator: Scores, denominator: Scores) -> Scores:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)


def _compare(first: float, second: float, value: float, resampled: Scores, holds: Group | None) -> Comparison:
    low, high = percentile_interval(resampled)
    p_value = None if holds is None else (1 + int(np.count_nonzero(~holds))) / (1 + len(holds))
    return Comparison(first, second, value, low, high, p_value)

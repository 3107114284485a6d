"""Bootstrap resamples of test sentences and training runs, for all systems at once

A resample draws n of the n sentences with replacement, the same ones for every system. Where a system was trained
several times (seeds), its score is the mean over its outputs, and each resample also draws random weights of the
outputs, so that the mean varies as Student's t distribution for this number of seeds. The weights are the same for all
lengths, because one training stands behind all of them. Sums over resamples are matrix products.

Where sentences belong to clusters (documents, or blocks of a joined corpus), a resample draws whole clusters, because
sentences of one document are easy or hard together: intervals from single sentences are too narrow for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.metrics import Metric, Scores, Statistics

N_RESAMPLES = 1_000
"""Resamples for an interval."""
N_PAIRED_RESAMPLES = 10_000
"""Resamples for a p-value, which is then at least 0.0001."""
SEED = 12345
"""Seed of every bootstrap, the same as sacreBLEU's."""
CONFIDENCE = 0.95
"""Coverage of every interval."""

MIN_CLUSTERS = 10
"""Sentences in fewer clusters have no interval: the expansion for small numbers is accurate from 10 on."""

_CHUNK_BYTES = 2**25

Selection = NDArray[np.bool_]
"""Which sentences are selected, `(n_sentences,)`."""
Clusters = NDArray[np.int64]
"""The number of each sentence's cluster, `(n_sentences,)`."""
Resample = Literal["sentences", "documents"]
"""What a resample draws; the documents of a corpus of joined sentences are those that they were joined in."""


class StatisticsTable:
    """Several systems' statistics under one metric, on the same sentences."""

    def __init__(self, metric: Metric, systems: Sequence[Statistics], clusters: Clusters | None = None) -> None:
        """The table; `clusters`: resampled as wholes; None: sentences are resampled.

        `systems`: `(n_seeds, n_sentences, n_columns)` each; the number of seeds may differ.
        """
        self.metric = metric
        self.n_seeds = tuple(len(system) for system in systems)
        self.n_sentences = systems[0].shape[1]
        self._firsts = np.concatenate([[0], np.cumsum(self.n_seeds)])
        # One row for each sentence, with the columns of all outputs: a single product sums all of them.
        self.rows = np.concatenate([np.hstack(list(system)) for system in systems], axis=1)
        self._clusters = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
        self.in_clusters = clusters is not None

    def statistics(self, system: int) -> Statistics:
        """One system's statistics, `(n_seeds, n_sentences, n_columns)`."""
        every = self.rows.reshape(self.n_sentences, sum(self.n_seeds), self.metric.n_columns)
        return every[:, self._outputs_of_systems()[system]].transpose(1, 0, 2)

    def totals(self, group: Selection) -> Statistics:
        """Each output's statistics summed over the group, `(n_outputs, n_columns)`."""
        return self.rows[group].sum(axis=0).reshape(-1, self.metric.n_columns)

    def units(self, group: Selection) -> Scores:
        """What a resample draws from: the group's rows, or their sums over each of all clusters."""
        rows = self.rows[group]
        return rows if self._clusters is None else sum_clusters(rows, self._clusters[group], self._clusters)

    def n_units(self, group: Selection) -> int:
        """The number of sentences in the group, or of clusters with sentences in it."""
        return int(np.count_nonzero(group) if self._clusters is None else len(np.unique(self._clusters[group])))

    def can_resample(self, group: Selection) -> bool:
        """Whether the group has sentences, in `MIN_CLUSTERS` clusters or more where there are clusters."""
        return self.n_units(group) >= (MIN_CLUSTERS if self.in_clusters else 1)

    def output_scores(self, group: Selection) -> list[Scores]:
        """For each system the score of each of its outputs on the group, exactly as sacreBLEU computes it."""
        scores = np.array([self.metric.score(total) for total in self.totals(group)])
        return [scores[chosen] for chosen in self._outputs_of_systems()]

    def score_sums(self, sums: Scores) -> Scores:
        """The score of each output for each row of sums over `rows`, `(n_outputs, n_rows)`."""
        totals = sums.reshape(-1, self.metric.n_columns)
        return self.metric.score_each(totals).reshape(len(sums), sum(self.n_seeds)).T

    def mean_over_outputs(self, scores: Scores, weights: Sequence[Scores] | None = None) -> Scores:
        """Each system's mean over its outputs, `(n_systems, n_rows)`, from `(n_outputs, n_rows)`.

        `weights`: for each system `(its outputs, n_rows)`, which add up to 1 over the outputs; None: equal weights.
        """
        by_system = [scores[chosen] for chosen in self._outputs_of_systems()]
        if weights is None:
            return np.stack([outputs.mean(axis=0) for outputs in by_system])
        return np.stack([(outputs * ours).sum(axis=0) for outputs, ours in zip(by_system, weights, strict=True)])

    def _outputs_of_systems(self) -> list[slice]:
        return [slice(first, first + n) for first, n in zip(self._firsts[:-1], self.n_seeds, strict=True)]


class Bootstrap:
    """Scores of all systems of a table on resamples.

    Each call draws new, independent resamples of sentences. Where the table has clusters, every call has the same
    resamples of all clusters, so that the buckets of a curve vary together.
    """

    def __init__(
        self, table: StatisticsTable, n_resamples: int, seed: int = SEED, same_trainings: bool = False
    ) -> None:
        """`same_trainings`: the systems are the same trainings on other input, and get the same weights."""
        self.table = table
        self.n_resamples = n_resamples
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        (of_outputs,) = self._rng.spawn(1)
        if same_trainings:
            self._weights = [weigh_outputs(table.n_seeds[0], n_resamples, of_outputs)] * len(table.n_seeds)
        else:
            self._weights = [weigh_outputs(n, n_resamples, of_outputs) for n in table.n_seeds]

    def scores(self, group: Selection) -> Scores:
        """The score of each system on each resample of the group's sentences, `(n_systems, n_resamples)`."""
        rng = np.random.default_rng(self._seed) if self.table.in_clusters else self._rng
        sums = resample_sums(self.table.units(group), self.n_resamples, rng)
        means = self.table.mean_over_outputs(self.table.score_sums(sums), self._weights)
        # Negative weights on outputs that are far apart can push the mean below 0.
        return np.maximum(means, 0.0)


def weigh_outputs(n_outputs: int, n_resamples: int, rng: np.random.Generator) -> Scores:
    """Weights of a system's outputs for each resample, `(n_outputs, n_resamples)`, which add up to 1.

    The weighted mean of n scores is then distributed around their plain mean as s / sqrt(n) times Student's t with
    n - 1 degrees of freedom, where s is their standard deviation: the distribution of the mean over all possible
    trainings, if their scores are normal. Resampling the n scores, as is done with sentences, would treat s as known.
    """
    if n_outputs == 1:
        return np.ones((1, n_resamples))
    normal = rng.standard_normal((n_outputs, n_resamples))
    # The deviations' product with the scores is normal, with variance (n - 1) s^2.
    deviations = normal - normal.mean(axis=0)
    return 1.0 / n_outputs + deviations / np.sqrt(n_outputs * rng.chisquare(n_outputs - 1, n_resamples))


def sum_clusters(rows: Scores, clusters: Clusters, all_clusters: Clusters) -> Scores:
    """The sums of `rows` over each cluster, `(n_clusters, ...)`; 0 for a cluster without rows.

    Args:
        rows: `(n_rows, ...)`.
        clusters: of each row, numbered from 0.
        all_clusters: all numbers that there are.
    """
    sums = np.zeros((int(all_clusters.max(initial=-1)) + 1, *rows.shape[1:]))
    np.add.at(sums, clusters, rows)
    return sums


def resample_sums(statistics: Statistics, n_resamples: int, rng: np.random.Generator) -> Scores:
    """Sums of `statistics` over resamples of its rows, `(n_resamples, n_columns)`, in chunks of bounded memory."""
    n_sentences, n_columns = statistics.shape
    sums = np.empty((n_resamples, n_columns))
    for start, rows in _chunks(n_resamples, n_sentences):
        drawn = rng.integers(n_sentences, size=(rows, n_sentences))
        # How often each sentence was drawn turns the sums of all resamples into one matrix product.
        drawn += np.arange(rows)[:, None] * n_sentences
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * n_sentences).reshape(rows, n_sentences)
        sums[start : start + rows] = times_drawn @ statistics
    return sums


def halves_sums(statistics: Statistics, n_trials: int, rng: np.random.Generator) -> Scores:
    """Sums of `statistics` over rows that are each drawn with probability 1/2, `(n_trials, n_columns)`."""
    n_sentences, n_columns = statistics.shape
    sums = np.empty((n_trials, n_columns))
    for start, rows in _chunks(n_trials, n_sentences):
        bits = np.frombuffer(rng.bytes(-(-rows * n_sentences // 8)), dtype=np.uint8)
        heads = np.unpackbits(bits, count=rows * n_sentences).reshape(rows, n_sentences)
        sums[start : start + rows] = heads @ statistics
    return sums


def percentile_interval(values: Scores) -> tuple[float, float]:
    """The central `CONFIDENCE` of `values`, ignoring NaN."""
    return _quantiles(values, (1.0 - CONFIDENCE) / 2.0)


def expanded_interval(values: Scores, n_sentences: int) -> tuple[float, float]:
    """The percentile interval of a score, expanded for a small number of sentences.

    A bootstrap's standard deviation is too small by sqrt((n - 1) / n), and it treats its variance as known. Percentiles
    further out, those of Student's t with n - 1 degrees of freedom, correct both (Hesterberg 2015, section 5.3.1). For
    many sentences this is the percentile interval.
    """
    if n_sentences < 2:
        return _quantiles(values, 0.0)
    degrees = n_sentences - 1
    z = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0)
    # Cornish and Fisher's expansion; accurate to three digits from 10 sentences on.
    t = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return _quantiles(values, NormalDist().cdf(-t * sqrt(n_sentences / degrees)))


def _quantiles(values: Scores, tail: float) -> tuple[float, float]:
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def _chunks(n_rows: int, n_sentences: int) -> list[tuple[int, int]]:
    """Start and size of chunks of rows whose matrices of `n_sentences` columns fit into memory."""
    size = max(1, _CHUNK_BYTES // (8 * n_sentences))
    return [(start, min(size, n_rows - start)) for start in range(0, n_rows, size)]

"""Scores by length with intervals, slopes and differences of several systems"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seq2attn.errors import ConfigError
from seq2attn.evaluation.diagnostics import diagnosed, scored_alone
from seq2attn.evaluation.differences import Difference, find_differences
from seq2attn.evaluation.lengths import DEFAULT_BINS, EVERY_LENGTH, Binning, Bins, Lengths, Range
from seq2attn.evaluation.metrics import Bleu, Metric, Scores, Statistics
from seq2attn.evaluation.resampling import (
    N_PAIRED_RESAMPLES,
    N_RESAMPLES,
    SEED,
    Bootstrap,
    Clusters,
    Selection,
    StatisticsTable,
    expanded_interval,
)
from seq2attn.evaluation.score import FEW_SENTENCES, Bucket, Score
from seq2attn.evaluation.slope import Slope, SmoothedPoint, find_slopes, smoothed_curves


@dataclass(frozen=True)
class SystemOutputs:
    """A system's translations: a single output, or an output for each training seed."""

    name: str
    outputs: tuple[Sequence[str], ...]
    cut_off: tuple[Collection[int], ...] | None = None
    """For each output the sentences that were cut off at the length cap; None where that is not known."""
    alone: tuple[Sequence[str], ...] | None = None
    """The outputs where joined sentences are translated one by one and joined afterwards; None for other text."""


@dataclass(frozen=True)
class MeasureSettings:
    """How translations are scored."""

    binning: Binning = DEFAULT_BINS
    bleu: Bleu = field(default_factory=Bleu)
    further_metrics: tuple[Metric, ...] = ()
    """Metrics in addition to BLEU."""
    baseline: str | None = None
    """The system that all others are compared with; None: the first."""
    n_resamples: int = N_RESAMPLES
    """Resamples for each interval of a score."""
    n_trials: int = N_PAIRED_RESAMPLES
    """Resamples, or random swaps, for each p-value."""
    seed: int = SEED


@dataclass(frozen=True)
class MeasuredSystem:
    """All measurements of one system."""

    name: str
    statistics: Statistics
    """Of BLEU, `(n_seeds, n_sentences, N_STATISTICS)`."""
    overall: Bucket
    """All sentences."""
    buckets: tuple[Bucket, ...]
    output_bleu: tuple[float, ...]
    """The BLEU of each output on all sentences."""
    slope: Slope | None
    smoothed: tuple[SmoothedPoint, ...]


@dataclass(frozen=True)
class Measurement:
    """All systems, and the difference of each from the baseline."""

    systems: tuple[MeasuredSystem, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _SelectionScores:
    """Every system's scores on some of the sentences."""

    span: Range
    selection: Selection
    n: int
    outputs: list[Scores]
    """For each system the score of each output."""
    resampled: Scores
    """`(n_systems, n_resamples)`."""
    table: StatisticsTable

    @property
    def enough(self) -> bool:
        """Whether there are enough sentences, and enough clusters of them, for an interval."""
        return self.n >= FEW_SENTENCES and self.table.can_resample(self.selection)

    def means(self) -> list[float]:
        """Each system's score."""
        return [float(outputs.mean()) for outputs in self.outputs]

    def score(self, system: int) -> Score:
        """One system's score with its interval."""
        outputs = self.outputs[system]
        std = float(outputs.std(ddof=1)) if len(outputs) > 1 else None
        low, high = (None, None) if not self.enough else self._interval(system)
        return Score(float(outputs.mean()), low, high, self.n, std, self.table.metric.lower_is_better)

    def _interval(self, system: int) -> tuple[float, float]:
        return expanded_interval(self.resampled[system], self.table.n_units(self.selection))


@dataclass(frozen=True)
class _MeasuredMetric:
    """All measurements under one metric."""

    table: StatisticsTable
    overall: _SelectionScores | None
    """None: no sentences."""
    buckets: list[_SelectionScores | None]
    differences: tuple[Difference, ...]


def measure(
    systems: Sequence[SystemOutputs],
    references: Sequence[Sequence[str]],
    lengths: Lengths,
    settings: MeasureSettings,
    clusters: Clusters | None = None,
) -> Measurement:
    """Score the systems' translations of the same sentences by length, and against each other.

    Args:
        systems: each output is as long as every reference.
        references: one sequence or more, each a whole translation.
        lengths: of each sentence, `(n_sentences,)`.
        settings: how to score them.
        clusters: of the sentences, which are resampled as wholes; None: sentences are resampled.

    Raises: ConfigError where the baseline is none of the systems.
    """
    metrics = (settings.bleu, *settings.further_metrics)
    tables = [_table(metric, systems, references, clusters) for metric in metrics]
    measurement = measure_tables([system.name for system in systems], tables, lengths, settings)
    measured = zip(measurement.systems, systems, strict=True)
    diagnosed_systems = (_diagnose(*both, references, lengths, settings.bleu) for both in measured)
    return replace(measurement, systems=tuple(diagnosed_systems))


def _diagnose(
    measured: MeasuredSystem,
    system: SystemOutputs,
    references: Sequence[Sequence[str]],
    lengths: Lengths,
    bleu: Bleu,
) -> MeasuredSystem:
    buckets = diagnosed(measured.buckets, lengths, system.outputs, bleu, system.cut_off)
    if system.alone is not None:
        buckets = scored_alone(buckets, lengths, bleu.statistics(system.alone, references), bleu)
    return replace(measured, buckets=buckets)


def measure_tables(
    names: Sequence[str], tables: Sequence[StatisticsTable], lengths: Lengths, settings: MeasureSettings
) -> Measurement:
    """The same from the statistics of each sentence: a table of all systems for each metric, BLEU's first."""
    baseline = _place_of_baseline(settings.baseline, names)
    bins = settings.binning.fit(lengths)
    metrics = [_measure_metric(table, names, baseline, lengths, bins, settings) for table in tables]
    bleu = metrics[0]
    enough = [scored for scored in bleu.buckets if scored is not None and scored.enough]
    slopes = find_slopes(
        lengths,
        [scored.selection for scored in enough],
        [scored.means() for scored in enough],
        [scored.resampled for scored in enough],
    )
    smoothed = smoothed_curves(bleu.table, lengths, FEW_SENTENCES) if len(bins.edges) > 1 else []
    systems = tuple(
        MeasuredSystem(
            name=name,
            statistics=bleu.table.statistics(place),
            overall=_bucket(EVERY_LENGTH, bleu, [metric.overall for metric in metrics], place),
            buckets=tuple(
                _bucket(span, bleu, [metric.buckets[number] for metric in metrics], place)
                for number, span in enumerate(bins.ranges())
            ),
            output_bleu=() if bleu.overall is None else tuple(bleu.overall.outputs[place].tolist()),
            slope=slopes[place] if slopes else None,
            smoothed=smoothed[place] if smoothed else (),
        )
        for place, name in enumerate(names)
    )
    return Measurement(systems, tuple(difference for metric in metrics for difference in metric.differences))


def _place_of_baseline(name: str | None, names: Sequence[str]) -> int:
    if name is None:
        return 0
    if name not in names:
        raise ConfigError(f"baseline {name}: no such system; expected one of {', '.join(names)}")
    return names.index(name)


def _table(
    metric: Metric, systems: Sequence[SystemOutputs], references: Sequence[Sequence[str]], clusters: Clusters | None
) -> StatisticsTable:
    outputs = [output for system in systems for output in system.outputs]
    ends = np.cumsum([len(system.outputs) for system in systems])
    return StatisticsTable(metric, np.split(metric.statistics(outputs, references), ends[:-1]), clusters)


def _measure_metric(
    table: StatisticsTable,
    names: Sequence[str],
    baseline: int,
    lengths: Lengths,
    bins: Bins,
    settings: MeasureSettings,
) -> _MeasuredMetric:
    places = bins.assign(lengths)
    bootstrap = Bootstrap(table, settings.n_resamples, settings.seed)
    overall = _score(table, bootstrap, EVERY_LENGTH, np.ones(len(lengths), dtype=np.bool_))
    # A single bucket over all lengths has the scores of all sentences.
    spans = [span for span in bins.ranges() if span != EVERY_LENGTH]
    parts = [_score(table, bootstrap, span, places == place) for place, span in enumerate(spans)]
    compared = [(scored.span, scored.selection) for scored in (overall, *parts) if scored is not None and scored.enough]
    differences: tuple[Difference, ...] = ()
    if len(names) > 1:
        differences = find_differences(table, names, baseline, compared, settings.n_trials, settings.seed)
    return _MeasuredMetric(table, overall, parts or [overall], differences)


def _score(table: StatisticsTable, bootstrap: Bootstrap, span: Range, selection: Selection) -> _SelectionScores | None:
    n = int(np.count_nonzero(selection))
    if not n:
        return None
    outputs, resampled = table.output_scores(selection), bootstrap.scores(selection)
    return _SelectionScores(span, selection, n, outputs, resampled, table)


def _bucket(span: Range, bleu: _MeasuredMetric, scored: Sequence[_SelectionScores | None], system: int) -> Bucket:
    """One system's bucket from all systems' scores under each metric, BLEU's first."""
    filled = [scores for scores in scored if scores is not None]
    if not filled:
        return Bucket(*span, 0, {})
    first = filled[0]
    hyp_len, ref_len = bleu.table.statistics(system)[:, first.selection, :2].sum(axis=(0, 1))
    return Bucket(
        *span,
        first.n,
        {scores.table.metric.name: scores.score(system) for scores in filled},
        length_ratio=float(hyp_len / ref_len) if ref_len else None,
    )

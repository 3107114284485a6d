"""Translations to everything that is told of them: scores by length with intervals, slopes, and differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seq2attn.errors import ConfigError
from seq2attn.evaluation.differences import Difference, find_differences
from seq2attn.evaluation.length_curve import FEW_SENTENCES, Bucket, LengthCurve, MetricCurve, Score
from seq2attn.evaluation.lengths import DEFAULT_BINS, EVERY_LENGTH, Binning, Bins, Lengths, Range
from seq2attn.evaluation.metrics import Bleu, Metric, Scores, Statistics
from seq2attn.evaluation.resampling import (
    N_PAIRED_RESAMPLES,
    N_RESAMPLES,
    SEED,
    Bootstrap,
    Group,
    Panel,
    expanded_interval,
)
from seq2attn.evaluation.slope import Slope, SmoothedPoint, find_slopes, smoothed_curves


@dataclass(frozen=True)
class Candidate:
    """A system by its translations: one output, or one for each seed that it was trained with."""

    name: str
    outputs: tuple[Sequence[str], ...]


@dataclass(frozen=True)
class MeasureSettings:
    """How translations are scored."""

    binning: Binning = DEFAULT_BINS
    bleu: Bleu = field(default_factory=Bleu)
    beside: tuple[Metric, ...] = ()
    """Metrics beside BLEU."""
    baseline: str | None = None
    """The system that all others are held against; none: the first."""
    n_resamples: int = N_RESAMPLES
    """Behind each interval of a score."""
    n_trials: int = N_PAIRED_RESAMPLES
    """Behind each p-value."""
    seed: int = SEED


@dataclass(frozen=True)
class MeasuredSystem:
    """All that is known of one system."""

    name: str
    statistics: Statistics
    """Of BLEU, `(n_seeds, n_sentences, N_STATISTICS)`."""
    curve: LengthCurve
    output_bleu: tuple[float, ...]
    """Of each output on all sentences."""
    slope: Slope | None
    smoothed: tuple[SmoothedPoint, ...]
    beside: tuple[MetricCurve, ...]


@dataclass(frozen=True)
class Measurement:
    """All systems, and each against the baseline."""

    systems: tuple[MeasuredSystem, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class _Scored:
    """Every system's scores on one group of sentences."""

    span: Range
    group: Group
    n: int
    outputs: list[Scores]
    """For each system the score of each output."""
    resampled: Scores
    """`(n_systems, n_resamples)`."""

    @property
    def is_enough(self) -> bool:
        """Whether there are enough sentences for an interval."""
        return self.n >= FEW_SENTENCES

    def means(self) -> list[float]:
        """Each system's score."""
        return [float(outputs.mean()) for outputs in self.outputs]

    def spread(self, system: int) -> float | None:
        """Standard deviation over the system's outputs."""
        outputs = self.outputs[system]
        return float(outputs.std(ddof=1)) if len(outputs) > 1 else None


@dataclass(frozen=True)
class _MeasuredMetric:
    """All that one metric says."""

    panel: Panel
    overall: _Scored | None
    buckets: list[_Scored | None]
    """None: no sentences."""
    differences: tuple[Difference, ...]


def measure(
    candidates: Sequence[Candidate], references: Sequence[Sequence[str]], lengths: Lengths, settings: MeasureSettings
) -> Measurement:
    """Score the candidates' translations of the same sentences by length, and against each other.

    Args:
        candidates: the systems; each output is as long as every reference.
        references: one sequence or more, each a whole translation.
        lengths: of each sentence, `(n_sentences,)`.
        settings: how.

    Raises: ConfigError where the baseline is none of the candidates.
    """
    metrics = (settings.bleu, *settings.beside)
    panels = [_panel(metric, candidates, references) for metric in metrics]
    return measure_panels([candidate.name for candidate in candidates], panels, lengths, settings)


def measure_panels(
    names: Sequence[str], panels: Sequence[Panel], lengths: Lengths, settings: MeasureSettings
) -> Measurement:
    """The same from the statistics of each sentence: a panel of all systems for each metric, BLEU's first."""
    baseline = _place_of_baseline(settings.baseline, names)
    bins = settings.binning.fit(lengths)
    bleu, *beside = (_measure_metric(panel, names, baseline, lengths, bins, settings) for panel in panels)
    enough = [one for one in bleu.buckets if one is not None and one.is_enough]
    slopes = find_slopes(
        lengths, [one.group for one in enough], [one.means() for one in enough], [one.resampled for one in enough]
    )
    smoothed = smoothed_curves(bleu.panel, lengths, FEW_SENTENCES) if len(bins.edges) > 1 else []
    systems = tuple(
        MeasuredSystem(
            name=name,
            statistics=bleu.panel.statistics(place),
            curve=_length_curve(bleu, bins, place),
            output_bleu=() if bleu.overall is None else tuple(bleu.overall.outputs[place].tolist()),
            slope=slopes[place] if slopes else None,
            smoothed=smoothed[place] if smoothed else (),
            beside=tuple(_metric_curve(one, place) for one in beside),
        )
        for place, name in enumerate(names)
    )
    return Measurement(systems, tuple(one for metric in (bleu, *beside) for one in metric.differences))


def _place_of_baseline(name: str | None, names: Sequence[str]) -> int:
    if name is None:
        return 0
    if name not in names:
        raise ConfigError(f"baseline {name}: no such system; expected one of {', '.join(names)}")
    return names.index(name)


def _panel(metric: Metric, candidates: Sequence[Candidate], references: Sequence[Sequence[str]]) -> Panel:
    outputs = [output for candidate in candidates for output in candidate.outputs]
    ends = np.cumsum([len(candidate.outputs) for candidate in candidates])
    return Panel(metric, np.split(metric.statistics(outputs, references), ends[:-1]))


def _measure_metric(
    panel: Panel, names: Sequence[str], baseline: int, lengths: Lengths, bins: Bins, settings: MeasureSettings
) -> _MeasuredMetric:
    places = bins.assign(lengths)
    bootstrap = Bootstrap(panel, settings.n_resamples, settings.seed)
    overall = _score(panel, bootstrap, EVERY_LENGTH, np.ones(len(lengths), dtype=np.bool_))
    # One bucket over everything is the whole once more.
    spans = [span for span in bins.ranges() if span != EVERY_LENGTH]
    parts = [_score(panel, bootstrap, span, places == place) for place, span in enumerate(spans)]
    compared = [overall, *parts]
    groups = [(one.span, one.group) for one in compared if one is not None and one.is_enough]
    differences: tuple[Difference, ...] = ()
    if len(names) > 1:
        differences = find_differences(panel, names, baseline, groups, settings.n_trials, settings.seed)
    return _MeasuredMetric(panel, overall, parts or [overall], differences)


def _score(panel: Panel, bootstrap: Bootstrap, span: Range, group: Group) -> _Scored | None:
    n = int(np.count_nonzero(group))
    return _Scored(span, group, n, panel.output_scores(group), bootstrap.scores(group)) if n else None


def _length_curve(bleu: _MeasuredMetric, bins: Bins, system: int) -> LengthCurve:
    overall, *buckets = (
        _bucket(bleu.panel, scored, span, system)
        for scored, span in zip((bleu.overall, *bleu.buckets), (EVERY_LENGTH, *bins.ranges()), strict=True)
    )
    return LengthCurve(overall, tuple(buckets))


def _bucket(panel: Panel, scored: _Scored | None, span: Range, system: int) -> Bucket:
    if scored is None:
        return Bucket(*span, 0, None, None, None, None)
    said, expected = panel.statistics(system)[:, scored.group, :2].sum(axis=(0, 1))
    return Bucket(
        *span,
        scored.n,
        scored.means()[system],
        *expanded_interval(scored.resampled[system], scored.n),
        length_ratio=float(said / expected) if expected else None,
        bleu_spread=scored.spread(system),
    )


def _metric_curve(measured: _MeasuredMetric, system: int) -> MetricCurve:
    metric = measured.panel.metric
    overall, *buckets = (_claimed_score(scored, system) for scored in (measured.overall, *measured.buckets))
    return MetricCurve(metric.name, metric.lower_is_better, overall, tuple(buckets))


def _claimed_score(scored: _Scored | None, system: int) -> Score | None:
    if scored is None:
        return None
    low, high = expanded_interval(scored.resampled[system], scored.n) if scored.is_enough else (None, None)
    return Score(scored.means()[system], low, high, scored.spread(system))

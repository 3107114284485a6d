"""Tables and figure of the study `alignment`"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from seq2attn.attention.alignment import READINGS
from seq2attn.evaluation.word_alignment import (
    Counts,
    error_rate_score,
    error_rates,
    precision,
    recall,
)
from seq2attn.results.study import Point, StudyPanel, StudySeries, StudyTable, Value, over_seeds
from seq2attn.studies.heads.links import HeadCounts


class System(NamedTuple):
    """A row of the main table."""

    name: str
    read: str
    how: str
    chosen: str
    counts: Counts


class Checkpoint(NamedTuple):
    """What a run found after `step` updates."""

    run: str
    step: int
    heads: HeadCounts


def main_table(systems: Sequence[System]) -> StudyTable:
    """A row for each alignment."""
    header = ("alignment", "read at", "links by", "head", "precision", "recall", "AER", "low", "high")
    rows = [
        (system.name, system.read, system.how, system.chosen or "–", *_numbers(system.counts)) for system in systems
    ]
    return StudyTable("rates", "Alignment error rates, with 95 % intervals", header, tuple(rows))


def _numbers(counts: Counts) -> tuple[Value, ...]:
    total, score = counts.sum(axis=0), error_rate_score(counts)
    return float(precision(total)), float(recall(total)), score.value, score.low, score.high


def heads_table(measured: Sequence[HeadCounts]) -> StudyTable:
    """A row for each head of each run in each reading."""
    header = ("run", "head", "read at", "precision", "recall", "AER", "low", "high")
    rows = [
        (heads.run, candidate.name, reading, *_numbers(candidate.counts))
        for heads in measured
        for reading in READINGS
        for candidate in heads.by_argmax(reading)
    ]
    return StudyTable("heads", "Every layer and head, links by argmax", header, tuple(rows), in_full=True)


def rates_panel(systems: Sequence[System]) -> StudyPanel:
    """Error rates by argmax, a row for each run; other alignments below."""
    shown = [system for system in systems if system.how != "threshold"]
    names = list(dict.fromkeys(system.name for system in shown))
    series = []
    for label, belongs in _SERIES.items():
        points = []
        for system in filter(belongs, shown):
            score = error_rate_score(system.counts)
            points.append(Point(names.index(system.name), score.value, score.low, score.high))
        if points:
            series.append(StudySeries(label, tuple(points)))
    return StudyPanel(
        "Best head, links by argmax", "", "alignment error rate (0 is perfect)", tuple(series), tuple(names)
    )


_SERIES: Mapping[str, Callable[[System], bool]] = {
    "where the word is written": lambda system: system.read == "output",
    "where it is read, one step later": lambda system: system.read == "input",
    "both directions, or no attention": lambda system: system.read not in READINGS,
}


def training_table(training: Sequence[Checkpoint]) -> StudyTable:
    """A row for each head after each checkpoint."""
    rows = [
        (run, step, candidate.name, reading, float(error_rates(candidate.counts.sum(axis=0))))
        for run, step, heads in training
        for reading in READINGS
        for candidate in heads.by_argmax(reading)
    ]
    header = ("run", "step", "head", "read at", "AER")
    return StudyTable("training", "Over training, links by argmax", header, tuple(rows), in_full=True)


def training_panel(training: Sequence[Checkpoint], n_sentences: int) -> StudyPanel:
    """Error rate of the best head after each checkpoint, a curve for each model and reading; the mean over seeds."""
    curves: dict[str, list[Point]] = {}
    for run, step, heads in training:
        for reading in READINGS:
            rate = float(error_rates(heads.best_of(reading).sum(axis=0)))
            curves.setdefault(f"{run}, {reading}", []).append(Point(step, rate))
    series = tuple(StudySeries(name, tuple(points)) for name, points in curves.items())
    title = f"Over training, first {n_sentences} sentences"
    return over_seeds(StudyPanel(title, "updates", "alignment error rate", series))

"""BLEU of joined sentences against the same sentences one at a time

This separates the effect of length from that of content. Each join size uses every sentence once, so a sentence is part
of several segments. Intervals and tests therefore resample whole documents, which contain all segments of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from seq2attn.evaluation.comparisons import bleu_difference
from seq2attn.evaluation.differences import holm
from seq2attn.evaluation.lengths import Bins, Lengths, LengthUnit, Range
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import (
    N_RESAMPLES,
    SEED,
    Bootstrap,
    Clusters,
    Selection,
    StatisticsTable,
    expanded_interval,
    sum_clusters,
)
from seq2attn.evaluation.score import FEW_SENTENCES, Score

JOINED_BINS = Bins((0, 20, 40, 60, 80, 100, 120, 140, 160))


@dataclass(frozen=True)
class Segments:
    """Segments of consecutive sentences, for all join sizes in turn."""

    sizes: tuple[int, ...]
    """The join size of each; the last segment of a document may have fewer sentences."""
    lengths: Lengths
    """Of each joined source, `(n_segments,)`."""
    documents: Clusters
    """The number of the document of each, `(n_segments,)`."""

    @property
    def n_documents(self) -> int:
        """The number of documents."""
        return len(np.unique(self.documents))


@dataclass(frozen=True)
class Cost:
    """BLEU lost by joining: that of the sentences one at a time minus that of the same sentences joined."""

    value: float
    low: float
    high: float
    p_value: float
    """Paired bootstrap over documents, one-sided: nothing is lost."""
    p_corrected: float
    """Corrected for the number of such costs in one evaluation (Holm 1979)."""


@dataclass(frozen=True)
class JoinedGroup:
    """The segments of one join size, or of one range of lengths; without scores if it is empty."""

    size: int | None
    low: int
    high: int | None
    n: int
    n_documents: int
    mean_length: float | None
    joined: Score | None
    """Of each segment translated as one input."""
    alone: Score | None
    """Of the translations of its sentences, one after the other."""
    cost: Cost | None
    """Also None where a group has too few segments, or no segment of several sentences."""

    @property
    def label(self) -> str:
        """The lengths, or the number of sentences joined."""
        return Range(self.low, self.high).label if self.size is None else f"{self.size}"


@dataclass(frozen=True)
class JoinedSystem:
    """One system on joined sentences."""

    name: str
    max_source_words: int | None
    """The longest source sentence it was trained on, where there was a cap."""
    by_size: tuple[JoinedGroup, ...]
    by_length: tuple[JoinedGroup, ...]


@dataclass(frozen=True)
class JoinedOutputs:
    """A system's translations of the segments as their statistics, `(n_seeds, n_segments, n_columns)`."""

    name: str
    max_source_words: int | None
    joined: Statistics
    alone: Statistics


@dataclass(frozen=True)
class JoinedSummary:
    """All systems on joined sentences: what `joined.json` holds."""

    corpus: str
    split: str
    machine: str
    command: str
    signature: str
    length_unit: LengthUnit
    longest: int
    """The most words in a joined segment."""
    systems: tuple[JoinedSystem, ...]

    def to_json(self) -> str:
        """The summary as indented JSON; never NaN or infinity."""
        return (
            json.dumps(asdict(self, dict_factory=_with_score_keys), ensure_ascii=False, allow_nan=False, indent=2)
            + "\n"
        )


def _with_score_keys(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A record's fields; those of a score under the keys of `joined.json`."""
    names = [name for name, _ in fields]
    if "lower_is_better" not in names:
        return dict(fields)
    score = dict(fields)
    return {"value": score["value"], "low": score["low"], "high": score["high"], "spread": score["std"]}


def measure_joined(systems: Sequence[JoinedOutputs], segments: Segments, bins: Bins) -> tuple[JoinedSystem, ...]:
    """Each system's BLEU on the segments, joined and one sentence at a time, by join size and by length."""
    sizes = np.array(segments.sizes)
    chosen: list[tuple[int | None, Range, Selection]] = [
        (size, Range(0, None), sizes == size) for size in dict.fromkeys(segments.sizes)
    ]
    chosen += [(None, span, bins.assign(segments.lengths) == place) for place, span in enumerate(bins.ranges())]
    measured = [[_measure(system, segments, *where) for where in chosen] for system in systems]
    costs = [group.cost.p_value for groups in measured for group in groups if group.cost is not None]
    corrected = iter(holm(costs))
    found = []
    for system, groups in zip(systems, measured, strict=True):
        groups = [
            group if group.cost is None else replace(group, cost=replace(group.cost, p_corrected=next(corrected)))
            for group in groups
        ]
        by_size = tuple(group for group in groups if group.size is not None)
        by_length = tuple(group for group in groups if group.size is None)
        found.append(JoinedSystem(system.name, system.max_source_words, by_size, by_length))
    return tuple(found)


def _measure(system: JoinedOutputs, segments: Segments, size: int | None, span: Range, group: Selection) -> JoinedGroup:
    n = int(np.count_nonzero(group))
    if not n:
        return JoinedGroup(size, *span, 0, 0, None, None, None, None)
    documents = segments.documents[group]
    joined, alone = (_by_document(statistics[:, group], documents) for statistics in (system.joined, system.alone))
    n_documents = joined.shape[1]
    table = StatisticsTable(Bleu(), [joined, alone])
    everything = np.ones(n_documents, dtype=np.bool_)
    resampled = Bootstrap(table, N_RESAMPLES, SEED).scores(everything)
    of_joined, of_alone = (
        Score(float(outputs.mean()), *expanded_interval(values, n_documents), n)
        for outputs, values in zip(table.output_scores(everything), resampled, strict=True)
    )
    cost = None
    if n >= FEW_SENTENCES and max(np.array(segments.sizes)[group]) > 1:
        cost = _cost(joined, alone)
    mean_length = float(segments.lengths[group].mean())
    return JoinedGroup(size, *span, n, n_documents, mean_length, of_joined, of_alone, cost)


def _cost(joined: Statistics, alone: Statistics) -> Cost:
    difference = bleu_difference(alone, joined, same_trainings=True)
    assert difference is not None
    assert difference.p_value is not None
    return Cost(difference.value, difference.low, difference.high, difference.p_value, difference.p_value)


def _by_document(statistics: Statistics, documents: Clusters) -> Statistics:
    """Statistics `(n_seeds, n_segments, n_columns)` summed over each document, `(n_seeds, n_documents, n_columns)`."""
    places = np.unique(documents, return_inverse=True)[1]
    return sum_clusters(statistics.transpose(1, 0, 2), places, places).transpose(1, 0, 2)

"""BLEU as the heads of a transformer go one by one"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.models import TransformerConfig
from seq2attn.data.batch import Batch
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.lengths import EqualCount, Lengths
from seq2attn.evaluation.metrics import Bleu, Scores, Statistics
from seq2attn.evaluation.resampling import N_RESAMPLES, Bootstrap, Selection, StatisticsTable, percentile_interval
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import KIND_NAMES, KINDS, Head, gated, heads_of, open_gates
from seq2attn.pruning.importance import removals
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.study import Progress

_BUCKETS = 3
TOGETHER = "all"
"""The curve on which heads of all attentions go, the last of each excepted."""


@dataclass(frozen=True)
class ScoredText:
    """Test sentences, and how translations of them are scored."""

    sources: Sequence[str]
    references: Sequence[str]
    bleu: Bleu
    lengths: Lengths

    def buckets(self) -> list[tuple[str, Selection]]:
        """Ranges of source length with equally many sentences."""
        bins = EqualCount(_BUCKETS).fit(self.lengths)
        places = bins.assign(self.lengths)
        return [(span.label, places == place) for place, span in enumerate(bins.ranges())]

    def statistics(self, run: TrainedRun, closed: Collection[Head] = ()) -> Statistics:
        """(1, n_sentences, N_STATISTICS) of greedy translations by `run` without the heads in `closed`."""
        model, config = run.model, run.config.model
        assert isinstance(config, TransformerConfig)
        assert isinstance(model, TransformerSeq2Seq)
        greedy = run.config.decode.model_copy(update={"beam_size": 1})
        with gated(model, open_gates(heads_of(config), closed).to(model.output_bias)):
            translations = Translator(model, run.subwords, greedy).translate(self.sources)
        return self.bleu.statistics([translations], [self.references])


@dataclass(frozen=True)
class CurvePoint:
    """The model without some heads of one kind, or of all."""

    curve: str
    n_removed: int
    last: Head | None
    """The head that was removed last."""
    n_heads: int
    """Heads of the curve before any was removed."""


@dataclass(frozen=True)
class Curves:
    """BLEU at all points of a run, on the same sentences and the same resamples."""

    points: tuple[CurvePoint, ...]
    bleu: NDArray[np.float64]
    """(points,)"""
    resampled: Scores
    """(points, n_resamples)"""
    by_length: tuple[tuple[str, NDArray[np.float64]], ...]
    """For each bucket its label, and BLEU at each point."""

    def interval(self, place: int) -> tuple[float, float]:
        """Of BLEU at a point."""
        return percentile_interval(self.resampled[place])

    def at_half(self, curve: str) -> int:
        """The point of `curve` with half of its heads, or one fewer removed."""
        near = [place for place, point in enumerate(self.points) if point.curve == curve]
        return max(
            (place for place in near if 2 * self.points[place].n_removed <= self.points[place].n_heads),
            key=lambda place: self.points[place].n_removed,
        )


def measure_curves(run: TrainedRun, batches: Sequence[Batch], text: ScoredText, progress: Progress) -> Curves:
    """BLEU of `run` on `text` as heads go, the least important first, chosen on the validation `batches`.

    In each kind of attention they go one by one; together, a quarter, half and three quarters of all.
    """
    model, config = run.model, run.config.model
    assert isinstance(config, TransformerConfig)
    assert isinstance(model, TransformerSeq2Seq)
    heads = heads_of(config)
    planned: list[tuple[CurvePoint, tuple[Head, ...]]] = []
    for kind in KINDS:
        among = [head for head in heads if head.kind == kind]
        order = tuple(removals(model, config, batches, among, keep_one=False))
        planned += [
            (CurvePoint(KIND_NAMES[kind], number, order[number - 1] if number else None, len(among)), order[:number])
            for number in range(len(order) + 1)
        ]
    order = tuple(removals(model, config, batches, heads, keep_one=True))
    for number in sorted({0, *(min(len(order), len(heads) * quarter // 4) for quarter in (1, 2, 3))}):
        last = order[number - 1] if number else None
        planned.append((CurvePoint(TOGETHER, number, last, len(heads)), order[:number]))
    whole = text.statistics(run)
    systems = []
    for number, (_, closed) in enumerate(planned, start=1):
        systems.append(text.statistics(run, closed) if closed else whole)
        progress("BLEU without heads", number, len(planned))
    return _curves(tuple(point for point, _ in planned), systems, text)


def _curves(points: tuple[CurvePoint, ...], systems: Sequence[Statistics], text: ScoredText) -> Curves:
    table = StatisticsTable(text.bleu, systems)
    every = np.ones(table.n_sentences, dtype=np.bool_)

    def bleu(group: Selection) -> NDArray[np.float64]:
        return np.array([scores.mean() for scores in table.output_scores(group)])

    by_length = tuple((label, bleu(group)) for label, group in text.buckets())
    return Curves(points, bleu(every), Bootstrap(table, N_RESAMPLES).scores(every), by_length)

"""What every metric can do: sacreBLEU's statistics of each sentence, and the score of any sum of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import sacrebleu.metrics.base
from numpy.typing import NDArray

Statistics = NDArray[np.float64]
"""Counts, which may be fractions where references differ in length."""
Scores = NDArray[np.float64]

# SacreBLEU keeps the n-grams of every reference it is given, about ten kilobytes each.
_SENTENCES_AT_ONCE = 5_000


class Metric(ABC):
    """A corpus metric whose score follows from a sum over sentences, as sacreBLEU computes it."""

    name: str
    """As people write it, and as sacreBLEU's signature goes with it."""
    n_columns: int
    """Statistics of one sentence."""
    lower_is_better = False

    @abstractmethod
    def scorer(self, references: Sequence[Sequence[str]] | None = None) -> sacrebleu.metrics.base.Metric:
        """SacreBLEU's own object of this metric, with `references` (one sequence for each translator) read."""

    @abstractmethod
    def score_each(self, totals: Statistics) -> Scores:
        """The score of each row of `totals`, `(n_corpora, n_columns)`: `score` for thousands, equal up to rounding."""

    def score(self, total: Statistics) -> float:
        """The score (a percentage) of a corpus whose statistics add up to `total`, `(n_columns,)`.

        By sacreBLEU's own arithmetic, so that it equals sacreBLEU's score of the corpus to the last bit.
        """
        return float(self._arithmetic._compute_score_from_stats(total.tolist()).score)

    def statistics(self, outputs: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Statistics:
        """The statistics of every sentence of every output, `(n_outputs, n_sentences, n_columns)`, by sacreBLEU.

        Args:
            outputs: translations of the same sentences, one sequence for each system.
            references: one sequence or more, each as long as every output.
        """
        n_sentences = len(references[0])
        parts = []
        for start in range(0, n_sentences, _SENTENCES_AT_ONCE):
            chosen = slice(start, start + _SENTENCES_AT_ONCE)
            scorer = self.scorer([reference[chosen] for reference in references])
            rows = [scorer._extract_corpus_statistics(output[chosen], None) for output in outputs]
            parts.append(np.array(rows, dtype=np.float64))
        if not parts:
            return np.zeros((len(outputs), 0, self.n_columns), dtype=np.float64)
        return np.concatenate(parts, axis=1)

    def signature(self, n_references: int = 1, n_resamples: int | None = None, seed: int | None = None) -> str:
        """SacreBLEU's signature of these scores; with the bootstrap's resamples and seed where given."""
        scorer = self.scorer()
        scorer.num_refs, scorer.n_bootstrap, scorer.seed = n_references, n_resamples, seed
        return str(scorer.get_signature())

    @cached_property
    def _arithmetic(self) -> sacrebleu.metrics.base.Metric:
        """Kept, because some tokenizers take their time to be made."""
        return self.scorer()

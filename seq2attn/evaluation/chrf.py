"""ChrF and chrF++ (Popović 2015, 2017) from sacreBLEU's own statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sacrebleu.metrics

from seq2attn.evaluation.metric import Metric, Scores, Statistics

_BETA_SQUARED = sacrebleu.metrics.CHRF.BETA**2


@dataclass(frozen=True)
class Chrf(Metric):
    """The F-score of character n-grams, and of word n-grams up to `word_order` (2: chrF++), with sacreBLEU's defaults.

    Columns: n-grams of the hypothesis, of the reference, and those in both, order by order.
    """

    word_order: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name with sacreBLEU's plus signs."""
        return "chrF2" + "+" * self.word_order

    @property
    def n_columns(self) -> int:  # type: ignore[override]
        """Three for each order."""
        return 3 * (sacrebleu.metrics.CHRF.CHAR_ORDER + self.word_order)

    def scorer(self, references: Sequence[Sequence[str]] | None = None) -> sacrebleu.metrics.CHRF:
        """SacreBLEU's chrF."""
        return sacrebleu.metrics.CHRF(word_order=self.word_order, references=references)

    def score_each(self, totals: Statistics) -> Scores:
        """ChrF of each row: precision and recall are means over the orders that both sides have."""
        hypothesis, reference, matched = (totals[:, side::3] for side in range(3))
        counted = (hypothesis > 0) & (reference > 0)
        n_orders = np.maximum(counted.sum(axis=1), 1)
        precision, recall = (
            np.divide(matched, side, out=np.zeros_like(matched), where=counted).sum(axis=1) / n_orders
            for side in (hypothesis, reference)
        )
        weighted = _BETA_SQUARED * precision + recall
        product = (1 + _BETA_SQUARED) * precision * recall
        return 100.0 * np.divide(product, weighted, out=np.zeros_like(product), where=weighted > 0)

"""Translation edit rate (Snover et al. 2006) from sacreBLEU's own statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sacrebleu.metrics

from seq2attn.evaluation.metric import Metric, Scores, Statistics


@dataclass(frozen=True)
class Ter(Metric):
    """Edits for a hundred reference words, with sacreBLEU's defaults; columns: edits, mean length of the references."""

    name = "TER"
    n_columns = 2
    lower_is_better = True

    def scorer(self, references: Sequence[Sequence[str]] | None = None) -> sacrebleu.metrics.TER:
        """SacreBLEU's TER."""
        return sacrebleu.metrics.TER(references=references)

    def score_each(self, totals: Statistics) -> Scores:
        """TER of each row; without reference words 100 where something was said, else 0."""
        edits, words = totals[:, 0], totals[:, 1]
        return 100.0 * np.divide(edits, words, out=(edits > 0).astype(np.float64), where=words > 0)

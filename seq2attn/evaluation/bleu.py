"""Corpus BLEU from sacreBLEU's own statistics: counted once a sentence, added up as often as a bootstrap needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sacrebleu.metrics

from seq2attn.errors import DataError
from seq2attn.evaluation.metric import Metric, Scores, Statistics
from seq2attn.evaluation.tokenizers import DEFAULT_TOKENIZER, check_tokenizer

MAX_ORDER = 4
"""Longest n-grams that BLEU counts."""
N_STATISTICS = 2 + 2 * MAX_ORDER
"""Columns of the statistics: hypothesis length, reference length, then matched and total n-grams of each order."""


@dataclass(frozen=True)
class Bleu(Metric):
    """BLEU (Papineni et al. 2002) with sacreBLEU's defaults; words as `tokenizer` makes them.

    Raises: ConfigError where there is no such tokenizer here.
    """

    tokenizer: str = DEFAULT_TOKENIZER
    name = "BLEU"
    n_columns = N_STATISTICS

    def __post_init__(self) -> None:
        check_tokenizer(self.tokenizer)

    def scorer(self, references: Sequence[Sequence[str]] | None = None) -> sacrebleu.metrics.BLEU:
        """SacreBLEU's BLEU."""
        # `force` silences a warning about tokenised text; it changes no score.
        return sacrebleu.metrics.BLEU(tokenize=self.tokenizer, force=True, references=references)

    def score_each(self, totals: Statistics) -> Scores:
        """BLEU of each row.

        Chen and Cherry (2014), smoothing method 3: the k-th order without a match counts as 1 / 2^k of a match.
        """
        hypothesis_length, reference_length = totals[:, 0], totals[:, 1]
        matched, possible = totals[:, 2 : 2 + MAX_ORDER], totals[:, 2 + MAX_ORDER :]
        smoothed = np.where(matched == 0, 0.5 ** np.cumsum(matched == 0, axis=1), matched)
        # A corpus shorter than an order has no such n-grams: log 0 makes its score 0, as in sacreBLEU.
        with np.errstate(divide="ignore", invalid="ignore"):
            log_precision = np.where(possible == 0, -np.inf, np.log(smoothed / possible)).mean(axis=1)
            log_brevity = np.minimum(0.0, 1.0 - reference_length / hypothesis_length)
        return np.where(matched.any(axis=1), 100.0 * np.exp(log_precision + log_brevity), 0.0)


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], tokenizer: str = DEFAULT_TOKENIZER) -> float:
    """BLEU of one output against one reference for each sentence; 0 for no sentences.

    Raises: DataError where the two sides have different numbers of sentences.
    """
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} translations for {len(references)} references: expected one translation for each; "
            "translate the whole file again"
        )
    bleu = Bleu(tokenizer)
    return bleu.score(bleu.statistics([hypotheses], [references])[0].sum(axis=0))

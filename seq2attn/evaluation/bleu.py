"""Corpus BLEU from sacreBLEU's own statistics: counted once a sentence, added up as often as a bootstrap needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU

from seq2attn.config.languages import is_unspaced
from seq2attn.errors import DataError

MAX_ORDER = 4
"""Longest n-grams that BLEU counts."""
N_STATISTICS = 2 + 2 * MAX_ORDER
"""Columns of the statistics: hypothesis length, reference length, then matched and total n-grams of each order."""

Statistics = NDArray[np.int64]
Scores = NDArray[np.float64]


def tokenizer_for(language: str) -> str:
    """The sacreBLEU tokenizer for text in `language` (a two-letter code)."""
    if language == "zh":
        return "zh"
    if language == "ja" and find_spec("MeCab") and find_spec("ipadic"):
        return "ja-mecab"
    return "char" if is_unspaced(language) else str(BLEU.TOKENIZER_DEFAULT)


def sentence_statistics(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = BLEU.TOKENIZER_DEFAULT
) -> Statistics:
    """The counts behind BLEU for each sentence, `(n_sentences, N_STATISTICS)`, by sacreBLEU's own extraction.

    Raises: DataError where the two sides have different numbers of sentences.
    """
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} translations for {len(references)} references: expected one translation for each; "
            "translate the whole file again"
        )
    if not hypotheses:
        return np.zeros((0, N_STATISTICS), dtype=np.int64)
    # `force` silences a warning about tokenised text; it changes no score.
    rows = BLEU(tokenize=tokenize, force=True)._extract_corpus_statistics(list(hypotheses), [list(references)])
    return np.array(rows, dtype=np.int64)


def bleu_of(total: Statistics) -> float:
    """BLEU (0 to 100) of a corpus whose statistics add up to `total`, `(N_STATISTICS,)`.

    By sacreBLEU's own arithmetic with its default smoothing, so that it equals `sacrebleu.corpus_bleu` to the last bit.
    """
    counts = [int(count) for count in total]
    return float(BLEU()._compute_score_from_stats(counts).score)


def bleu_of_each(totals: NDArray[np.int64] | NDArray[np.float64]) -> Scores:
    """BLEU of each row of `totals`, `(n_corpora, N_STATISTICS)`; `bleu_of` for thousands at once, equal up to rounding.

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


def signature(tokenize: str, n_resamples: int | None = None, seed: int | None = None) -> str:
    """SacreBLEU's signature of these scores; with the number of bootstrap resamples and their seed where given."""
    metric = BLEU(tokenize=tokenize)
    metric.num_refs, metric.n_bootstrap, metric.seed = 1, n_resamples, seed
    return str(metric.get_signature())

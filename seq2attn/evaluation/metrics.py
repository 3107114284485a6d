"""BLEU, chrF and TER: sacreBLEU's statistics by sentence, and scores of their sums"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sacrebleu.metrics
import sacrebleu.metrics.base
from numpy.typing import NDArray

from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation.tokenizers import DEFAULT_TOKENIZER, check_tokenizer

Statistics = NDArray[np.float64]
"""Counts, which may be fractions where references differ in length."""
Scores = NDArray[np.float64]

# SacreBLEU keeps the n-grams of every reference it is given, about ten kilobytes each.
_SENTENCES_AT_ONCE = 5_000


class Metric(ABC):
    """A corpus metric whose score follows from a sum over sentences, as sacreBLEU computes it."""

    name: str
    """Its usual name, such as BLEU or chrF2++."""
    n_columns: int
    """The number of statistics of a sentence."""
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
        """Cached, because some tokenizers are slow to create."""
        return self.scorer()


MAX_ORDER = 4
"""Longest n-grams that BLEU counts."""
N_STATISTICS = 2 + 2 * MAX_ORDER
"""Columns of the statistics: hypothesis length, reference length, then matched and total n-grams of each order."""


@dataclass(frozen=True)
class Bleu(Metric):
    """BLEU (Papineni et al. 2002) with sacreBLEU's defaults and `tokenizer`.

    Raises: ConfigError where this tokenizer is unknown or not installed.
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
        """TER of each row; without reference words, 100 for a nonempty translation and 0 for an empty one."""
        edits, words = totals[:, 0], totals[:, 1]
        return 100.0 * np.divide(edits, words, out=(edits > 0).astype(np.float64), where=words > 0)


_BY_NAME: dict[str, Callable[[], Metric]] = {"chrf": Chrf, "chrf++": lambda: Chrf(word_order=2), "ter": Ter}


def metrics_named(names: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics with these names, each once, in order; without BLEU, which is always computed.

    Raises: ConfigError for an unknown name.
    """
    wanted = [name for name in dict.fromkeys(name.lower() for name in names) if name != "bleu"]
    for name in wanted:
        if name not in _BY_NAME:
            raise ConfigError(f"metric {name}: expected one of bleu, {', '.join(_BY_NAME)}")
    return tuple(_BY_NAME[name]() for name in wanted)

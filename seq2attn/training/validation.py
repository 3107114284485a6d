"""Validation during training, and the choice of the final weights from its results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch

from seq2attn.config.schema import Config
from seq2attn.data.batch import collate
from seq2attn.data.loader import BatchSampler
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.lengths import EqualCount, length_unit, sentence_lengths
from seq2attn.evaluation.metrics import Bleu, Chrf, Statistics
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.loss import cross_entropy_sum
from seq2attn.training.prepare import PreparedText
from seq2attn.training.ranks import ONE_PROCESS, Ranks

BestBy = Literal["loss", "bleu"]
"""`train.best_by`"""

BLEU_BY_LENGTH = "bleu_by_length"
"""Group of the metrics of the buckets."""

FINAL_METRICS = ("final/loss", "final/perplexity", "final/bleu")
"""Metrics of the final weights, shown next to the run's settings in TensorBoard's table of runs."""

_MAX_BUCKETS = 5
_MAX_LOSS = 50.0  # its exponential is still a number that can be plotted


@dataclass(frozen=True)
class ValidationResult:
    """The scores of one validation."""

    loss: float
    """Nats per target token, without label smoothing; its exponential is the perplexity."""
    bleu: float | None
    """None where `train.validation_sentences` is 0."""
    chrf: float | None = None
    by_length: Mapping[str, float] = field(default_factory=dict)
    """BLEU by source length, as in `10-19`; empty where there are too few sentences to divide."""
    translations: tuple[str, ...] = ()
    """Those that BLEU was computed on."""
    statistics: Statistics | None = None
    """BLEU's statistics of each translation, `(1, n_sentences, N_STATISTICS)`."""

    def __str__(self) -> str:
        bleu = "" if self.bleu is None else f", BLEU {self.bleu:.1f}"
        return f"validation loss {self.loss:.3f}{bleu}"

    def metrics(self) -> dict[str, float]:
        """All scores by metric name."""
        metrics = {"loss/validation": self.loss, "perplexity/validation": perplexity(self.loss)}
        scores = {"bleu/validation": self.bleu, "chrf/validation": self.chrf}
        metrics |= {name: score for name, score in scores.items() if score is not None}
        return metrics | {f"{BLEU_BY_LENGTH}/{lengths}": bleu for lengths, bleu in self.by_length.items()}

    def final_metrics(self) -> dict[str, float]:
        """Those of `FINAL_METRICS` that this validation measured, for the final weights."""
        values = (self.loss, perplexity(self.loss), self.bleu)
        return {name: value for name, value in zip(FINAL_METRICS, values, strict=True) if value is not None}


def perplexity(loss: float) -> float:
    """The exponential of a loss in nats per target token, limited where nothing has been learned yet."""
    return math.exp(min(loss, _MAX_LOSS))


class RankedStep(NamedTuple):
    """A validated checkpoint; the first field orders them, best first."""

    objective: float
    """Lower is better: the loss, or BLEU with its sign changed."""
    step: int
    loss: float
    bleu: float | None


@dataclass(frozen=True)
class FinalWeights:
    """Which checkpoints make the final weights, and what these score."""

    steps: tuple[int, ...]
    """Their mean is taken."""
    result: ValidationResult

    def __str__(self) -> str:
        if len(self.steps) == 1:
            return f"step {self.steps[0]}"
        return f"the average of steps {', '.join(map(str, self.steps))}"


def objective(result: ValidationResult, best_by: BestBy) -> float:
    """What the best checkpoint minimises: the loss, or −BLEU where `best_by` is "bleu" and BLEU was measured."""
    if best_by == "bleu" and result.bleu is not None:
        return -result.bleu
    return result.loss if math.isfinite(result.loss) else math.inf


def rank(ranking: Sequence[RankedStep], step: int, result: ValidationResult, best_by: BestBy) -> list[RankedStep]:
    """`ranking` with the checkpoint of `step` in its place, best first; the earlier step wins a tie."""
    return sorted([*ranking, RankedStep(objective(result, best_by), step, result.loss, result.bleu)])


def choose_final_weights(
    ranking: Sequence[RankedStep], of_average: ValidationResult | None, best_by: BestBy
) -> FinalWeights:
    """The average of the checkpoints in `ranking` where it scored better than the best of them, else the best one.

    `of_average` is the validation of the average; None where there is a single checkpoint.
    """
    best = ranking[0]
    if of_average is not None and objective(of_average, best_by) < best.objective:
        return FinalWeights(tuple(sorted(ranked.step for ranked in ranking)), of_average)
    return FinalWeights((best.step,), ValidationResult(best.loss, best.bleu))


class Validator:
    """Validates a model on one prepared text; several processes share the work, and all get the result."""

    def __init__(self, text: PreparedText, config: Config, device: torch.device, ranks: Ranks = ONE_PROCESS) -> None:
        self.text = text
        self.ranks = ranks
        self.device = device
        self.config = config
        pairs, corpus = text.validation, text.corpus
        self.batches = BatchSampler(
            pairs.source_lengths, pairs.target_lengths, 2 * config.train.batch_tokens, seed=0
        ).batches(0)
        # Spread over the split, because neighbouring sentences of a text are similar.
        count = min(config.train.validation_sentences, len(pairs))
        self.rows = [index * len(pairs) // count for index in range(count)]
        split = corpus.splits["validation"].select(self.rows)
        self.sources: list[str] = list(split["source"])
        self.references: list[str] = list(split["target"])
        self.bleu = Bleu(tokenizer_for(corpus.target_language))
        self.length_unit = length_unit(corpus.source_language)
        self.lengths = sentence_lengths(self.sources, self.length_unit)
        # Equal counts: with fixed ranges, two or three would hold most of a few hundred sentences.
        self.bins = EqualCount(min(_MAX_BUCKETS, max(1, count // FEW_SENTENCES))).fit(self.lengths)

    def validate(self, model: Seq2Seq) -> ValidationResult:
        """Loss on the whole split, BLEU and chrF of greedy translations of some sentences; `model` keeps its mode."""
        was_training = model.training
        model.eval()
        loss = self.loss(model)
        translations: list[str] = []
        if self.sources:
            greedy = self.config.decode.model_copy(update={"beam_size": 1})
            translator = Translator(model, self.text.subwords, greedy)
            translations = self.ranks.in_order(translator.translate(self.ranks.own(self.sources)))
        model.train(was_training)
        return self._scored(loss, translations) if translations else ValidationResult(loss, None)

    @torch.inference_mode()
    def loss(self, model: Seq2Seq) -> float:
        """Cross-entropy in nats per target token; `model` must be in evaluation mode."""
        own_losses: list[float] = []
        pairs = self.text.validation
        for rows in self.ranks.own(self.batches):
            batch = collate([pairs.source(row) for row in rows], [pairs.target(row) for row in rows])
            batch = batch.to(self.device)
            own_losses.append(cross_entropy_sum(model, model(batch), batch.target_output, label_smoothing=0.0).item())
        total = 0.0
        # In the order of the batches, so that the sum has the same bits with any number of processes.
        for loss in self.ranks.in_order(own_losses):
            total += loss
        return total / int((pairs.target_lengths + 1).sum(dtype=np.int64))

    def _scored(self, loss: float, translations: list[str]) -> ValidationResult:
        chrf = Chrf()
        statistics = self.bleu.statistics([translations], [self.references])
        return ValidationResult(
            loss,
            self.bleu.score(statistics[0].sum(axis=0)),
            chrf.score(chrf.statistics([translations], [self.references])[0].sum(axis=0)),
            self._by_length(statistics[0]),
            tuple(translations),
            statistics,
        )

    def _by_length(self, statistics: Statistics) -> dict[str, float]:
        spans = self.bins.ranges()
        if len(spans) == 1:
            return {}
        groups = [self.bins.assign(self.lengths) == place for place in range(len(spans))]
        return {
            span.label.replace("–", "-"): self.bleu.score(statistics[group].sum(axis=0))
            for span, group in zip(spans, groups, strict=True)
            if np.any(group)
        }

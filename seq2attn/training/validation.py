"""Validation during training: loss over the whole split, BLEU and chrF of greedy translations of some sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

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

BLEU_BY_LENGTH = "bleu_by_length"
"""Group of the figures of the buckets."""

FINAL_FIGURES = ("final/loss", "final/perplexity", "final/bleu")
"""Those of the weights that a run ends with, which stand beside its settings in TensorBoard's table of runs."""

_MOST_BUCKETS = 5
_MOST_LOSS = 50.0  # whose exponential is still a number to be drawn


@dataclass(frozen=True)
class ValidationResult:
    """Figures of one validation."""

    loss: float
    """Nats for a target token, without label smoothing; its exponential is the perplexity."""
    bleu: float | None
    """None where the configuration asks for no validation sentences."""
    chrf: float | None = None
    by_length: Mapping[str, float] = field(default_factory=dict)
    """BLEU by lengths of the source, as in `10-19`; empty where there are too few sentences to part them."""
    translations: tuple[str, ...] = ()
    """Of the sentences that gave the BLEU."""
    statistics: Statistics | None = None
    """Of BLEU for each of them, `(1, n_sentences, N_STATISTICS)`."""

    def __str__(self) -> str:
        bleu = "" if self.bleu is None else f", BLEU {self.bleu:.1f}"
        return f"validation loss {self.loss:.3f}{bleu}"

    def figures(self) -> dict[str, float]:
        """Everything under the names that it is kept by."""
        figures = {"loss/validation": self.loss, "perplexity/validation": perplexity(self.loss)}
        scores = {"bleu/validation": self.bleu, "chrf/validation": self.chrf}
        figures |= {name: score for name, score in scores.items() if score is not None}
        return figures | {f"{BLEU_BY_LENGTH}/{lengths}": bleu for lengths, bleu in self.by_length.items()}

    def final_figures(self) -> dict[str, float]:
        """Those of `FINAL_FIGURES` that there are, for the weights that a run ends with."""
        values = (self.loss, perplexity(self.loss), self.bleu)
        return {name: value for name, value in zip(FINAL_FIGURES, values, strict=True) if value is not None}


def perplexity(loss: float) -> float:
    """The exponential of a loss in nats for a target token; cut off where nothing has been learned yet."""
    return math.exp(min(loss, _MOST_LOSS))


class Validator:
    """Validates a model on one prepared text."""

    def __init__(self, text: PreparedText, config: Config, device: torch.device) -> None:
        self.text = text
        self.device = device
        self.config = config
        pairs, corpus = text.validation, text.corpus
        self.batches = BatchSampler(
            pairs.source_lengths, pairs.target_lengths + 1, 2 * config.train.batch_tokens, seed=0
        ).batches(0)
        # Spread over the split, because neighbours in a text are alike.
        count = min(config.train.validation_sentences, len(pairs))
        self.rows = [index * len(pairs) // count for index in range(count)]
        split = corpus.splits["validation"].select(self.rows)
        self.sources: list[str] = list(split["source"])
        self.references: list[str] = list(split["target"])
        self.bleu = Bleu(tokenizer_for(corpus.target_language))
        self.length_unit = length_unit(corpus.source_language)
        self.lengths = sentence_lengths(self.sources, self.length_unit)
        # Of as many sentences each: with fixed lengths, most of some hundred sentences would stand in two or three.
        self.bins = EqualCount(min(_MOST_BUCKETS, max(1, count // FEW_SENTENCES))).fit(self.lengths)

    def validate(self, model: Seq2Seq) -> ValidationResult:
        """Loss and scores of `model`, which is left in the mode that it was in."""
        was_training = model.training
        model.eval()
        loss = self.loss(model)
        translations: list[str] = []
        if self.sources:
            greedy = self.config.decode.model_copy(update={"beam_size": 1})
            translations = Translator(model, self.text.subwords, greedy).translate(self.sources)
        model.train(was_training)
        return self._scored(loss, translations) if translations else ValidationResult(loss, None)

    @torch.inference_mode()
    def loss(self, model: Seq2Seq) -> float:
        """Cross-entropy in nats for a target token; `model` must be in evaluation mode."""
        total, tokens = 0.0, 0
        pairs = self.text.validation
        for rows in self.batches:
            batch = collate([pairs.source(row) for row in rows], [pairs.target(row) for row in rows])
            batch = batch.to(self.device)
            total += cross_entropy_sum(model, model(batch), batch.target_output, label_smoothing=0.0).item()
            tokens += batch.target_tokens
        return total / tokens

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

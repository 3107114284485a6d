"""Validation during training: loss over the whole split, BLEU of greedy translations of some sentences."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seq2attn.config.schema import Config
from seq2attn.data.batch import collate
from seq2attn.data.sampler import BatchSampler
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.bleu import corpus_bleu
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.loss import cross_entropy_sum
from seq2attn.training.prepare import PreparedText


@dataclass(frozen=True)
class ValidationResult:
    """Figures of one validation."""

    loss: float
    """Nats for a target token, without label smoothing; its exponential is the perplexity."""
    bleu: float | None
    """None where the configuration asks for no validation sentences."""
    translations: tuple[str, ...] = ()
    """Of the sentences that gave the BLEU."""

    def __str__(self) -> str:
        bleu = "" if self.bleu is None else f", BLEU {self.bleu:.1f}"
        return f"validation loss {self.loss:.3f}{bleu}"


class Validator:
    """Validates a model on one prepared text."""

    def __init__(self, text: PreparedText, config: Config, device: torch.device) -> None:
        self.text = text
        self.device = device
        self.config = config
        pairs = text.validation
        self.batches = BatchSampler(
            pairs.source_lengths, pairs.target_lengths + 1, 2 * config.train.batch_tokens, seed=0
        ).batches(0)
        # Spread over the split, because neighbours in a text are alike.
        count = min(config.train.validation_sentences, len(pairs))
        rows = [index * len(pairs) // count for index in range(count)]
        split = text.corpus.splits["validation"].select(rows)
        self.sources: list[str] = list(split["source"])
        self.references: list[str] = list(split["target"])

    def validate(self, model: Seq2Seq) -> ValidationResult:
        """Loss and BLEU of `model`, which is left in the mode that it was in."""
        was_training = model.training
        model.eval()
        loss = self.loss(model)
        bleu, translations = None, []
        if self.sources:
            greedy = self.config.decode.model_copy(update={"beam_size": 1})
            translations = Translator(model, self.text.subwords, greedy).translate(self.sources)
            tokenizer = tokenizer_for(self.text.corpus.target_language)
            bleu = corpus_bleu(translations, self.references, tokenizer)
        model.train(was_training)
        return ValidationResult(loss, bleu, tuple(translations))

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

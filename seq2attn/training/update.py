"""One optimizer update: gradients of some batches, clipped, and a step of AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch
from seq2attn.device import computing_in
from seq2attn.errors import TrainingError, is_out_of_memory
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.loss import cross_entropy_sums
from seq2attn.training.schedule import set_learning_rate


class FailedUpdateError(TrainingError):
    """An update that changed no weight."""


class Update(NamedTuple):
    """What an update saw."""

    loss: float
    """Nats for a target token, label smoothing included."""
    unsmoothed_loss: float
    """The same without label smoothing: the logarithm of the perplexity."""
    norm: float
    """Of the gradient, before it was clipped."""
    target_tokens: int
    was_split: bool = False
    """Whether memory sufficed only after its batches were split."""


def update_weights(
    model: Seq2Seq,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    settings: TrainConfig,
    step: int,
    learning_rate: float,
) -> Update:
    """Update number `step` of the weights, from `batches`, the loss averaged over all their target tokens.

    Where memory does not suffice, the batches are halved until it does, which gives the same gradient.

    Raises: FailedUpdateError where loss or gradient is not finite, or there is no memory even for a single pair.
    """
    parts = list(batches)
    while (losses := _add_gradients(model, parts, settings)) is None:
        optimizer.zero_grad(set_to_none=True)  # an unknown share of them was added up
        if all(len(part.source_ids) == 1 for part in parts):
            raise FailedUpdateError(
                f"update {step}: memory does not suffice even for single pairs; free some, or set data.max_source_words"
            )
        parts = [half for part in parts for half in (part.halves() if len(part.source_ids) > 1 else (part,))]
    loss, unsmoothed_loss = losses
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm).item()
    if not math.isfinite(loss + norm):
        optimizer.zero_grad(set_to_none=True)
        raise FailedUpdateError(
            f"update {step}: the loss is {loss} and the gradient's norm {norm}; look at its pairs, or train with a "
            "lower train.learning_rate"
        )
    set_learning_rate(optimizer, learning_rate)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    tokens = sum(batch.target_tokens for batch in batches)
    return Update(loss, unsmoothed_loss, norm, tokens, was_split=len(parts) > len(batches))


def _add_gradients(model: Seq2Seq, batches: Sequence[Batch], settings: TrainConfig) -> tuple[float, float] | None:
    """The loss of `batches` with label smoothing, its gradients added to those of `model`, and the one without.

    None where memory does not suffice.
    """
    tokens = sum(batch.target_tokens for batch in batches)
    device = batches[0].source_ids.device
    total = torch.zeros(2, device=device)
    try:
        for batch in batches:
            with computing_in(settings.precision, device):
                hidden = model(batch)
            hidden = hidden.to(model.output_weight.dtype)
            sums = cross_entropy_sums(model, hidden, batch.target_output, settings.label_smoothing)
            (sums[0] / tokens).backward()
            total += torch.stack(sums).detach() / tokens
        loss, unsmoothed_loss = total.tolist()
        return loss, unsmoothed_loss
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None

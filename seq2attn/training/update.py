"""One optimizer update: gradients of some batches, clipped, and a step of AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch
from seq2attn.errors import TrainingError
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.loss import cross_entropy_sum
from seq2attn.training.optimizer import set_learning_rate


class Update(NamedTuple):
    """What an update saw."""

    loss: float
    """Nats for a target token, label smoothing included."""
    norm: float
    """Of the gradient, before it was clipped."""
    target_tokens: int


def update_weights(
    model: Seq2Seq,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    settings: TrainConfig,
    step: int,
    learning_rate: float,
) -> Update:
    """Update number `step` of the weights, from `batches`, the loss averaged over all their target tokens.

    Raises: TrainingError where loss or gradient is no longer a number; no weight is changed then.
    """
    tokens = sum(batch.target_tokens for batch in batches)
    total = torch.zeros((), device=batches[0].source_ids.device)
    for batch in batches:
        hidden = model(batch)
        loss = cross_entropy_sum(model, hidden, batch.target_output, settings.label_smoothing) / tokens
        loss.backward()
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    update = Update(total.item(), norm.item(), tokens)
    _check_finite(update, step)
    set_learning_rate(optimizer, learning_rate)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return update


def _check_finite(update: Update, step: int) -> None:
    if not math.isfinite(update.loss + update.norm):
        raise TrainingError(
            f"update {step}: the loss is {update.loss} and the gradient's norm {update.norm}; no weight was changed by "
            "it. Train anew in another --run-dir with a lower train.learning_rate or a longer train.warmup_steps"
        )

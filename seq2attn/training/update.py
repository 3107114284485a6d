"""One optimizer update: gradients of some batches, clipped, and a step of AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch
from seq2attn.device import missing_for_compilation
from seq2attn.errors import ConfigError, TrainingError, is_out_of_memory
from seq2attn.models.products import autocast, products_in
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.loss import cross_entropy_sums
from seq2attn.training.ranks import ONE_PROCESS, Ranks
from seq2attn.training.schedule import set_learning_rate

_MIN_MINUTES = 10.0  # of a training that is worth the minute of compilation


class FailedUpdateError(TrainingError):
    """An update that changed no weight."""


class Update(NamedTuple):
    """The measurements of an update."""

    loss: float
    """Nats per target token, label smoothing included."""
    unsmoothed_loss: float
    """The same without label smoothing: the logarithm of the perplexity."""
    norm: float
    """Of the gradient, before clipping."""
    target_tokens: int
    was_split: bool = False
    """Whether memory sufficed only after the batches were split."""


class Losses(NamedTuple):
    """Nats per target token."""

    smoothed: float
    """With label smoothing, as trained on."""
    unsmoothed: float


def update_weights(
    model: Seq2Seq,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    settings: TrainConfig,
    step: int,
    learning_rate: float,
    ranks: Ranks = ONE_PROCESS,
    forward: Callable[[Batch], Tensor] | None = None,
) -> Update:
    """Update the weights with the gradient of the loss, averaged over all target tokens of `batches`.

    Where memory runs out, the batches are halved until they fit; the gradient is the same. With several processes
    `batches` are those of this one. The gradient is that of the batches of all of them, and what a process decides is
    decided for all. `forward` computes the hidden states, as `model` itself does by default.

    Raises: FailedUpdateError where the loss or the gradient is not finite, or memory does not hold a single pair.
    """
    forward = model if forward is None else forward
    tokens = int(ranks.total(sum(batch.target_tokens for batch in batches)))
    parts, was_split = list(batches), False
    while ranks.anywhere((own := _add_gradients(model, parts, tokens, settings, forward)) is None):
        optimizer.zero_grad(set_to_none=True)  # they hold the sum of an unknown part of the batches
        if ranks.anywhere(own is None and all(len(part.source_ids) == 1 for part in parts)):
            raise FailedUpdateError(
                f"update {step}: out of memory even for single pairs; free some, or set data.max_source_words"
            )
        parts = [half for part in parts for half in (part.halves() if len(part.source_ids) > 1 else (part,))]
        was_split = True
    assert own is not None
    ranks.sum_gradients(model)
    losses = Losses(*map(ranks.total, own))
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm).item()
    if ranks.anywhere(not math.isfinite(losses.smoothed + norm)):
        optimizer.zero_grad(set_to_none=True)
        raise FailedUpdateError(
            f"update {step}: the loss is {losses.smoothed} and the gradient's norm {norm}; look at its pairs, or train "
            "with a lower train.learning_rate"
        )
    set_learning_rate(optimizer, learning_rate)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Update(*losses, norm, tokens, was_split)


def forward_of(model: Seq2Seq, settings: TrainConfig, device: torch.device) -> Callable[[Batch], Tensor]:
    """What computes the hidden states in updates of `model`: itself or, as `train.compile` says, compiled code.

    Raises: ConfigError where it is to be compiled and there is no compiler, or in bfloat16 on a CPU.
    """
    if settings.compile == "off" or (settings.compile == "auto" and not _gains_by_compilation(settings, device)):
        return model
    if device.type == "cpu" and settings.precision == "bfloat16":
        raise ConfigError("train.compile: on: not with train.precision: bfloat16 on a CPU; change either")
    missing = missing_for_compilation(device)
    if missing and settings.compile == "on":
        raise ConfigError(f"train.compile: on: this machine has no {missing}; install it, or use train.compile: off")
    return model if missing else model.compiled_forward()


def _gains_by_compilation(settings: TrainConfig, device: torch.device) -> bool:
    has_time = settings.max_minutes is None or settings.max_minutes >= _MIN_MINUTES
    # Compiled code depends on the first batches that it meets: a resumed run would have other rounding errors.
    return device.type == "cuda" and has_time and not settings.deterministic


def _add_gradients(
    model: Seq2Seq, batches: Sequence[Batch], tokens: int, settings: TrainConfig, forward: Callable[[Batch], Tensor]
) -> Losses | None:
    """Add the gradients of the loss of `batches`, their sum divided by `tokens`, to those of `model`.

    Returns: that loss; None where memory runs out.
    """
    device = batches[0].source_ids.device
    total = torch.zeros(2, device=device)
    try:
        for batch in batches:
            if batch.dropout_seed is not None:
                torch.manual_seed(batch.dropout_seed)
            with products_in(settings.precision, device):
                with autocast(settings.precision, device):
                    hidden = forward(batch)
                hidden = hidden.to(model.output_weight.dtype)
                sums = cross_entropy_sums(model, hidden, batch.target_output, settings.label_smoothing)
                (sums[0] / tokens).backward()
            total += torch.stack(sums).detach() / tokens
        return Losses(*total.tolist())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None

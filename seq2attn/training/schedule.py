"""The budget of a training, the learning rate as a pure function of it, and the optimizer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import nn

from seq2attn.config.schema import TrainConfig

_LONGEST_WARMUP = 0.2  # of the budget


class Stopwatch:
    """Seconds that a run has trained and validated, those before an interruption included."""

    def __init__(self) -> None:
        self.seconds_before = 0.0
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.seconds_before + time.monotonic() - self._started


@dataclass(frozen=True)
class Spent:
    """What a run has used of its budget so far."""

    steps: int
    epochs: float
    seconds: float


def progress(spent: Spent, config: TrainConfig) -> float:
    """The spent share of the budget, 1.0 at its end: the largest of the shares of steps, epochs and minutes."""
    shares = [0.0]
    if config.max_steps is not None:
        shares.append(spent.steps / config.max_steps)
    if config.max_epochs is not None:
        shares.append(spent.epochs / config.max_epochs)
    if config.max_minutes is not None:
        shares.append(spent.seconds / (60 * config.max_minutes))
    return min(1.0, max(shares))


def learning_rate(step: int, share: float, config: TrainConfig) -> float:
    """Learning rate of update `step` (from 1) when `share` of the budget is spent.

    1. Warm-up: linear to `config.learning_rate` over `warmup_steps`, or a fifth of the budget where that is shorter.
    2. Decay: to zero at the end of the budget (linear, cosine), with 1/√step (Vaswani et al. 2017), or none.
    """
    warmup = min(1.0, max(step / config.warmup_steps, share / _LONGEST_WARMUP)) if config.warmup_steps else 1.0
    match config.decay:
        case "linear":
            decay = 1.0 - share
        case "cosine":
            decay = 0.5 * (1.0 + math.cos(math.pi * share))
        case "inverse_sqrt":
            decay = min(1.0, math.sqrt(max(config.warmup_steps, 1) / step))
        case "none":
            decay = 1.0
    return config.learning_rate * warmup * decay


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); biases, norms and other vectors do not decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-9, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use `learning_rate` from the next update on."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate

"""Observers of a training, and what they learn after each validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.log import TrainingLog
from seq2attn.training.validation import ValidationResult, Validator


@dataclass(frozen=True)
class Validated:
    """What an observer learns after a validation."""

    step: int
    seconds: float
    """Time that training has taken so far; infinite at the end of the budget, when an observer may take its time."""
    model: Seq2Seq
    result: ValidationResult
    validator: Validator
    log: TrainingLog


class Observer(Protocol):
    """Watches a training. It must change no number of it, and leave the model in its mode."""

    def validated(self, event: Validated) -> None:
        """Called after each validation during training."""

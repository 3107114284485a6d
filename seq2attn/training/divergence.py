"""Detects a training that cannot succeed: updates that fail in a row, or a loss worse than a uniform guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seq2attn.config.schema import TrainConfig

# One batch above the line is chance; this many in a row are not.
_UPDATES_WORSE_THAN_GUESSING = 100
_COUNTS = ("skipped", "split", "failed_in_a_row", "worse_in_a_row")


@dataclass
class DivergenceMonitor:
    """Counts failed updates and losses above a uniform guess, and says when to stop."""

    settings: TrainConfig
    vocab_size: int
    skipped: int = 0
    """Updates that changed no weight, in total."""
    split: int = 0
    """Updates whose batches had to be split because memory ran out, in total."""
    failed_in_a_row: int = 0
    """Consecutive updates, up to the last one, that were skipped or split."""
    worse_in_a_row: int = 0
    """Consecutive updates after warm-up whose loss was above that of a uniform guess."""

    def record(self, step: int, loss: float | None, was_split: bool) -> None:
        """Count update `step`; `loss` is None where it was skipped."""
        self.skipped += loss is None
        self.split += was_split
        self.failed_in_a_row = self.failed_in_a_row + 1 if loss is None or was_split else 0
        if loss is not None:
            # Label smoothing changes nothing here: a uniform guess has the same cross-entropy with every target.
            worse = step > self.settings.warmup_steps and loss > math.log(self.vocab_size)
            self.worse_in_a_row = self.worse_in_a_row + 1 if worse else 0

    def reason_to_stop(self, failure: str | None) -> str | None:
        """Why the run should end, or None; `failure` describes how the last update failed, if it did.

        Returning a reason resets its count, so that a resumed run gets as many attempts.
        """
        failed, worse = self.failed_in_a_row, self.worse_in_a_row
        if failed >= self.settings.max_failed_updates:
            self.failed_in_a_row = 0
            return f"{failed} updates in a row failed; the last was {failure}"
        if worse >= _UPDATES_WORSE_THAN_GUESSING:
            self.worse_in_a_row = 0
            guess = f"that of a uniform guess, {math.log(self.vocab_size):.2f}"
            return (
                f"in {worse} updates in a row the loss was above {guess}: the training diverged or never started to "
                "learn. Train in another --run-dir with a different train.learning_rate (usually a lower one) or a "
                "longer train.warmup_steps"
            )
        return None

    def metrics(self) -> dict[str, float]:
        """The totals that are not zero, by metric name."""
        totals = {"updates/skipped": self.skipped, "updates/split": self.split}
        return {name: float(total) for name, total in totals.items() if total}

    def state_dict(self) -> dict[str, Any]:
        """All counts, for a checkpoint."""
        return {name: getattr(self, name) for name in _COUNTS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the counts that `state_dict` returned."""
        for name in _COUNTS:
            setattr(self, name, state[name])

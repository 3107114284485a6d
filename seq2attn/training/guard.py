"""When a training cannot succeed any more: updates that fail in a row, or a loss worse than that of guessing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from seq2attn.config.schema import TrainConfig

# One batch above the line is chance; this many in a row are not.
_WORSE_THAN_GUESSING = 100
_COUNTS = ("skipped", "split", "failed_in_a_row", "worse_in_a_row")


@dataclass
class Guard:
    """Counts what goes wrong, and says when it is too much."""

    settings: TrainConfig
    vocab_size: int
    skipped: int = 0
    """Updates that changed no weight, in all."""
    split: int = 0
    """Updates whose batches had to be split for want of memory, in all."""
    failed_in_a_row: int = 0
    """Updates that were skipped or split, since the last one that was neither."""
    worse_in_a_row: int = 0
    """Updates after warm-up whose loss was above that of a uniform guess, since the last one whose was not."""

    def note(self, step: int, loss: float | None, was_split: bool) -> None:
        """Count update `step`; `loss` is None where it was skipped."""
        self.skipped += loss is None
        self.split += was_split
        self.failed_in_a_row = self.failed_in_a_row + 1 if loss is None or was_split else 0
        if loss is not None:
            # Whatever the smoothing: a uniform guess gives every q the same cross-entropy.
            worse = step > self.settings.warmup_steps and loss > math.log(self.vocab_size)
            self.worse_in_a_row = self.worse_in_a_row + 1 if worse else 0

    def reason_to_stop(self, trouble: str | None) -> str | None:
        """Why the run should end, None where it need not; `trouble` is how the last update failed, if it did.

        The count starts anew with the answer, so that a run that is resumed gets as many tries.
        """
        failed, worse = self.failed_in_a_row, self.worse_in_a_row
        if failed >= self.settings.max_failed_updates:
            self.failed_in_a_row = 0
            return f"{failed} updates in a row failed; the last was {trouble}"
        if worse >= _WORSE_THAN_GUESSING:
            self.worse_in_a_row = 0
            guess = f"that of a uniform guess, {math.log(self.vocab_size):.2f}"
            return (
                f"in {worse} updates in a row the loss was above {guess}: the training diverged, or does not begin. "
                "Train anew in another --run-dir with another train.learning_rate (a lower one, as a rule) or a longer "
                "train.warmup_steps"
            )
        return None

    def figures(self) -> dict[str, float]:
        """The totals that are not zero, under the names that they are kept by."""
        totals = {"updates/skipped": self.skipped, "updates/split": self.split}
        return {name: float(total) for name, total in totals.items() if total}

    def state_dict(self) -> dict[str, Any]:
        """All counts, for a checkpoint."""
        return {name: getattr(self, name) for name in _COUNTS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for name in _COUNTS:
            setattr(self, name, state[name])

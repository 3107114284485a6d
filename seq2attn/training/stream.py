"""The training pairs as an endless stream of batches, with a position that can be saved and restored."""

from __future__ import annotations

from typing import NamedTuple

import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs
from seq2attn.data.sampler import BatchSampler, Indices


class Group(NamedTuple):
    """What one update is made from."""

    pairs: list[int]
    """Their places in the training split."""
    batches: list[Batch]


class BatchStream:
    """Batches epoch after epoch; `epoch` and `batch` are the position of the next."""

    def __init__(self, pairs: EncodedPairs, settings: TrainConfig, device: torch.device) -> None:
        self.pairs = pairs
        self.device = device
        self.sampler = BatchSampler(
            pairs.source_lengths,
            pairs.target_lengths + 1,
            settings.batch_tokens,
            settings.seed,
            settings.short_first_epochs,
        )
        self.go_to(0, 0)

    def go_to(self, epoch: int, batch: int) -> None:
        """Let the batch at this position be the next."""
        self.epoch, self.batch = epoch, batch
        self._rows: list[Indices] = self.sampler.batches(epoch)

    @property
    def epochs(self) -> float:
        """Passes over the pairs so far."""
        return self.epoch + self.batch / len(self._rows)

    def next_group(self, n_batches: int) -> Group:
        """The next `n_batches` batches."""
        rows = [self._next_rows() for _ in range(n_batches)]
        return Group([pair for some in rows for pair in some.tolist()], [self._collate(some) for some in rows])

    def _next_rows(self) -> Indices:
        # Not as soon as an epoch has ended: until the next begins, the end is where the stream stands.
        if self.batch == len(self._rows):
            self.go_to(self.epoch + 1, 0)
        self.batch += 1
        return self._rows[self.batch - 1]

    def _collate(self, rows: Indices) -> Batch:
        batch = collate([self.pairs.source(row) for row in rows], [self.pairs.target(row) for row in rows])
        # From pinned memory the copy runs beside what the GPU computes.
        return (batch.pinned() if self.device.type == "cuda" else batch).to(self.device)

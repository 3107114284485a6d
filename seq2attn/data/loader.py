"""The training pairs as an endless stream of batches, with a position that can be saved and restored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs

Indices = NDArray[np.int64]


class BatchSampler:
    """The batches of every epoch, a pure function of the lengths, the seed and the epoch.

    So the position in the data is two numbers, (epoch, batch), and to restore it is to jump there. Pairs are
    sorted by length (ties at random), cut into batches under the budget, and the batches shuffled.
    """

    def __init__(
        self,
        source_lengths: NDArray[np.integer],
        target_lengths: NDArray[np.integer],
        batch_tokens: int,
        seed: int,
        short_first_epochs: int = 0,
    ) -> None:
        self.source_lengths = source_lengths
        self.target_lengths = target_lengths
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.short_first_epochs = short_first_epochs

    def batches(self, epoch: int) -> list[Indices]:
        """All batches of `epoch` (from 0) in order, each the indices of its pairs; every pair is in exactly one."""
        random = np.random.default_rng((self.seed, epoch))
        ties = random.permutation(len(self.source_lengths))
        order = np.lexsort((ties, self.source_lengths, self.target_lengths))
        longer = np.maximum(self.source_lengths, self.target_lengths)[order]
        batches = np.split(order, _cuts(longer, self.batch_tokens))
        if epoch >= self.short_first_epochs:
            random.shuffle(batches)
        return batches


def _cuts(lengths: NDArray[np.integer], batch_tokens: int) -> list[int]:
    """Where to cut pairs of `lengths` so that rows × longest stays within `batch_tokens`, one pair at least."""
    cuts: list[int] = []
    start, longest = 0, 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > start and (index - start + 1) * longest > batch_tokens:
            cuts.append(index)
            start, longest = index, length
    return cuts


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

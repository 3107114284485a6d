"""Training pairs as batches without end, at a position that can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs

Indices = NDArray[np.int64]


class BatchSampler:
    """The batches of each epoch, a pure function of the lengths, the seed and the epoch.

    A position in the data is therefore two numbers, (epoch, batch). Pairs are sorted by length (ties in random order),
    cut into batches of at most `batch_tokens` padded tokens a side, and the batches are shuffled; those of the first
    `short_first_epochs` epochs stay in order of length.
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
        """The batches of `epoch` (from 0) in order, each as the indices of its pairs; every pair is in exactly one."""
        random = np.random.default_rng((self.seed, epoch))
        ties = random.permutation(len(self.source_lengths))
        order = np.lexsort((ties, self.source_lengths, self.target_lengths))
        longer = np.maximum(self.source_lengths, self.target_lengths)[order]
        batches = np.split(order, _cuts(longer, self.batch_tokens))
        if epoch >= self.short_first_epochs:
            random.shuffle(batches)
        return batches


def _cuts(lengths: NDArray[np.integer], batch_tokens: int) -> list[int]:
    """Where to cut pairs of `lengths` so that rows × longest ≤ `batch_tokens`; a batch has at least one pair."""
    cuts: list[int] = []
    start, longest = 0, 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > start and (index - start + 1) * longest > batch_tokens:
            cuts.append(index)
            start, longest = index, length
    return cuts


@dataclass(frozen=True)
class LoadedBatches:
    """The batches of one update."""

    pairs: list[int]
    """Indices of their pairs in the training split."""
    batches: list[Batch]
    source_tokens: int
    """Real tokens of the sources, EOS included."""

    @property
    def target_tokens(self) -> int:
        """Real tokens of the targets, EOS included."""
        return sum(batch.target_tokens for batch in self.batches)

    @property
    def positions(self) -> int:
        """Positions of both sides, padding included."""
        return sum(batch.positions for batch in self.batches)


class Loader:
    """Batches without end, epoch after epoch. Epochs and batch numbers stay inside."""

    def __init__(self, pairs: EncodedPairs, settings: TrainConfig, device: torch.device) -> None:
        self._pairs = pairs
        self._device = device
        self._sampler = BatchSampler(
            pairs.source_lengths,
            pairs.target_lengths + 1,
            settings.batch_tokens,
            settings.seed,
            settings.short_first_epochs,
        )
        self._go_to(0, 0)

    def next_batches(self, n_batches: int) -> LoadedBatches:
        """The next `n_batches` batches, on the loader's device."""
        rows = [self._next_rows() for _ in range(n_batches)]
        pairs = np.concatenate(rows)
        source_tokens = int(self._pairs.source_lengths[pairs].sum())
        return LoadedBatches(pairs.tolist(), [self._collate(batch) for batch in rows], source_tokens)

    def progress(self) -> float:
        """Passes over the training pairs so far."""
        return self._epoch + self._batch / len(self._rows)

    def state_dict(self) -> dict[str, int]:
        """The position of the next batch."""
        return {"epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at the position that `state_dict` returned."""
        self._go_to(state["epoch"], state["batch"])

    def _go_to(self, epoch: int, batch: int) -> None:
        self._epoch, self._batch = epoch, batch
        self._rows: list[Indices] = self._sampler.batches(epoch)

    def _next_rows(self) -> Indices:
        # Not as soon as an epoch ends: until the next batch is asked for, the position is the end of that epoch.
        if self._batch == len(self._rows):
            self._go_to(self._epoch + 1, 0)
        self._batch += 1
        return self._rows[self._batch - 1]

    def _collate(self, rows: Indices) -> Batch:
        batch = collate([self._pairs.source(row) for row in rows], [self._pairs.target(row) for row in rows])
        # From pinned memory the copy runs while the GPU computes.
        return (batch.pinned() if self._device.type == "cuda" else batch).to(self._device)

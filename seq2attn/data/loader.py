"""Training pairs as batches without end, at a position that can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """The batches of one update, dealt out to the processes that train together."""

    pairs: list[int]
    """Indices of all their pairs in the training split."""
    batches: list[Batch]
    """Those of this process."""
    source_tokens: int
    """Real tokens of the sources of all, EOS included."""
    positions: int
    """Positions of both sides of all, padding included."""


class Loader:
    """Batches without end, epoch after epoch. Epochs and batch numbers stay inside.

    Each batch is a pure function of seed, epoch and number, dropout included where `train.dropout_seed` is `batch`.
    With several processes each loader advances over all batches, and loads those that are dealt to its `rank`.
    """

    def __init__(
        self, pairs: EncodedPairs, settings: TrainConfig, device: torch.device, rank: int = 0, n_ranks: int = 1
    ) -> None:
        self._pairs = pairs
        self._device = device
        self._rank = rank
        self._n_ranks = n_ranks
        self._seeds_dropout = settings.dropout_seed == "batch"
        self._sampler = BatchSampler(
            pairs.source_lengths,
            pairs.target_lengths + 1,
            settings.batch_tokens,
            settings.seed,
            settings.short_first_epochs,
        )
        self._go_to(0, 0)

    def next_batches(self, n_batches: int) -> LoadedBatches:
        """The next `n_batches` batches of all processes; those of this one are on the loader's device."""
        dealt = [(self._next_rows(), self._dropout_seed()) for _ in range(n_batches)]
        pairs = np.concatenate([rows for rows, _ in dealt])
        batches = [self._collate(rows, seed) for rows, seed in dealt[self._rank :: self._n_ranks]]
        source_tokens = int(self._pairs.source_lengths[pairs].sum())
        positions = sum(len(rows) * self._longest(rows) for rows, _ in dealt)
        return LoadedBatches(pairs.tolist(), batches, source_tokens, positions)

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

    def _dropout_seed(self) -> int | None:
        """The seed of dropout in the last batch of `_next_rows`, if each batch has its own."""
        if not self._seeds_dropout:
            return None
        sequence = np.random.SeedSequence((self._sampler.seed, self._epoch, self._batch))
        return int(sequence.generate_state(1, np.uint64)[0])

    def _longest(self, rows: Indices) -> int:
        """Length of the longest source plus that of the longest target, EOS included."""
        return int(self._pairs.source_lengths[rows].max() + self._pairs.target_lengths[rows].max()) + 1

    def _collate(self, rows: Indices, dropout_seed: int | None) -> Batch:
        batch = collate([self._pairs.source(row) for row in rows], [self._pairs.target(row) for row in rows])
        batch = replace(batch, dropout_seed=dropout_seed)
        # From pinned memory the copy runs while the GPU computes.
        return (batch.pinned() if self._device.type == "cuda" else batch).to(self._device)

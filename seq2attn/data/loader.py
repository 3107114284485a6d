"""Training pairs as batches without end, at a position that can be saved and restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs

Indices = NDArray[np.integer]

# Rows of the arrays below that are looked at together; temporary arrays have this many.
_CHUNK = 1 << 20


class Batches(Sequence[Indices]):
    """The batches of an epoch, each as the indices of its pairs: 4 bytes of memory a pair, and 16 a batch."""

    def __init__(self, order: Indices, cuts: Indices, sequence: Indices) -> None:
        """`order`: the pairs by length; `cuts`: where each batch ends there; `sequence`: the order of the batches."""
        self._order = order
        self._cuts = cuts
        self._sequence = sequence

    def __len__(self) -> int:
        return len(self._sequence)

    @overload
    def __getitem__(self, number: int) -> Indices: ...
    @overload
    def __getitem__(self, number: slice) -> list[Indices]: ...
    def __getitem__(self, number: int | slice) -> Indices | list[Indices]:
        if isinstance(number, slice):
            return [self[single] for single in range(*number.indices(len(self)))]
        batch = self._sequence[number]
        return self._order[self._cuts[batch - 1] if batch else 0 : self._cuts[batch]]


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
        """`source_lengths`, `target_lengths`: those of `EncodedPairs`, which leave out the target's EOS."""
        self.source_lengths = source_lengths
        self.target_lengths = target_lengths
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.short_first_epochs = short_first_epochs

    def batches(self, epoch: int) -> Batches:
        """The batches of `epoch` (from 0) in order; every pair is in exactly one. Takes 8 bytes of memory a pair."""
        random = np.random.default_rng((self.seed, epoch))
        order = _random_order(len(self.source_lengths), random)
        # Each sort keeps the order of equal lengths: by target length, then by source length, then random.
        for lengths in (self.source_lengths, self.target_lengths):
            order = _sorted_by(order, lengths)
        cuts = np.fromiter(_cuts(self._longer(order), self.batch_tokens), dtype=np.int64)
        sequence = np.arange(len(cuts))
        if epoch >= self.short_first_epochs:
            random.shuffle(sequence)
        return Batches(order, cuts, sequence)

    def _longer(self, order: Indices) -> Iterator[int]:
        """The length of the longer side of each pair, EOS included."""
        for rows in _chunks(order):
            yield from np.maximum(self.source_lengths[rows], self.target_lengths[rows] + 1).tolist()


def _chunks(array: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    return (array[start : start + _CHUNK] for start in range(0, len(array), _CHUNK))


def _random_order(n_rows: int, random: np.random.Generator) -> Indices:
    """The rows in the order of random numbers: row r is at the place that a random permutation has at r."""
    number: np.dtype[np.integer] = np.dtype(np.uint32 if n_rows <= 2**32 else np.uint64)
    places = np.arange(n_rows, dtype=number)
    random.shuffle(places)
    order = np.empty_like(places)
    first = 0
    for part in _chunks(places):
        order[part] = np.arange(first, first + len(part))
        first += len(part)
    return order


def _sorted_by(rows: Indices, lengths: NDArray[np.integer]) -> Indices:
    """The rows in ascending order of their lengths, equal ones in the order that they have (a counting sort)."""
    counts = np.zeros(int(lengths.max(initial=0)) + 1, dtype=np.int64)
    for part in _chunks(lengths):
        counts += np.bincount(part, minlength=len(counts))
    next_place = np.cumsum(counts) - counts
    result = np.empty_like(rows)
    for part in _chunks(rows):
        keys = lengths[part]
        by_length = np.argsort(keys, kind="stable")
        found, firsts, sizes = np.unique(keys[by_length], return_index=True, return_counts=True)
        places = np.arange(len(part)) + np.repeat(next_place[found] - firsts, sizes)
        result[places] = part[by_length]
        next_place[found] += sizes
    return result


def _cuts(lengths: Iterable[int], batch_tokens: int) -> Iterator[int]:
    """Where batches of pairs of these lengths end, so that rows × longest ≤ `batch_tokens`; each has at least one."""
    start, end, longest = 0, 0, 0
    for length in lengths:
        longest = max(longest, length)
        if end > start and (end - start + 1) * longest > batch_tokens:
            yield end
            start, longest = end, length
        end += 1
    if end:
        yield end


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
            pairs.target_lengths,
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
        self._rows: Sequence[Indices] = []  # frees the memory of the epoch before
        self._rows = self._sampler.batches(epoch)

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

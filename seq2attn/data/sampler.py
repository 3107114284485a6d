"""Seeded batches of pairs of similar length under a token budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

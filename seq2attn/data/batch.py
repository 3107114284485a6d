"""Batches of sentence pairs, the input of the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID

Ids = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class Batch:
    """Sentence pairs, padded at the end to the length of the longest."""

    source_ids: Tensor
    """(batch, source_len)"""
    source_valid: Tensor
    """(batch, source_len) True = real token."""
    target_input: Tensor
    """(batch, target_len) BOS, then the target."""
    target_output: Tensor
    """(batch, target_len) the target, then EOS; PAD, which every loss ignores, fills the rest."""
    target_tokens: int
    """Real tokens in `target_output`."""
    dropout_seed: int | None = None
    """Of the random numbers that training on this batch draws; None where it continues those of the batch before."""

    def halves(self) -> tuple[Batch, Batch]:
        """The first and the second half of the pairs; the batch must have at least two."""
        first = self.source_ids.shape[0] // 2

        def take(rows: slice, dropout_seed: int | None) -> Batch:
            target_output = self.target_output[rows]
            return Batch(
                self.source_ids[rows],
                self.source_valid[rows],
                self.target_input[rows],
                target_output,
                int((target_output != PAD_ID).sum()),
                dropout_seed,
            )

        return take(slice(first), self.dropout_seed), take(slice(first, None), None)

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same batch in page-locked memory, from which a GPU copies asynchronously."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.source_ids),
            change(self.source_valid),
            change(self.target_input),
            change(self.target_output),
            self.target_tokens,
            self.dropout_seed,
        )


def pad_ids(sentences: Sequence[Ids], before: Sequence[int] = (), after: Sequence[int] = ()) -> Tensor:
    """(batch, length) int64: each sentence between `before` and `after`, padded at the end."""
    extra = len(before) + len(after)
    padded = np.full((len(sentences), max(map(len, sentences), default=0) + extra), PAD_ID, dtype=np.int64)
    for row, sentence in zip(padded, sentences, strict=True):
        end = len(before) + len(sentence)
        row[: len(before)] = before
        row[len(before) : end] = sentence
        row[end : end + len(after)] = after
    return torch.from_numpy(padded)


def pad_sources(sources: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """`source_ids` and `source_valid` of encoded sources."""
    source_ids = pad_ids(sources)
    return source_ids, source_ids != PAD_ID


def collate(sources: Sequence[Ids], targets: Sequence[Ids]) -> Batch:
    """The batch of encoded sources (EOS last) and targets (without BOS and EOS)."""
    source_ids, source_valid = pad_sources(sources)
    return Batch(
        source_ids,
        source_valid,
        pad_ids(targets, before=[BOS_ID]),
        pad_ids(targets, after=[EOS_ID]),
        sum(map(len, targets)) + len(targets),
    )

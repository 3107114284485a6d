"""The gradient of each target token's loss by source position, and how it falls with the distance"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from seq2attn.data.batch import Batch
from seq2attn.data.subwords import PAD_ID
from seq2attn.models.seq2seq import Seq2Seq

Values = NDArray[np.float64]
FARTHEST = 32
"""Distances from this one on are counted together."""


def source_gradients(model: Seq2Seq, batch: Batch) -> list[Values]:
    """For each sentence (target_len, source_len): ‖∂ℓ_t / ∂e_s‖, ℓ_t the loss of target token t, e_s the vector of s.

    `model` is in evaluation mode and fed with the reference. EOS is the last token of both sides.
    """
    by_target = torch.stack(list(_by_target(model, batch)), dim=1).double().cpu().numpy()
    source_lengths = batch.source_valid.sum(dim=1).tolist()
    target_lengths = (batch.target_output != PAD_ID).sum(dim=1).tolist()
    lengths = zip(target_lengths, source_lengths, strict=True)
    return [norms[:rows, :columns] for norms, (rows, columns) in zip(by_target, lengths, strict=True)]


def _by_target(model: Seq2Seq, batch: Batch) -> Iterator[Tensor]:
    """For each target position (batch, source_len) norms of gradients: a backward pass each, for all sentences."""
    # The fused kernels of recurrent layers have no backward pass in evaluation mode on a GPU.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        embedded = model.embeddings.source(batch.source_ids).detach().requires_grad_()
        state = model.start(model.encode_embedded(embedded, batch.source_valid))
        for position in range(batch.target_input.shape[1]):
            logits, state = model.advance(batch.target_input[:, position], state)
            target = batch.target_output[:, position]
            total = F.cross_entropy(logits, target, ignore_index=PAD_ID, reduction="sum")
            (gradient,) = torch.autograd.grad(total, embedded, retain_graph=True)
            yield gradient.detach().norm(dim=-1)


def relative(norms: Values) -> Values:
    """`norms` (target_len, source_len) with each row divided by its mean: 1 is what a source token gets on average.

    A row without any gradient stays 0.
    """
    means = norms.mean(axis=1, keepdims=True)
    return np.divide(norms, means, out=np.zeros_like(norms), where=means > 0)


def diagonal(target_len: int, source_len: int) -> Values:
    """(target_len, source_len) 1 for the source token at the same relative position as the target token."""
    places = np.rint(np.arange(target_len) * (source_len - 1) / max(1, target_len - 1)).astype(np.int64)
    return np.eye(source_len)[places]


def distances(aligned: Values) -> NDArray[np.int64]:
    """(target_len, source_len) tokens between each source token and the nearest one that is aligned with the target's.

    `aligned`: of the same shape, 1 where aligned. −1 for target tokens that are aligned with nothing.
    """
    found = np.full(aligned.shape, -1, dtype=np.int64)
    places = np.arange(aligned.shape[1])
    for row, columns in zip(found, aligned, strict=True):
        (linked,) = np.nonzero(columns)
        if len(linked):
            row[:] = np.abs(places[:, None] - linked).min(axis=1)
    return found


def depths(target_len: int, source_len: int) -> NDArray[np.int64]:
    """(target_len, source_len) tokens between each source token and the nearer end of the source."""
    places = np.arange(source_len)
    return np.tile(np.minimum(places, source_len - 1 - places), (target_len, 1))


def sums_by(distance: NDArray[np.int64], values: Values) -> Values:
    """(FARTHEST + 1, 2) the sum of `values` at each distance, and their number; negative distances are left out."""
    known = distance >= 0
    places = np.minimum(distance[known], FARTHEST)
    sums = np.bincount(places, weights=values[known], minlength=FARTHEST + 1)
    return np.stack([sums, np.bincount(places, minlength=FARTHEST + 1)], axis=1)


@dataclass(frozen=True)
class Profile:
    """The relative gradient of a text with one set of weights."""

    nearby: Values
    """(n_sentences, FARTHEST + 1, 2) sums by the distance from the aligned source token, and their number."""
    depth: Values
    """(n_sentences, FARTHEST + 1, 2) the same by the distance from the nearer end of the source."""
    norms: Values
    """(n_sentences, 2) √Σ_s ‖∂ℓ_t / ∂e_s‖², summed over target tokens, and their number."""
    source_lengths: NDArray[np.int64]
    """(n_sentences,) tokens, EOS included."""

    def long(self, shortest: int) -> Profile:
        """The sentences of at least `shortest` source tokens."""
        chosen = self.source_lengths >= shortest
        return Profile(self.nearby[chosen], self.depth[chosen], self.norms[chosen], self.source_lengths[chosen])


def profile(matrices: list[Values], aligned: list[Values]) -> Profile:
    """The profile of sentences with the gradients `matrices`, (target_len, source_len) each, and their alignments."""
    nearby, depth, norms = [], [], []
    for found, links in zip(matrices, aligned, strict=True):
        shares = relative(found)
        nearby.append(sums_by(distances(links), shares))
        depth.append(sums_by(depths(*found.shape), shares))
        norms.append((np.linalg.norm(found, axis=1).sum(), len(found)))
    lengths = np.array([found.shape[1] for found in matrices], dtype=np.int64)
    return Profile(np.stack(nearby), np.stack(depth), np.array(norms, dtype=np.float64), lengths)

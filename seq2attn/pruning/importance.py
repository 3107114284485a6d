"""How important each head is: by the gradient of its gate, and by closing it"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2attn.config.models import TransformerConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs
from seq2attn.data.loader import BatchSampler
from seq2attn.data.subwords import PAD_ID
from seq2attn.evaluation.resampling import SEED, resample_sums
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import Head, gated, heads_of, open_gates
from seq2attn.training.loss import sentence_losses

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """What every head contributes to the loss of single sentences."""

    heads: tuple[Head, ...]
    nats: Values
    """(n_sentences, heads)"""
    tokens: Values
    """(n_sentences,) tokens of the targets, EOS included."""

    def per_token(self) -> Values:
        """(heads,) nats per target token."""
        mean: Values = self.nats.sum(axis=0) / self.tokens.sum()
        return mean

    def resampled(self, n_resamples: int, seed: int = SEED) -> Values:
        """(n_resamples, heads) the same of resamples of the sentences; the same resamples for the same seed."""
        rows = np.column_stack([self.nats, self.tokens])
        sums = resample_sums(rows, n_resamples, np.random.default_rng(seed))
        return sums[:, :-1] / sums[:, -1:]


def normalised(values: Values, heads: Sequence[Head]) -> Values:
    """`values` (..., heads), those of each attention divided by their Euclidean norm.

    Michel et al. 2019, section 4.1, after Molchanov et al. 2017: the scale of a layer says nothing about its heads.
    """
    found = np.zeros_like(values)
    places = [(head.kind, head.layer) for head in heads]
    for place in dict.fromkeys(places):
        chosen = [index for index, other in enumerate(places) if other == place]
        norm = np.linalg.norm(values[..., chosen], axis=-1, keepdims=True)
        np.divide(values[..., chosen], norm, out=(part := np.zeros_like(values[..., chosen])), where=norm > 0)
        found[..., chosen] = part
    return found


def sample_batches(pairs: EncodedPairs, n_sentences: int, batch_tokens: int, device: torch.device) -> list[Batch]:
    """Batches of at most `n_sentences` pairs, spread over all of them."""
    count = min(n_sentences, len(pairs))
    rows = np.array([index * len(pairs) // count for index in range(count)], dtype=np.int64)
    sampler = BatchSampler(pairs.source_lengths[rows], pairs.target_lengths[rows], batch_tokens, seed=0)
    return [
        collate([pairs.source(row) for row in chosen], [pairs.target(row) for row in chosen]).to(device)
        for chosen in (rows[places] for places in sampler.batches(0))
    ]


def gradient_importance(
    model: TransformerSeq2Seq, config: TransformerConfig, batches: Sequence[Batch], closed: Collection[Head] = ()
) -> Importance:
    """|∂loss/∂gate| of each sentence, at open gates, those in `closed` apart (Michel et al. 2019, eq. 2).

    The expected change of the loss without the head, to first order. 0 for the heads in `closed`. A single backward
    pass: every sentence has gates of its own.
    """
    heads = heads_of(config)
    gates = open_gates(heads, closed).to(model.output_bias)
    parts = []
    for batch in batches:
        of_sentences = gates.expand(len(batch.source_ids), -1).clone().requires_grad_()
        with gated(model, of_sentences), torch.enable_grad():
            total = sentence_losses(model, batch).sum()
        (gradient,) = torch.autograd.grad(total, of_sentences)
        parts.append(gradient.abs() * gates)
    return Importance(heads, _values(torch.cat(parts)), _tokens(batches))


@torch.no_grad()
def ablation_importance(
    model: TransformerSeq2Seq,
    config: TransformerConfig,
    batches: Sequence[Batch],
    progress: Callable[[int, int], object] | None = None,
) -> Importance:
    """The loss of each sentence with a head's gate closed, minus that with all open; `progress`: heads, of how many."""
    heads = heads_of(config)
    before = _losses(model, batches)
    rises = []
    for number, head in enumerate(heads, start=1):
        with gated(model, open_gates(heads, {head}).to(model.output_bias)):
            rises.append(_losses(model, batches) - before)
        if progress is not None:
            progress(number, len(heads))
    return Importance(heads, _values(torch.stack(rises, dim=1)), _tokens(batches))


def _losses(model: TransformerSeq2Seq, batches: Sequence[Batch]) -> Tensor:
    return torch.cat([sentence_losses(model, batch) for batch in batches])


def _tokens(batches: Sequence[Batch]) -> Values:
    return _values(torch.cat([(batch.target_output != PAD_ID).sum(dim=1) for batch in batches]))


def _values(tensor: Tensor) -> Values:
    return tensor.double().cpu().numpy()


def removals(
    model: TransformerSeq2Seq,
    config: TransformerConfig,
    batches: Sequence[Batch],
    among: Collection[Head],
    keep_one: bool,
) -> Iterator[Head]:
    """The heads in `among`, the least important first: by gradient, measured again after each head that is closed.

    Importance is normalised in each attention. `keep_one`: the last head of an attention is never removed.
    """
    heads = heads_of(config)
    closed: set[Head] = set()
    while candidates := [head for head in heads if head in among and _may_go(head, heads, closed, keep_one)]:
        importance = normalised(gradient_importance(model, config, batches, closed).per_token(), heads)
        least = min(candidates, key=lambda head: importance[heads.index(head)])
        closed.add(least)
        yield least


def _may_go(head: Head, heads: Sequence[Head], closed: Collection[Head], keep_one: bool) -> bool:
    beside = [other for other in heads if other[:2] == head[:2] and other not in closed]
    return head in beside and (len(beside) > 1 or not keep_one)

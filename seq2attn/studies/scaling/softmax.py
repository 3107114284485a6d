"""What the softmax of attention does: how even its weights are, and how much of the gradient passes through it"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2attn.attention.maps import KINDS, Kind
from seq2attn.data.batch import Batch
from seq2attn.data.subwords import PAD_ID
from seq2attn.models.seq2seq import AttentionMaps, Seq2Seq
from seq2attn.training.loss import sentence_losses

Values = NDArray[np.float64]


@dataclass(frozen=True)
class SoftmaxState:
    """The softmax of all layers and heads with one set of weights, on a text that the decoder is fed with."""

    entropy: dict[Kind, Values]
    """For each kind of attention (n_sentences, 2): the sum of the relative entropies of its rows, and their number."""
    passed: Values | None
    """(n_sentences, 2): squared norms of the gradient of scores and of that of weights, its mean over the row's keys
    subtracted. None where the weights are not part of the graph.
    """
    gradient_norm: float
    """Of the loss per target token, over all parameters."""
    query_norm: float | None
    """The same over the projections of queries; None where there are none."""

    def all_entropy(self) -> Values:
        """(n_sentences, 2) the same of all kinds together."""
        total: Values = np.sum(list(self.entropy.values()), axis=0)
        return total


def relative_entropy(weights: Tensor, visible: Tensor) -> Tensor:
    """H / ln n, H = −Σ w ln w, of each row of `weights` (..., keys) that sees n ≥ 2 keys; 0 for all others.

    1: all n weights are equal; 0: all weight is on one key. `visible` (..., keys), broadcast.
    """
    n = visible.sum(dim=-1)
    most = n.clamp(min=2).to(weights.dtype).log()
    return torch.where(n > 1, torch.special.entr(weights).sum(dim=-1) / most, 0.0)


def scores_gradient(weights: Tensor, gradient: Tensor) -> Tensor:
    """∂L/∂score_j = w_j (g_j − Σ_i w_i g_i), given `gradient` g = ∂L/∂w; both (..., keys)."""
    return weights * (gradient - (weights * gradient).sum(dim=-1, keepdim=True))


def centred(gradient: Tensor, visible: Tensor) -> Tensor:
    """`gradient` (..., keys) minus its mean over the keys that are `visible`; 0 elsewhere.

    No softmax passes on that mean, because weights add up to 1.
    """
    seen = gradient * visible
    mean = seen.sum(dim=-1, keepdim=True) / visible.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(visible, gradient - mean, 0.0)


def visible_keys(batch: Batch, kind: Kind) -> Tensor:
    """(batch, 1, rows, keys) True = a real token's row and a real token that it may look at."""
    target = batch.target_output != PAD_ID
    rows = batch.source_valid if kind == "encoder" else target
    keys = target if kind == "decoder" else batch.source_valid
    both = rows[:, None, :, None] & keys[:, None, None, :]
    return both.tril() if kind == "decoder" else both


def measure_softmax(model: Seq2Seq, batches: Sequence[Batch]) -> SoftmaxState:
    """The softmax of `model`, which is in evaluation mode, on `batches`."""
    parts = [_measure_batch(model, batch) for batch in batches]
    tokens = sum(batch.target_tokens for batch in batches)
    gradients = [sum(of_batches) / tokens for of_batches in zip(*(part.gradients for part in parts), strict=True)]
    is_query = {id(weight) for weight in model.query_weights()}
    queries = [part for part, weight in zip(gradients, model.parameters(), strict=True) if id(weight) in is_query]
    passed = [part.passed for part in parts if part.passed is not None]
    return SoftmaxState(
        {kind: _values(torch.cat([part.entropy[kind] for part in parts])) for kind in parts[0].entropy},
        _values(torch.cat(passed)) if passed else None,
        _norm(gradients),
        _norm(queries) if queries else None,
    )


class _Part(NamedTuple):
    """What one batch gives."""

    entropy: dict[Kind, Tensor]
    passed: Tensor | None
    gradients: list[Tensor]
    """Of the loss summed over the batch, for each parameter."""


def _measure_batch(model: Seq2Seq, batch: Batch) -> _Part:
    maps, parameters = AttentionMaps(), list(model.parameters())
    # The fused kernels of recurrent layers have no backward pass in evaluation mode on a GPU.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        total = sentence_losses(model, batch, maps).sum()
        layers: list[tuple[Kind, Tensor]] = [(kind, weights) for kind in KINDS for weights in getattr(maps, kind)]
        inputs = [*(weights for _, weights in layers), *parameters]
        found = torch.autograd.grad(total, inputs, allow_unused=True)
    entropy: dict[Kind, Tensor] = {}
    passed: Tensor | None = None
    for (kind, weights), gradient in zip(layers, found, strict=False):
        visible = visible_keys(batch, kind)
        entropies = _entropies(weights.detach(), visible)
        entropy[kind] = entropies + entropy[kind] if kind in entropy else entropies
        if gradient is not None:
            norms = _squared_norms(weights.detach(), gradient, visible)
            passed = norms if passed is None else passed + norms
    of_parameters = zip(found[len(layers) :], parameters, strict=True)
    gradients = [torch.zeros_like(weight) if gradient is None else gradient for gradient, weight in of_parameters]
    return _Part(entropy, passed, gradients)


def _entropies(weights: Tensor, visible: Tensor) -> Tensor:
    """(batch, 2) sum of the relative entropies of all rows with two keys or more, and the number of these rows."""
    rows = (visible.sum(dim=-1) > 1).expand(weights.shape[:-1])
    entropies = relative_entropy(weights.double(), visible)
    return torch.stack([entropies.sum(dim=(1, 2)), rows.sum(dim=(1, 2))], dim=1)


def _squared_norms(weights: Tensor, gradient: Tensor, visible: Tensor) -> Tensor:
    """(batch, 2) of the gradient of scores, and of that of weights without its means."""
    both = scores_gradient(weights, gradient), centred(gradient, visible)
    return torch.stack([part.double().square().sum(dim=(1, 2, 3)) for part in both], dim=1)


def _norm(gradients: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))


def _values(tensor: Tensor) -> Values:
    return tensor.double().cpu().numpy()

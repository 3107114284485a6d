"""tanh of additive attention by a cheaper way; `AdditiveAttention.score` in `attention.py` says what is computed."""

from __future__ import annotations

import torch
from torch import Tensor

# Beyond it the product of two exponentials could leave float32's range.
_LIMIT = 20.0


def exponentials_of(keys: Tensor) -> Tensor | None:
    """e^2k, once for all queries that will meet `keys`; None where it does not pay or could overflow."""
    return torch.exp(2 * keys) if keys.device.type == "cpu" and _fits(keys) else None


def complement_of_tanh(query: Tensor, keys: Tensor, exponentials: Tensor | None, out: Tensor | None = None) -> Tensor:
    """w = σ(−2 (q + k)) = (1 − tanh(q + k)) / 2, shapes broadcast.

    Only differences of scores matter to the softmax, so that −2 v · w serves as well as v · tanh(q + k), and tanh' =
    4 (w − w²). On a CPU, where tanh costs as much as thirty multiplications, w = 1 / (1 + e^2q e^2k).
    """
    if exponentials is not None and _fits(query):
        return torch.mul(exponentials, torch.exp(2 * query), out=out).add_(1).reciprocal_()
    return torch.add(keys, query, out=out).mul_(-2).sigmoid_()


def _fits(tensor: Tensor) -> bool:
    return tensor.abs().max().item() < _LIMIT

"""Attention within a window, and linear attention, against loops over their equations in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seq2attn.models.efficient import linear_attention, linear_attention_weights, windowed_attention

LENGTHS = [11, 4]


@pytest.fixture
def tensors() -> list[Tensor]:
    torch.manual_seed(3)
    return [torch.randn(2, 3, 11, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]


@pytest.fixture
def valid() -> Tensor:
    return torch.arange(11) < torch.tensor(LENGTHS)[:, None]


def product(query: Tensor, key: Tensor) -> float:
    """exp(q · k / √d)."""
    return math.exp(float(query @ key) / math.sqrt(len(query)))


def product_of_features(query: Tensor, key: Tensor) -> float:
    """φ(q) · φ(k), φ(x) = elu(x) + 1."""

    def feature(x: float) -> float:
        return x + 1 if x > 0 else math.exp(x)

    return sum(feature(float(q)) * feature(float(k)) for q, k in zip(query, key, strict=True))


def by_hand(tensors: list[Tensor], similarity: object, window: int) -> Tensor:
    """The context of the real tokens, one at a time; 0 elsewhere."""
    assert callable(similarity)
    query, keys, values = (tensor.detach() for tensor in tensors)
    context = torch.zeros_like(query)
    for sentence, length in enumerate(LENGTHS):
        for head in range(query.shape[1]):
            for i in range(length):
                near = [j for j in range(length) if abs(i - j) <= window]
                weights = [similarity(query[sentence, head, i], keys[sentence, head, j]) for j in near]
                for j, weight in zip(near, weights, strict=True):
                    context[sentence, head, i] += weight / sum(weights) * values[sentence, head, j]
    return context


def compare(found: Tensor, expected: Tensor) -> None:
    """On real tokens, and no padding may be NaN."""
    assert found.isfinite().all()
    for sentence, length in enumerate(LENGTHS):
        torch.testing.assert_close(found[sentence, :, :length], expected[sentence, :, :length])


@pytest.mark.parametrize("window", [1, 2, 3, 10, 40])
def test_a_window_equals_its_loop(tensors: list[Tensor], valid: Tensor, window: int) -> None:
    found = windowed_attention(*tensors, window, valid)
    compare(found, by_hand(tensors, product, window))
    gradients = torch.autograd.grad(found.sum(), tensors)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_linear_attention_equals_its_loop(tensors: list[Tensor], valid: Tensor) -> None:
    found = linear_attention(*tensors, valid)
    compare(found, by_hand(tensors, product_of_features, 11))
    weights = linear_attention_weights(*tensors[:2], valid)
    torch.testing.assert_close(weights @ tensors[2], found)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 11, dtype=torch.float64))
    assert weights[1, :, :, 4:].abs().max() == 0.0


def test_without_padding_all_are_valid(tensors: list[Tensor]) -> None:
    every = torch.ones(2, 11, dtype=torch.bool)
    assert torch.equal(windowed_attention(*tensors, 3), windowed_attention(*tensors, 3, every))
    torch.testing.assert_close(linear_attention(*tensors), linear_attention(*tensors, every))


def test_features_of_very_negative_numbers_do_not_vanish() -> None:
    tensors = [torch.full((1, 1, 2, 4), -30.0), torch.full((1, 1, 2, 4), 3.0), torch.randn(1, 1, 2, 4)]
    expected = tensors[2].mean(dim=2, keepdim=True).expand(-1, -1, 2, -1)
    assert linear_attention(*tensors).isfinite().all()
    torch.testing.assert_close(linear_attention(tensors[0] / 4, *tensors[1:]), expected)

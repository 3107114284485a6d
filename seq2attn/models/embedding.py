"""Subword embeddings, tied to each other and to the output projection as configured, and dropout."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScaledEmbedding(nn.Module):
    """Embeddings (vocab_size, d_model) times √d_model (Vaswani et al. 2017, section 3.4).

    Weights are drawn with variance 1/d_model, which suits a tied output projection; the factor gives the first layer
    inputs of variance 1.
    """

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model).normal_(std=d_model**-0.5))
        self.scale = math.sqrt(d_model)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Vectors (..., d_model) for `token_ids` (...)."""
        return nn.functional.embedding(token_ids, self.weight) * self.scale


class Embeddings(nn.Module):
    """The source embedding, the target embedding, and the weight of the output projection."""

    def __init__(
        self, source_vocab_size: int, target_vocab_size: int, d_model: int, tied: bool, joint_subwords: bool
    ) -> None:
        super().__init__()
        self.source = ScaledEmbedding(source_vocab_size, d_model)
        self.target = self.source if tied and joint_subwords else ScaledEmbedding(target_vocab_size, d_model)
        output = self.target if tied else ScaledEmbedding(target_vocab_size, d_model)
        self.output_weight = output.weight


_LEVELS = 256  # values of the random byte that decides whether an element is dropped


class Dropout(nn.Module):
    """Sets each element to zero with probability `rate` and scales up the rest, in training only.

    On a CPU eight elements use one 64-bit random number, a byte each, which is about four times as fast as
    `torch.dropout`; the rate is then a multiple of 1/256, and the scale matches it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` (any shape), in training with elements set to zero."""
        if not self.training or self.rate == 0.0:
            return inputs
        # The compiler joins dropout with the operations around it.
        if inputs.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(inputs, self.rate)
        dropped_levels = min(round(self.rate * _LEVELS), _LEVELS - 1)
        # Zeros and ones as numbers: a tensor of booleans takes longer to make, and to choose by.
        kept = torch.empty(inputs.shape, dtype=inputs.dtype)
        torch.ge(_random_bytes(inputs.numel()).view(inputs.shape), dropped_levels, out=kept)
        return inputs * kept.mul_(_LEVELS / (_LEVELS - dropped_levels))


class VariationalDropout(nn.Module):
    """Dropout with the same mask at all positions of a sentence (Gal & Ghahramani 2016).

    In a recurrent network it regularises better than a new mask at each position, and it draws fewer random numbers.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` (batch, length, d), in training with some features set to zero at all positions of a sentence."""
        if not self.training or self.rate == 0.0:
            return inputs
        return inputs * F.dropout(inputs.new_ones(inputs.shape[0], 1, inputs.shape[2]), self.rate)

    def extra_repr(self) -> str:
        """The rate, for `print(model)`."""
        return f"rate={self.rate}"


def _random_bytes(count: int) -> Tensor:
    """(count,) uniform random bytes."""
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:count]

"""Subword embeddings of both sides, tied to each other and to the output projection as the configuration says."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScaledEmbedding(nn.Module):
    """Embeddings (vocab_size, d_model) times √d_model (Vaswani et al. 2017, section 3.4).

    The weights start with variance 1/d_model, which suits them as a tied output projection; the factor brings the
    inputs of the first layer back to variance 1.
    """

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model).normal_(std=d_model**-0.5))
        self.scale = math.sqrt(d_model)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Vectors (..., d_model) of `token_ids` (...)."""
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


_LEVELS = 256  # values of the random byte that decides over an element


class Dropout(nn.Module):
    """Sets each element to zero with probability `share` and scales the rest, while training.

    On a CPU eight elements share one 64-bit random number, a byte each, which makes a mask about four times
    cheaper than `torch.dropout`'s; `share` is then rounded to 1/256, and the scale is that of the rounded share.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`, with elements set to zero while training."""
        if not self.training or self.share == 0.0:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.share)
        dropped_levels = min(round(self.share * _LEVELS), _LEVELS - 1)
        kept = _random_bytes(inputs.numel()).view(inputs.shape) >= dropped_levels
        return torch.where(kept, inputs * (_LEVELS / (_LEVELS - dropped_levels)), 0.0)


class SharedDropout(nn.Module):
    """Dropout with one mask for all positions of a sentence (Gal & Ghahramani 2016).

    In a recurrent network it regularises better than a new mask at each position, and draws fewer numbers by the
    length of the sentence.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` (batch, length, d), with whole features of a sentence set to zero while training."""
        if not self.training or self.share == 0.0:
            return inputs
        return inputs * F.dropout(inputs.new_ones(inputs.shape[0], 1, inputs.shape[2]), self.share)

    def extra_repr(self) -> str:
        """The share, for `print(model)`."""
        return f"share={self.share}"


def _random_bytes(count: int) -> Tensor:
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:count]

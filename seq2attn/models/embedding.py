"""Subword embeddings of both sides, tied to each other and to the output projection as the configuration says."""

from __future__ import annotations

import math

import torch
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

"""How a transformer learns the order of the words."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from seq2attn.config.schema import TransformerConfig
from seq2attn.errors import DataError


class Positions(nn.Module):
    """No positions: the words are a bag. The other schemes add a vector to each embedding."""

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """`embeddings` (batch, length, d_model) of the positions `first`, `first` + 1, …, with their order in them."""
        return embeddings


class SinusoidalPositions(Positions):
    """Sines and cosines of wavelengths 2π to 20,000π (Vaswani et al. 2017, section 3.5); no end."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        exponent = torch.arange(0, d_model, 2, dtype=torch.float64) / d_model
        self.register_buffer("frequencies", torch.exp(-math.log(10_000.0) * exponent).float(), persistent=False)

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """PE(pos, 2i) = sin(pos / 10000^(2i/d_model)), PE(pos, 2i+1) = cos(…), added."""
        assert isinstance(self.frequencies, Tensor)
        positions = torch.arange(first, first + embeddings.shape[1], device=embeddings.device)
        angles = positions[:, None] * self.frequencies
        return embeddings + torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(embeddings.dtype)


class LearnedPositions(Positions):
    """A trained vector for each position (Gehring et al. 2017); ends at `max_positions`."""

    def __init__(self, d_model: int, max_positions: int) -> None:
        super().__init__()
        # As large as an embedding after its scaling would drown the words; a tenth of it starts faster.
        self.weight = nn.Parameter(torch.empty(max_positions, d_model).normal_(std=0.1))

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """The vectors of the positions, added.

        Raises: DataError where the sentence is longer than the table.
        """
        last = first + embeddings.shape[1]
        if last > self.weight.shape[0]:
            raise DataError(
                f"a sentence of {last} subwords is longer than the model's {self.weight.shape[0]} learned positions; "
                "split it, or train with a larger model.max_positions or with model.positions: sinusoidal"
            )
        return embeddings + self.weight[first:last]


def build_positions(config: TransformerConfig) -> Positions:
    """The scheme that `config.positions` names."""
    match config.positions:
        case "none":
            return Positions()
        case "sinusoidal":
            return SinusoidalPositions(config.d_model)
        case "learned":
            return LearnedPositions(config.d_model, config.max_positions)

"""How a transformer learns the order of the words: in the embeddings, or in each self-attention.

Absolute schemes (sinusoidal, learned) add to the embeddings a vector that tells where a word stands. Relative ones
(rotary, ALiBi) tell self-attention how far apart query and key stand, in encoder and decoder alike; between source and
target there is no distance, so that cross-attention knows nothing of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2attn.config.schema import TransformerConfig
from seq2attn.errors import DataError

_LONGEST_WAVE = 10_000.0  # divided by 2π, of sines and rotations: the constant of both papers


@dataclass(frozen=True)
class Order:
    """What self-attention is told of some positions, computed once for all layers; nothing where it has no fields."""

    turns: tuple[Tensor, Tensor] | None = None
    """Cosines and sines (length, d_head / 2) of the angles by which queries and keys are turned."""
    bias: Tensor | None = None
    """(heads, length, keys) what is added to the scores."""

    def turn(self, vectors: Tensor) -> Tensor:
        """Queries or keys (batch, heads, length, d_head), each pair of features turned in its plane."""
        if self.turns is None:
            return vectors
        cosines, sines = self.turns
        x, y = vectors[..., 0::2], vectors[..., 1::2]
        return torch.stack((x * cosines - y * sines, x * sines + y * cosines), dim=-1).flatten(-2)

    def limit(self, visible: Tensor) -> Tensor:
        """The bias of the keys that are `visible` (batch or 1, 1, length or 1, keys), −∞ for all others.

        Without a bias `visible` itself: attention takes both.
        """
        return visible if self.bias is None else self.bias.masked_fill(~visible, float("-inf"))


NO_ORDER = Order()


class Positions(nn.Module):
    """No positions: the words are a bag. The other schemes override one of the two methods."""

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """`embeddings` (batch, length, d_model) of the positions `first`, `first` + 1, …, with their order in them."""
        return embeddings

    def order(self, like: Tensor, first: int = 0) -> Order:
        """What self-attention is told of the positions `first`, `first` + 1, … of `like` (batch, length, d_model)."""
        return NO_ORDER


class SinusoidalPositions(Positions):
    """Sines and cosines of wavelengths 2π to 20,000π (Vaswani et al. 2017, section 3.5); no end."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", _frequencies(d_model).float(), persistent=False)

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """PE(pos, 2i) = sin(pos / 10000^(2i/d_model)), PE(pos, 2i+1) = cos(…), added."""
        assert isinstance(self.frequencies, Tensor)
        angles = _positions(embeddings, first)[:, None] * self.frequencies
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


class RotaryPositions(Positions):
    """Queries and keys turned by angles that grow with the position (Su et al. 2021, section 3.2); no end.

    Each pair of features 2i, 2i+1 at position m is turned by m / 10000^(2i/d_head), so that the product of a query at m
    and a key at n depends on m − n alone.
    """

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.frequencies = _frequencies(d_head)

    def order(self, like: Tensor, first: int = 0) -> Order:
        """The angles' cosines and sines."""
        angles = _positions(like, first)[:, None] * self.frequencies.to(like)
        return Order(turns=(angles.cos(), angles.sin()))


class AlibiPositions(Positions):
    """A penalty on each score that grows with the distance of query and key (ALiBi, Press et al. 2022); no end.

    Words before the query are penalised by the paper's slopes, 2^(−8h/H) of head h = 1 … H. The paper knows no words
    after it, for it has a decoder alone; an encoder with the same slopes on both sides could not tell a sentence from
    its mirror image. Words after are therefore penalised by slopes halfway to the next steeper head's, 2^(−8(h−½)/H).
    """

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        heads = torch.arange(1, n_heads + 1, dtype=torch.float64)
        self.before, self.after = (2.0 ** (-8.0 * (heads - shift) / n_heads) for shift in (0.0, 0.5))

    def order(self, like: Tensor, first: int = 0) -> Order:
        """The bias of every pair of query and key; the keys begin at position 0."""
        queries = _positions(like, first)[:, None]
        distances = (queries - torch.arange(first + like.shape[1], device=like.device)).to(like.dtype)
        before, after = (slopes.to(like)[:, None, None] for slopes in (self.before, self.after))
        return Order(bias=torch.where(distances > 0, -before * distances, after * distances))


def build_positions(config: TransformerConfig) -> Positions:
    """The scheme that `config.positions` names."""
    match config.positions:
        case "none":
            return Positions()
        case "sinusoidal":
            return SinusoidalPositions(config.d_model)
        case "learned":
            return LearnedPositions(config.d_model, config.max_positions)
        case "rotary":
            return RotaryPositions(config.d_model // config.n_heads)
        case "alibi":
            return AlibiPositions(config.n_heads)


def _frequencies(width: int) -> Tensor:
    """(width / 2,) 1 / 10000^(2i/width)."""
    exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
    return torch.exp(-math.log(_LONGEST_WAVE) * exponent)


def _positions(like: Tensor, first: int) -> Tensor:
    """(length,) `first`, `first` + 1, …"""
    return torch.arange(first, first + like.shape[1], device=like.device)

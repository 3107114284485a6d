"""How a transformer represents word order: in the embeddings, or in each self-attention.

Absolute schemes (sinusoidal, learned) add a vector for each position to the embeddings. Relative schemes (rotary,
ALiBi) make the scores of self-attention depend on the distance of query and key, in the encoder and in the decoder.
Cross-attention has no such term: a source and a target position have no distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2attn.config.models import TransformerConfig
from seq2attn.errors import DataError

_BASE = 10_000.0  # of the geometric series of wavelengths, in both papers


@dataclass(frozen=True)
class RelativePositions:
    """What self-attention needs from a relative scheme for some positions, computed once for all layers.

    Without fields it changes nothing.
    """

    rotation: tuple[Tensor, Tensor] | None = None
    """Cosines and sines, each (length, d_head / 2), of the angles that queries and keys are rotated by."""
    bias: Tensor | None = None
    """(heads, length, keys) added to the scores."""

    def rotate(self, vectors: Tensor) -> Tensor:
        """Queries or keys (batch, heads, length, d_head) with each pair of features rotated in its plane."""
        if self.rotation is None:
            return vectors
        cosines, sines = self.rotation
        x, y = vectors[..., 0::2], vectors[..., 1::2]
        return torch.stack((x * cosines - y * sines, x * sines + y * cosines), dim=-1).flatten(-2)


NO_RELATIVE_POSITIONS = RelativePositions()


class Positions(nn.Module):
    """No positions: a sentence is a bag of words. Each scheme overrides one of the two methods."""

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """`embeddings` (batch, length, d_model) of the positions `first`, `first` + 1, …, with their order added."""
        return embeddings

    def relative(self, like: Tensor, first: int = 0) -> RelativePositions:
        """Rotation and bias for the positions `first`, `first` + 1, … of `like` (batch, length, d_model).

        The keys of the bias begin at position 0.
        """
        return NO_RELATIVE_POSITIONS


class SinusoidalPositions(Positions):
    """Sines and cosines of wavelengths 2π to 20,000π (Vaswani et al. 2017, section 3.5), for any length."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", _frequencies(d_model).float(), persistent=False)

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """PE(pos, 2i) = sin(pos / 10000^(2i/d_model)), PE(pos, 2i+1) = cos(…), added."""
        assert isinstance(self.frequencies, Tensor)
        angles = _positions(embeddings, first)[:, None] * self.frequencies
        return embeddings + torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(embeddings.dtype)


class LearnedPositions(Positions):
    """A trained vector for each position below `max_positions` (Gehring et al. 2017, section 3.1)."""

    def __init__(self, d_model: int, max_positions: int) -> None:
        super().__init__()
        # With the variance of scaled embeddings (1), positions would drown out the words; a tenth of it trains faster.
        self.weight = nn.Parameter(torch.empty(max_positions, d_model).normal_(std=0.1))

    def forward(self, embeddings: Tensor, first: int = 0) -> Tensor:
        """`embeddings` plus the vectors of their positions.

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
    """Queries and keys rotated by angles that grow with the position (Su et al. 2021, section 3.2), for any length.

    Features 2i, 2i+1 at position m are rotated by the angle m / 10000^(2i/d_head), so the product of a query at m and a
    key at n depends on m − n only.
    """

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.frequencies = _frequencies(d_head)

    def relative(self, like: Tensor, first: int = 0) -> RelativePositions:
        """The rotation."""
        angles = _positions(like, first)[:, None] * self.frequencies.to(like)
        return RelativePositions(rotation=(angles.cos(), angles.sin()))


class AlibiPositions(Positions):
    """A penalty on scores that grows with the distance of query and key (ALiBi, Press et al. 2022), for any length.

    Keys before the query have the paper's slopes, 2^(−8h/H) for head h = 1 … H. Departure: the paper has a decoder
    only, so no keys after the query. An encoder with equal slopes on both sides could not tell a sentence from its
    mirror image; keys after the query therefore have slopes halfway to the next steeper head's, 2^(−8(h−½)/H).
    """

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        heads = torch.arange(1, n_heads + 1, dtype=torch.float64)
        self.before, self.after = (2.0 ** (-8.0 * (heads - shift) / n_heads) for shift in (0.0, 0.5))

    def relative(self, like: Tensor, first: int = 0) -> RelativePositions:
        """The bias, (heads, length, `first` + length)."""
        queries = _positions(like, first)[:, None]
        distances = (queries - torch.arange(first + like.shape[1], device=like.device)).to(like.dtype)
        before, after = (slopes.to(like)[:, None, None] for slopes in (self.before, self.after))
        return RelativePositions(bias=torch.where(distances > 0, -before * distances, after * distances))


def build_positions(config: TransformerConfig) -> Positions:
    """The scheme named by `config.positions`."""
    match config.positions:
        case "none":
            return Positions()
        case "sinusoidal":
            return SinusoidalPositions(config.d_model)
        case "learned":
            return LearnedPositions(config.d_model, config.max_positions)
        case "rotary":
            return RotaryPositions(config.d_head)
        case "alibi":
            return AlibiPositions(config.n_heads)


def _frequencies(width: int) -> Tensor:
    """(width / 2,) 1 / 10000^(2i/width)."""
    exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
    return torch.exp(-math.log(_BASE) * exponent)


def _positions(like: Tensor, first: int) -> Tensor:
    """(length,) the positions `first`, `first` + 1, … of `like` (batch, length, d_model)."""
    return torch.arange(first, first + like.shape[1], device=like.device)

"""Attention whose cost grows with the length, not with its square: within a window, and linear; for the encoder

`model.self_attention` names the classes; the functions know nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2attn.config.models import TransformerConfig
from seq2attn.models.attention import MultiHeadAttention, Scope

# Of a sum of weights before they are divided by it; the paper's own code adds as much.
_SMALLEST_SUM = 1e-6


def windowed_attention(
    query: Tensor, keys: Tensor, values: Tensor, window: int, valid: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """The context of queries that see the keys at most `window` positions away, on either side.

    A block of `window` queries is computed with its own block of keys and the two beside it
    (Beltagy et al. 2020, section 3.1), so time and memory grow with length · window. A query without any valid key in
    its window, as only padding can be, sees itself.

    Args:
        query: (batch, heads, length, d_head), as are `keys`, `values` and the context.
        window: 1 or more.
        valid: (batch, length), True = real token; None = all are.
        scale: of the products of queries and keys; 1 / √d_head by default.
    """
    batch, _, length, _ = query.shape
    n_blocks = -(-length // window)
    missing = n_blocks * window - length
    around = (window, window + missing)
    if valid is None:
        valid = torch.ones(batch, length, dtype=torch.bool, device=query.device)
    real = _with_neighbours(F.pad(valid, around).unflatten(1, (-1, window)), dim=1)
    blocks = F.pad(query, (0, 0, 0, missing)).unflatten(2, (-1, window)).transpose(1, 2).flatten(0, 1)
    keys, values = (
        _with_neighbours(F.pad(tensor, (0, 0, *around)).unflatten(2, (-1, window)), dim=2).transpose(1, 2).flatten(0, 1)
        for tensor in (keys, values)
    )
    visible = _band(window, query.device) & real[:, :, None, :]
    visible = seeing_something(visible, window).flatten(0, 1)[:, None]
    context = F.scaled_dot_product_attention(blocks, keys, values, attn_mask=visible, scale=scale)
    return context.unflatten(0, (batch, n_blocks)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def seeing_something(visible: Tensor, first: int = 0) -> Tensor:
    """`visible` (..., queries, keys), where a query that sees no key sees itself: key `first` + its own number."""
    queries, keys = (torch.arange(size, device=visible.device) for size in visible.shape[-2:])
    is_itself = queries[:, None] + first == keys
    return visible | (is_itself & ~visible.any(dim=-1, keepdim=True))


def within_window(length: int, window: int, device: torch.device) -> Tensor:
    """(length, length), True where query and key are at most `window` positions apart."""
    positions = torch.arange(length, device=device)
    return (positions[:, None] - positions).abs() <= window


def _with_neighbours(blocks: Tensor, dim: int) -> Tensor:
    """Each block but the first and the last, between the one before it and the one after it.

    `blocks`: (..., n, size, ...) with n at `dim`; returns (..., n - 2, 3 · size, ...).
    """
    n = blocks.shape[dim]
    return torch.cat([blocks.narrow(dim, start, n - 2) for start in range(3)], dim=dim + 1)


def _band(window: int, device: torch.device) -> Tensor:
    """(window, 3 · window), True for the keys in the window of each query of the block in the middle."""
    queries, keys = torch.arange(window, device=device)[:, None], torch.arange(3 * window, device=device)
    return (keys >= queries) & (keys <= queries + 2 * window)


def linear_attention(query: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None = None) -> Tensor:
    """φ(q) Σ φ(k) vᵀ / φ(q) · Σ φ(k), both sums over all valid keys (Katharopoulos et al. 2020, eq. 5 and 7).

    As the sums are the same for all queries, time grows with the length. Computed in float32 or better.

    Args:
        query: (batch, heads, length, d_head), as are `keys`, `values` and the context.
        valid: (batch, length), True = real token; None = all are.
    """
    dtype = query.dtype
    with torch.autocast(query.device.type, enabled=False):
        query, keys = positive_features(query), positive_features(keys)
        if valid is not None:
            keys = keys * valid[:, None, :, None]
        total = (query @ keys.sum(dim=2)[..., None]).clamp(min=_SMALLEST_SUM)
        return (query @ (keys.transpose(2, 3) @ values.to(keys.dtype)) / total).to(dtype)


def linear_attention_weights(query: Tensor, keys: Tensor, valid: Tensor | None = None) -> Tensor:
    """The weights (batch, heads, length, length) that `linear_attention` never computes; 0 on padding."""
    scores = positive_features(query) @ positive_features(keys).transpose(2, 3)
    if valid is not None:
        scores = scores * valid[:, None, None, :]
    return (scores / scores.sum(dim=-1, keepdim=True).clamp(min=_SMALLEST_SUM)).to(query.dtype)


def positive_features(tensor: Tensor) -> Tensor:
    """φ(x) = elu(x) + 1 (Katharopoulos et al. 2020, eq. 7), in float32 or better: e^x below 0, x + 1 above."""
    tensor = tensor if tensor.dtype == torch.float64 else tensor.float()
    # Not elu(x) + 1, which rounds to 0 from x = −17 on.
    return torch.exp(tensor.clamp(max=0.0)) + tensor.clamp(min=0.0)


class WindowedSelfAttention(MultiHeadAttention):
    """Each position sees those at most `window` positions away (Beltagy et al. 2020, section 3.1).

    With a bias on the scores (ALiBi), whose size is the square of the length, it costs as much as full attention.
    """

    def __init__(self, config: TransformerConfig, kept: Sequence[int] | None) -> None:
        """`kept`: as for all heads."""
        super().__init__(config.d_model, config.n_heads, kept, scaled=config.scales_scores)
        self.window = config.window

    def context(self, query: Tensor, keys: Tensor, values: Tensor, scope: Scope) -> Tensor:
        """Each head's context (batch, heads, length, d_head)."""
        if scope.bias is not None:
            return super().context(query, keys, values, self._narrowed(scope))
        return windowed_attention(query, keys, values, self.window, _valid(scope), self.scale)

    def weights(self, query: Tensor, keys: Tensor, scope: Scope) -> Tensor:
        """The weights (batch, heads, length, length), 0 outside the window."""
        return super().weights(query, keys, self._narrowed(scope))

    def _narrowed(self, scope: Scope) -> Scope:
        """What is visible, or the bias, within the window."""
        everywhere = scope.visible if scope.bias is None else scope.bias > float("-inf")
        assert everywhere is not None
        visible = everywhere & within_window(everywhere.shape[-1], self.window, everywhere.device)
        visible = seeing_something(visible)
        if scope.bias is None:
            return Scope(visible=visible)
        return Scope(bias=scope.bias.masked_fill(~everywhere, 0.0).masked_fill(~visible, float("-inf")))


class LinearSelfAttention(MultiHeadAttention):
    """No softmax: weights in proportion to φ(q) · φ(k) (Katharopoulos et al. 2020), in a time linear in the length."""

    def context(self, query: Tensor, keys: Tensor, values: Tensor, scope: Scope) -> Tensor:
        """Each head's context (batch, heads, length, d_head)."""
        return linear_attention(query, keys, values, _valid(scope))

    def weights(self, query: Tensor, keys: Tensor, scope: Scope) -> Tensor:
        """The weights (batch, heads, length, length) of that context; they are not negative, and add up to 1."""
        return linear_attention_weights(query, keys, _valid(scope))


def encoder_attention(config: TransformerConfig, kept: Sequence[int] | None) -> MultiHeadAttention:
    """The self-attention named by `config.self_attention`; `kept`: the heads that are left after pruning."""
    match config.self_attention:
        case "full":
            return MultiHeadAttention(config.d_model, config.n_heads, kept, scaled=config.scales_scores)
        case "window":
            return WindowedSelfAttention(config, kept)
        case "linear":
            return LinearSelfAttention(config.d_model, config.n_heads, kept)


def _valid(scope: Scope) -> Tensor:
    """(batch, length), which keys are real tokens: those that all queries may see."""
    assert scope.visible is not None
    return scope.visible[:, 0, 0]

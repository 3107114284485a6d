"""Attention: how a decoder reads the source, from one fixed vector to several heads.

All of it has the form  context = Σ_j weights_j · value_j,  weights = softmax over j of score(query, key_j);
the classes differ in the score. None keeps state between calls; keys, computed once per sentence, live in `Memory`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2attn.models.cells import complement_of_exponentials, exponentials_of
from seq2attn.models.positions import NO_RELATIVE_POSITIONS, RelativePositions
from seq2attn.models.products import Linear
from seq2attn.models.seq2seq import Memory


@dataclass(frozen=True)
class Scope:
    """Which keys each query may attend to, and how much it favours them; at most one field is set, by default none."""

    visible: Tensor | None = None
    """Boolean, broadcast to (batch, heads, target_len, source_len): True = may attend."""
    bias: Tensor | None = None
    """Added to the scores, broadcast like `visible`; −∞ = may not attend."""
    causal: bool = False
    """Query i may attend to keys 0 … i."""

    def with_bias(self, bias: Tensor | None) -> Scope:
        """The same scope with `bias` added to the scores of visible keys; unchanged for None."""
        if bias is None or self.visible is None:
            return self if bias is None else Scope(bias=bias)
        return Scope(bias=bias.masked_fill(~self.visible, float("-inf")))

    def of_heads(self, heads: Tensor | None) -> Scope:
        """The same scope with the bias of `heads` (n,) only, counted from 0; unchanged for None."""
        return self if heads is None or self.bias is None else Scope(bias=self.bias.index_select(-3, heads))

    def weights(self, scores: Tensor) -> Tensor:
        """Attention weights of `scores` (batch, heads, target_len, source_len): 0 where a query may not attend."""
        if self.bias is not None:
            return (scores + self.bias).softmax(dim=-1)
        if self.causal:
            return attention_weights(scores, torch.ones_like(scores[0, 0], dtype=torch.bool).tril())
        return attention_weights(scores, self.visible)


def attention_weights(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Softmax of `scores` (..., source_len) over the keys that are `visible` (Boolean, broadcast); 0 for all others."""
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    return scores.softmax(dim=-1)


class Context(nn.Module, ABC):
    """What an RNN decoder reads from the source at each target position."""

    feeds_cell: bool
    """True: the context is an input of the recurrent cell, computed from the decoder state before it.
    False: it is computed from the state after it, and is an input of the readout only.
    """

    @abstractmethod
    def precompute(self, memory: Memory) -> tuple[Tensor, ...]:
        """Tensors that are computed once per sentence and kept in `Memory.cached`, keys first."""

    @abstractmethod
    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Context (batch, target_len, d_model) for `query` (batch, target_len, d_model), and the attention weights.

        The weights are (batch, target_len, source_len); None without attention.
        """

    def for_readout(self, context: Tensor, states: Tensor) -> Tensor:
        """The readout's input made of `context`, given the decoder `states`; all (batch, target_len, d_model)."""
        return context


class FixedContext(Context):
    """No attention: the same vector at every position (Cho et al. 2014, section 2.2: c = the encoder's last state).

    Departure: before the readout, a gate computed from the decoder's state scales the vector element by element (after
    Tu et al. 2017, who gate contexts of attention), unless it is switched off. The baseline learns faster with it.
    """

    feeds_cell = True

    def __init__(self, d_model: int, gated: bool = True) -> None:
        """`gated`: with the gate."""
        super().__init__()
        self.gate = Linear(d_model, d_model) if gated else None

    def precompute(self, memory: Memory) -> tuple[Tensor, ...]:
        """Nothing: there are no keys."""
        return ()

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, None]:
        """The memory's summary at every target position; nothing else of the memory is read."""
        assert memory.summary is not None
        return memory.summary[:, None, :].expand(-1, query.shape[1], -1), None

    def for_readout(self, context: Tensor, states: Tensor) -> Tensor:
        """2 σ(W s + b) ⊙ context; the factor 2 makes an untrained gate 1 on average."""
        return context if self.gate is None else 2 * torch.sigmoid(self.gate(states)) * context


class Attention(Context):
    """A mean of the encoder states, weighted by the softmax of a score of query and key."""

    @abstractmethod
    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (batch, target_len, source_len) of `query` (batch, target_len, d) by `keys` (batch, source_len, d)."""

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Context (batch, target_len, d_model) and weights (batch, target_len, source_len), 0 on padding."""
        weights = attention_weights(self.score(query, memory.cached[0]), memory.visible_to()[:, 0])
        return weights @ memory.states, weights


# Of (batch, target_len, source_len, d_model), which additive scores sum over the last dimension.
_CACHED_ELEMENTS = 2**17


class AdditiveAttention(Attention):
    """score(s, h) = v · tanh(W s + U h)  (Bahdanau et al. 2015, section 3.1 and appendix A.1.2).

    Its context feeds the cell: s_i = f(s_{i-1}, y_{i-1}, c_i), c_i computed from s_{i-1}. Departure: U h has a bias.
    """

    feeds_cell = True

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.query_projection = Linear(d_model, d_model, bias=False)
        self.key_projection = Linear(d_model, d_model)
        self.v = nn.Parameter(torch.empty(d_model).uniform_(-1, 1) / math.sqrt(d_model))

    def precompute(self, memory: Memory) -> tuple[Tensor, ...]:
        """U h for every source position; without gradients also e^2Uh, which makes `forward` faster."""
        keys = self.key_projection(memory.states)
        exponentials = None if torch.is_grad_enabled() else exponentials_of(keys)
        return (keys,) if exponentials is None else (keys, exponentials)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Context and weights; without gradients from scores that differ from `score` by a constant."""
        of_query = None if len(memory.cached) == 1 else exponentials_of(self.query_projection(query))
        if of_query is None:
            return super().forward(query, memory)
        of_query, of_keys, factors = of_query[:, :, None], memory.cached[1][:, None], -2 * self.v
        # As many sentences at once as a processor's cache holds.
        n = max(1, _CACHED_ELEMENTS // (query.shape[1] * of_keys[0].numel()))
        pieces = zip(of_query.split(n), of_keys.split(n), strict=True)
        scores = torch.cat([complement_of_exponentials(*piece) @ factors for piece in pieces])
        weights = attention_weights(scores, memory.visible_to()[:, 0])
        return weights @ memory.states, weights

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores of all pairs of query and key."""
        return torch.tanh(self.query_projection(query)[:, :, None, :] + keys[:, None, :, :]) @ self.v


class DotAttention(Attention):
    """score(s, h) = s · h  (Luong et al. 2015, section 3.1, "dot")."""

    feeds_cell = False
    scale = 1.0
    """Factor of the products."""

    def precompute(self, memory: Memory) -> tuple[Tensor, ...]:
        """The states themselves."""
        return (memory.states,)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores of all pairs of query and key."""
        return query @ keys.transpose(1, 2) * self.scale


class GeneralAttention(DotAttention):
    """score(s, h) = s · W h  (Luong et al. 2015, section 3.1, "general")."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.key_projection = Linear(d_model, d_model, bias=False)

    def precompute(self, memory: Memory) -> tuple[Tensor, ...]:
        """W h for every source position."""
        return (self.key_projection(memory.states),)


class ScaledDotAttention(GeneralAttention):
    """score(s, h) = s · W h / √d_model: Luong's "general" with the scale of Vaswani et al. 2017, eq. 1."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.scale = 1.0 / math.sqrt(d_model)


class KeysValues(NamedTuple):
    """Keys and values of one layer's attention, each (batch, heads, length, d_head)."""

    keys: Tensor
    values: Tensor

    def append(self, later: KeysValues) -> KeysValues:
        """The same, followed by those of `later` positions."""
        return KeysValues(torch.cat((self.keys, later.keys), dim=2), torch.cat((self.values, later.values), dim=2))


ALL_KEYS = Scope()


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2.2).

    As in the paper, weights have no dropout; the output has (in `transformer.py`). A study of heads sets `gate`.
    """

    gate: Tensor | None
    """(heads,), or (batch, heads) for a gate of each sentence: each head's context is multiplied by its element before
    the output projection; None = no gate.

    A buffer, in the state_dict only while it is set. It may require gradients, or be an `nn.Parameter`.
    """

    kept_heads: Tensor | None
    """(heads,) which of the heads before pruning these are, counted from 0; None = all."""

    def __init__(self, d_model: int, n_heads: int, kept: Sequence[int] | None = None, scaled: bool = True) -> None:
        """`kept`: those of `n_heads` that are left, counted from 1, of the same width; `scaled`: by 1 / √d_head."""
        super().__init__()
        self.n_heads = n_heads if kept is None else len(kept)
        width = self.n_heads * (d_model // n_heads)
        self.scale = 1.0 / math.sqrt(d_model // n_heads) if scaled else 1.0
        self.query_projection = Linear(d_model, width)
        self.key_value_projection = Linear(d_model, 2 * width)
        self.output_projection = Linear(width, d_model)
        self.register_buffer("gate", None)
        self.register_buffer("kept_heads", None if kept is None else torch.tensor(kept) - 1, persistent=False)

    def keys_and_values(self, states: Tensor, relative: RelativePositions = NO_RELATIVE_POSITIONS) -> KeysValues:
        """Keys and values of `states` (batch, length, d_model); the keys are rotated as `relative` says."""
        keys, values = self.key_value_projection(states).chunk(2, dim=-1)
        return KeysValues(relative.rotate(self._split(keys)), self._split(values))

    def forward(
        self,
        inputs: Tensor,
        keys: Tensor,
        values: Tensor,
        scope: Scope = ALL_KEYS,
        relative: RelativePositions = NO_RELATIVE_POSITIONS,
        maps: list[Tensor] | None = None,
    ) -> Tensor:
        """Outputs (batch, target_len, d_model) for the queries of `inputs`, which have the same shape.

        `keys` and `values` (batch, heads, source_len, d_head) come from `keys_and_values`. `relative` rotates the
        queries. Given `maps`, the weights (batch, heads, target_len, source_len) are computed and appended to it;
        without, a fused kernel computes the context alone. The gate changes the context, never the weights.
        """
        query = relative.rotate(self._split(self.query_projection(inputs)))
        scope = scope.of_heads(self.kept_heads)
        if maps is None:
            context = self.context(query, keys, values, scope)
        else:
            weights = self.weights(query, keys, scope)
            maps.append(weights)
            context = weights @ values
        if self.gate is not None:
            context = context * self.gate.to(context.dtype).view(*self.gate.shape[:-1], self.n_heads, 1, 1)
        return self.output_projection(context.transpose(1, 2).flatten(2))

    def context(self, query: Tensor, keys: Tensor, values: Tensor, scope: Scope) -> Tensor:
        """Each head's context (batch, heads, target_len, d_head), without its weights."""
        mask = scope.visible if scope.bias is None else scope.bias
        return F.scaled_dot_product_attention(query, keys, values, mask, is_causal=scope.causal, scale=self.scale)

    def weights(self, query: Tensor, keys: Tensor, scope: Scope) -> Tensor:
        """The weights (batch, heads, target_len, source_len) of that context."""
        return scope.weights(query @ keys.transpose(2, 3) * self.scale)

    def _split(self, tensor: Tensor) -> Tensor:
        """(batch, length, heads · d_head) to (batch, heads, length, d_head)."""
        return tensor.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

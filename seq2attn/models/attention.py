"""Attention: how a decoder looks at the source, from one fixed vector to many heads.

All of it has the form  context = Σ_j weights_j · value_j,  weights = softmax over j of score(query, key_j);
the classes differ in the score. None keeps state: keys are projected once and live in `Memory`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2attn.models.positions import NO_ORDER, Order
from seq2attn.models.seq2seq import Memory

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


def attention_weights(scores: Tensor, visible: Tensor | None) -> Tensor:
    """Softmax of `scores` (..., source_len) over the visible positions; 0 where `visible` is False.

    A `visible` of numbers is added to the scores, −∞ where nothing is seen.
    """
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf")) if visible.dtype == torch.bool else scores + visible
    return scores.softmax(dim=-1)


class Context(nn.Module, ABC):
    """What an RNN decoder sees of the source at each target position."""

    feeds_cell: bool
    """True: the context enters the recurrent cell, so it is computed from the state before it.
    False: it is computed from the state after it, and enters the readout only.
    """

    @abstractmethod
    def project(self, memory: Memory) -> tuple[Tensor, ...]:
        """What is computed once a sentence and kept in `Memory.projected`."""

    @abstractmethod
    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Context (batch, target_len, d_model) for `query` (batch, target_len, d_model), and the weights.

        The weights are (batch, target_len, source_len), or None where there are none.
        """

    def for_readout(self, context: Tensor, states: Tensor) -> Tensor:
        """What the readout sees of `context` in decoder `states`, both (batch, target_len, d_model)."""
        return context


class FixedContext(Context):
    """No attention: the same vector at every position (Cho et al. 2014, section 2.2: c = the encoder's last state).

    The readout sees it through a gate of the decoder's state (as Tu et al. 2017 gate contexts): which parts of the
    vector matter now. The baseline learns sooner so.
    """

    feeds_cell = True

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, d_model)

    def project(self, memory: Memory) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, None]:
        """The summary (batch, d_model) at every target position; nothing else of the memory is read."""
        assert memory.summary is not None
        return memory.summary[:, None, :].expand(-1, query.shape[1], -1), None

    def for_readout(self, context: Tensor, states: Tensor) -> Tensor:
        """2 σ(W s) ⊙ context; a gate starts at 1 on average."""
        return 2 * torch.sigmoid(self.gate(states)) * context


class Attention(Context):
    """A weighted mean of the encoder states, weighted by a score of query and key."""

    @abstractmethod
    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (batch, target_len, source_len)."""

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Context and weights."""
        weights = attention_weights(self.score(query, memory.projected[0]), memory.source_valid[:, None, :])
        return weights @ memory.states, weights


class AdditiveAttention(Attention):
    """score(s, h) = v · tanh(W s + U h)  (Bahdanau et al. 2015, section 3.1 and appendix A.1.2).

    The context that it gives feeds the cell: s_i = f(s_{i-1}, y_{i-1}, c_i), where c_i comes from s_{i-1}.
    """

    feeds_cell = True

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.query_projection = nn.Linear(d_model, d_model, bias=False)
        self.key_projection = nn.Linear(d_model, d_model)
        self.v = nn.Parameter(torch.empty(d_model).uniform_(-1, 1) / math.sqrt(d_model))

    def project(self, memory: Memory) -> tuple[Tensor, ...]:
        """U h for every source position; without gradients also what makes `forward` fast."""
        keys = self.key_projection(memory.states)
        exponentials = None if torch.is_grad_enabled() else exponentials_of(keys)
        return (keys,) if exponentials is None else (keys, exponentials)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Context and weights; in translation with other scores, which differ from `score` by a constant."""
        if len(memory.projected) == 1:
            return super().forward(query, memory)
        keys, exponentials = (tensor[:, None] for tensor in memory.projected)
        query = self.query_projection(query)[:, :, None, :]
        scores = complement_of_tanh(query, keys, exponentials) @ (-2 * self.v)
        weights = attention_weights(scores, memory.source_valid[:, None, :])
        return weights @ memory.states, weights

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores of every pair of query and key."""
        return torch.tanh(self.query_projection(query)[:, :, None, :] + keys[:, None, :, :]) @ self.v


class DotAttention(Attention):
    """score(s, h) = s · h  (Luong et al. 2015, section 3.1, "dot")."""

    feeds_cell = False
    scale = 1.0
    """What the products are multiplied with."""

    def project(self, memory: Memory) -> tuple[Tensor, ...]:
        """The states themselves."""
        return (memory.states,)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores of every pair of query and key."""
        return query @ keys.transpose(1, 2) * self.scale


class GeneralAttention(DotAttention):
    """score(s, h) = s · W h  (Luong et al. 2015, section 3.1, "general")."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.key_projection = nn.Linear(d_model, d_model, bias=False)

    def project(self, memory: Memory) -> tuple[Tensor, ...]:
        """W h for every source position."""
        return (self.key_projection(memory.states),)


class ScaledDotAttention(GeneralAttention):
    """score(s, h) = s · W h / √d_model: Luong's "general" with the scale of Vaswani et al. 2017, eq. 1."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.scale = 1.0 / math.sqrt(d_model)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2).

    As in the paper there is no dropout on the weights, only on the output (in `transformer.py`).
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_value_projection = nn.Linear(d_model, 2 * d_model)
        self.output_projection = nn.Linear(d_model, d_model)

    def keys_and_values(self, states: Tensor, order: Order = NO_ORDER) -> tuple[Tensor, Tensor]:
        """Keys and values, each (batch, heads, length, d_head), of `states` (batch, length, d_model).

        Keys are turned as `order` says, once and for all queries that will meet them.
        """
        keys, values = self.key_value_projection(states).chunk(2, dim=-1)
        return order.turn(self._split(keys)), self._split(values)

    def forward(
        self,
        inputs: Tensor,
        keys: Tensor,
        values: Tensor,
        visible: Tensor | None = None,
        causal: bool = False,
        maps: list[Tensor] | None = None,
        order: Order = NO_ORDER,
    ) -> Tensor:
        """Outputs (batch, target_len, d_model) for the queries `inputs`, of the same shape.

        `visible`: (batch, 1 or heads, 1 or target_len, source_len), True = may attend; or numbers that are added to the
        scores. `causal`: position i sees keys up to i. `order` turns the queries. The weights (batch, heads,
        target_len, source_len) are computed and added to `maps` only if it is given.
        """
        query = order.turn(self._split(self.query_projection(inputs)))
        if maps is None:
            context = F.scaled_dot_product_attention(query, keys, values, attn_mask=visible, is_causal=causal)
        else:
            if causal:
                visible = torch.ones(query.shape[2], keys.shape[2], dtype=torch.bool, device=query.device).tril()
            weights = attention_weights(query @ keys.transpose(2, 3) / math.sqrt(query.shape[-1]), visible)
            maps.append(weights)
            context = weights @ values
        return self.output_projection(context.transpose(1, 2).flatten(2))

    def _split(self, tensor: Tensor) -> Tensor:
        """(batch, length, d_model) to (batch, heads, length, d_head)."""
        return tensor.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

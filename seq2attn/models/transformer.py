"""The transformer (Vaswani et al. 2017): attention is all that carries a word to another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2attn.config.schema import TransformerConfig
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.embedding import Dropout, Embeddings
from seq2attn.models.positions import Order, build_positions
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq, TeacherForcedBatch


class Residual(nn.Module):
    """x + f(norm(x)) (pre-norm, Xiong et al. 2020) or norm(x + f(x)) (post-norm, the paper's), f dropped out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        self.pre_norm = config.norm == "pre"

    def forward(self, inputs: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """`inputs` (batch, length, d_model) with the output of `sublayer` added."""
        if self.pre_norm:
            return inputs + self.dropout(sublayer(self.norm(inputs)))
        return self.norm(inputs + self.dropout(sublayer(inputs)))


class FeedForward(nn.Module):
    """max(0, x W₁ + b₁) W₂ + b₂ at each position (Vaswani et al. 2017, eq. 2)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d_ff = config.d_ff or 4 * config.d_model
        self.expand = nn.Linear(config.d_model, d_ff)
        self.contract = nn.Linear(d_ff, config.d_model)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the shape of `inputs`."""
        return self.contract(torch.relu(self.expand(inputs)))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(config.d_model, config.n_heads)
        self.feed_forward = FeedForward(config)
        self.around_self, self.around_feed_forward = Residual(config), Residual(config)

    def forward(self, states: Tensor, visible: Tensor, order: Order, maps: list[Tensor] | None) -> Tensor:
        """New states (batch, source_len, d_model)."""

        def look_around(inputs: Tensor) -> Tensor:
            keys, values = self.self_attention.keys_and_values(inputs, order)
            return self.self_attention(inputs, keys, values, visible, maps=maps, order=order)

        return self.around_feed_forward(self.around_self(states, look_around), self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, then cross-attention to the source, then feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(config.d_model, config.n_heads)
        self.cross_attention = MultiHeadAttention(config.d_model, config.n_heads)
        self.feed_forward = FeedForward(config)
        self.around_self, self.around_cross, self.around_feed_forward = (Residual(config) for _ in range(3))

    def forward(
        self,
        states: Tensor,
        past: tuple[Tensor, Tensor] | None,
        seen: Tensor | None,
        order: Order,
        cross: tuple[Tensor, Tensor],
        visible: Tensor,
        maps: AttentionMaps | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """New states (batch, target_len, d_model), and the keys and values of all positions so far.

        `past` holds those of the positions before `states`, which are then a single position; `cross` the source's.
        `seen`: what self-attention sees, where it is more than that no position sees a later one.
        """
        so_far: list[tuple[Tensor, Tensor]] = []

        def look_back(inputs: Tensor) -> Tensor:
            keys, values = self.self_attention.keys_and_values(inputs, order)
            if past is not None:
                keys, values = torch.cat((past[0], keys), dim=2), torch.cat((past[1], values), dim=2)
            so_far.append((keys, values))
            causal = past is None and seen is None
            return self.self_attention(
                inputs, keys, values, seen, causal, None if maps is None else maps.decoder, order
            )

        def look_across(inputs: Tensor) -> Tensor:
            return self.cross_attention(inputs, *cross, visible, maps=None if maps is None else maps.cross)

        states = self.around_self(states, look_back)
        states = self.around_cross(states, look_across)
        return self.around_feed_forward(states, self.feed_forward), so_far[0]


class TransformerSeq2Seq(Seq2Seq):
    """Encoder and decoder of `n_layers` each; a last normalisation closes each stack where norms come first."""

    def __init__(self, config: TransformerConfig, embeddings: Embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.output_weight = embeddings.output_weight
        self.output_bias = nn.Parameter(torch.zeros(self.output_weight.shape[0]))
        self.positions = build_positions(config)
        self.max_target_len = config.max_positions if config.positions == "learned" else None
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.encoder_norm, self.decoder_norm = (
            nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity() for _ in range(2)
        )
        for module in (*self.encoder.modules(), *self.decoder.modules()):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def encode(self, source_ids: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory; for each decoder layer the keys and values of its cross-attention stand in `projected`."""
        states = self.dropout(self.positions(self.embeddings.source(source_ids)))
        order = self.positions.order(states)
        visible = order.limit(source_valid[:, None, None, :])
        for layer in self.encoder:
            states = layer(states, visible, order, None if maps is None else maps.encoder)
        states = self.encoder_norm(states)
        projected: list[Tensor] = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            projected.extend(layer.cross_attention.keys_and_values(states))
        return Memory(states, source_valid, projected=tuple(projected))

    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        """Hidden states of all target positions at once; padding comes last, where causality hides it."""
        memory = self.encode(batch.source_ids, batch.source_valid, maps)
        hidden, _ = self._decode(batch.target_input, self.start(memory), maps)
        return hidden

    def start(self, memory: Memory) -> DecoderState:
        """No history yet."""
        return DecoderState(memory, ())

    def advance(self, token_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One target position, with the keys and values of the earlier ones kept."""
        hidden, state = self._decode(token_ids[:, None], state, None)
        return self.project(hidden[:, 0]), state

    def _decode(
        self, target_input: Tensor, state: DecoderState, maps: AttentionMaps | None
    ) -> tuple[Tensor, DecoderState]:
        """Hidden states of `target_input` (batch, length); the length is 1 where there is a history."""
        memory = state.memory
        visible = memory.source_valid[:, None, None, :]
        states = self.dropout(self.positions(self.embeddings.target(target_input), state.position))
        order = self.positions.order(states, state.position)
        seen = None if order.bias is None else order.limit(_not_after(states.shape[1], state.position, states.device))
        history: list[Tensor] = []
        for index, layer in enumerate(self.decoder):
            pair = slice(2 * index, 2 * index + 2)
            past = state.history[pair] or None
            states, so_far = layer(states, past, seen, order, memory.projected[pair], visible, maps)
            history.extend(so_far)
        after = DecoderState(memory, tuple(history), state.position + target_input.shape[1], position_dim=2)
        return self.decoder_norm(states), after


def _not_after(length: int, first: int, device: torch.device) -> Tensor:
    """(length, first + length) whether a key stands at a position up to the query's; queries begin at `first`."""
    return torch.ones(length, first + length, dtype=torch.bool, device=device).tril(first)

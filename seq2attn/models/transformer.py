"""The transformer (Vaswani et al. 2017): words exchange information by attention only."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from seq2attn.config.models import TransformerConfig
from seq2attn.models.attention import ALL_KEYS, KeysValues, MultiHeadAttention, Scope
from seq2attn.models.efficient import encoder_attention
from seq2attn.models.embedding import Dropout, Embeddings
from seq2attn.models.positions import RelativePositions, build_positions
from seq2attn.models.products import Linear
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq, TeacherForcedBatch


class Residual(nn.Module):
    """What surrounds a sub-layer f: its norm, dropout, and the residual connection.

    Pre-norm (Xiong et al. 2020):  x + dropout(f(norm(x))).  Post-norm (Vaswani et al. 2017, section 3.1):
    norm(x + dropout(f(x))).  A layer writes f between `before` and `after`.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        self.pre_norm = config.norm == "pre"

    def before(self, states: Tensor) -> Tensor:
        """The input of f: `states` (batch, length, d_model), normalised where the norm comes first."""
        return self.norm(states) if self.pre_norm else states

    def after(self, states: Tensor, outputs: Tensor) -> Tensor:
        """`states` plus the `outputs` of f, both (batch, length, d_model), normalised where the norm comes last."""
        states = states + self.dropout(outputs)
        return states if self.pre_norm else self.norm(states)


class FeedForward(nn.Module):
    """max(0, x W₁ + b₁) W₂ + b₂ at each position (Vaswani et al. 2017, eq. 2)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d_ff = config.d_ff or 4 * config.d_model
        self.expand = Linear(config.d_model, d_ff)
        self.contract = Linear(d_ff, config.d_model)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the same shape as `inputs` (batch, length, d_model)."""
        return self.contract(torch.relu(self.expand(inputs)))


def _attention(
    config: TransformerConfig, kind: Literal["encoder", "decoder", "cross"], layer: int
) -> MultiHeadAttention:
    kept = None if config.kept_heads is None else config.heads(kind)[layer]
    if kind == "encoder":
        return encoder_attention(config, kept)
    return MultiHeadAttention(config.d_model, config.n_heads, kept, scaled=config.scales_scores)


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward (Vaswani et al. 2017, section 3.1)."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.self_attention = _attention(config, "encoder", index)
        self.feed_forward = FeedForward(config)
        self.around_self, self.around_feed_forward = Residual(config), Residual(config)

    def forward(self, states: Tensor, scope: Scope, relative: RelativePositions, maps: list[Tensor] | None) -> Tensor:
        """New states (batch, source_len, d_model); appends attention weights to `maps` if given."""
        inputs = self.around_self.before(states)
        keys, values = self.self_attention.keys_and_values(inputs, relative)
        states = self.around_self.after(states, self.self_attention(inputs, keys, values, scope, relative, maps))
        inputs = self.around_feed_forward.before(states)
        return self.around_feed_forward.after(states, self.feed_forward(inputs))


class DecoderLayer(nn.Module):
    """Causal self-attention, then cross-attention to the source, then feed-forward (Vaswani et al., section 3.1)."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.self_attention = _attention(config, "decoder", index)
        self.cross_attention = _attention(config, "cross", index)
        self.feed_forward = FeedForward(config)
        self.around_self, self.around_cross, self.around_feed_forward = (Residual(config) for _ in range(3))

    def forward(
        self,
        states: Tensor,
        scope: Scope,
        relative: RelativePositions,
        past: KeysValues | None,
        source: KeysValues,
        source_scope: Scope,
        maps: AttentionMaps | None,
    ) -> tuple[Tensor, KeysValues]:
        """New states (batch, target_len, d_model), and the cache: self-attention's keys and values so far.

        `past`: the cache of the positions before `states`. `scope`, `relative`: of self-attention over both.
        `source`, `source_scope`: keys and values of cross-attention, and which of them are real tokens.
        """
        inputs = self.around_self.before(states)
        cache = self.self_attention.keys_and_values(inputs, relative)
        if past is not None:
            cache = past.append(cache)
        of_self, of_cross = (None, None) if maps is None else (maps.decoder, maps.cross)
        states = self.around_self.after(states, self.self_attention(inputs, *cache, scope, relative, of_self))
        # Hypotheses that share a source look at it together, as the positions of one target would.
        inputs = self.around_cross.before(states).reshape(source.keys.shape[0], -1, states.shape[2])
        looked = self.cross_attention(inputs, *source, source_scope, maps=of_cross).reshape(states.shape)
        states = self.around_cross.after(states, looked)
        inputs = self.around_feed_forward.before(states)
        return self.around_feed_forward.after(states, self.feed_forward(inputs)), cache


class TransformerSeq2Seq(Seq2Seq):
    """Encoder and decoder of `n_layers` each; with pre-norm, a last norm closes each stack."""

    def __init__(self, config: TransformerConfig, embeddings: Embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.output_weight = embeddings.output_weight
        self.output_bias = nn.Parameter(torch.zeros(self.output_weight.shape[0]))
        self.positions = build_positions(config)
        self.max_target_len = config.max_positions if config.positions == "learned" else None
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config, index) for index in range(config.n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config, index) for index in range(config.n_layers))
        self.encoder_norm, self.decoder_norm = (
            nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity() for _ in range(2)
        )
        for module in (*self.encoder.modules(), *self.decoder.modules()):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def encode_embedded(self, embedded: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory; `cached` holds the keys and values of cross-attention, layer by layer."""
        states = self.dropout(self.positions(embedded))
        relative = self.positions.relative(states)
        scope = Scope(visible=source_valid[:, None, None, :]).with_bias(relative.bias)
        for layer in self.encoder:
            states = layer(states, scope, relative, None if maps is None else maps.encoder)
        states = self.encoder_norm(states)
        cached: list[Tensor] = []
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            cached.extend(layer.cross_attention.keys_and_values(states))
        return Memory(states, source_valid, cached=tuple(cached))

    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        """Hidden states of all target positions at once; padding comes last, so no real position attends to it."""
        memory = self.encode(batch.source_ids, batch.source_valid, maps)
        hidden, _ = self._decode(batch.target_input, self.start(memory), maps)
        return hidden

    def start(self, memory: Memory) -> DecoderState:
        """The state without history."""
        return DecoderState(memory, ())

    def start_beams(self, memory: Memory, beam_size: int) -> DecoderState:
        """The state without history; the hypotheses of a sentence share its memory."""
        return self.start(memory).share(beam_size)

    def advance(
        self, token_ids: Tensor, state: DecoderState, maps: AttentionMaps | None = None
    ) -> tuple[Tensor, DecoderState]:
        """One target position; the history holds the keys and values of the earlier ones."""
        hidden, state = self._decode(token_ids[:, None], state, maps)
        return self.project(hidden[:, 0]), state

    def _decode(
        self, target_input: Tensor, state: DecoderState, maps: AttentionMaps | None
    ) -> tuple[Tensor, DecoderState]:
        """Hidden states of `target_input` (batch, length), and the state after it.

        With a history, the length is 1.
        """
        memory, past = state.memory, _by_layer(state.history)
        states = self.dropout(self.positions(self.embeddings.target(target_input), state.position))
        relative = self.positions.relative(states, state.position)
        scope = _causal_scope(states, state.position, relative.bias)
        history: list[Tensor] = []
        for index, (layer, source) in enumerate(zip(self.decoder, _by_layer(memory.cached), strict=True)):
            past_of_layer = past[index] if past else None
            source_scope = Scope(visible=memory.visible_to(index))
            states, cache = layer(states, scope, relative, past_of_layer, source, source_scope, maps)
            history.extend(cache)
        position = state.position + target_input.shape[1]
        after = replace(state, history=tuple(history), position=position, position_dim=2)
        return self.decoder_norm(states), after


def _by_layer(tensors: tuple[Tensor, ...]) -> list[KeysValues]:
    """The keys and values of each layer, which alternate in `tensors`."""
    return [KeysValues(*pair) for pair in zip(tensors[0::2], tensors[1::2], strict=True)]


def _causal_scope(states: Tensor, first: int, bias: Tensor | None) -> Scope:
    """The scope of the queries of `states` (batch, length, d_model): the keys up to each one's own position.

    Queries begin at position `first`, keys at 0.
    """
    length = states.shape[1]
    if bias is None:  # a single query after `first` others sees all keys so far
        return ALL_KEYS if first > 0 else Scope(causal=True)
    visible = torch.ones(length, first + length, dtype=torch.bool, device=states.device).tril(first)
    return Scope(visible=visible).with_bias(bias)

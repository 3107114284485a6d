"""The recurrent encoder-decoder, with or without attention; the only difference is its `Context`.

source ids ──> BidirectionalEncoder ──> Memory (states, summary)
                                          │
target ids ──> cells ──> readout <── Context (fixed vector, additive, dot, general, scaled dot)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seq2attn.config.models import RnnConfig
from seq2attn.models.attention import (
    AdditiveAttention,
    Context,
    DotAttention,
    FixedContext,
    GeneralAttention,
    ScaledDotAttention,
)
from seq2attn.models.embedding import Embeddings, VariationalDropout
from seq2attn.models.products import Linear
from seq2attn.models.recurrent import RecurrentStack, recurrent_layer, run_layer
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq, TeacherForcedBatch
from seq2attn.models.unrolled import unroll


class BidirectionalEncoder(nn.Module):
    """Bidirectional RNN (Bahdanau et al. 2015, section 3.2): each direction computes half of every state.

    The backward direction is a second RNN over the reversed sentence, with padding still at its end. So neither
    direction reads padding before its last real word, and the fused kernel runs, which packed sequences rule out.
    """

    def __init__(self, config: RnnConfig) -> None:
        super().__init__()
        self.forwards = nn.ModuleList()
        self.backwards = nn.ModuleList()
        for _ in range(config.n_layers):
            self.forwards.append(recurrent_layer(config.cell, config.d_model, config.d_model // 2))
            self.backwards.append(recurrent_layer(config.cell, config.d_model, config.d_model // 2))
        self.dropout = VariationalDropout(config.dropout)
        self.summary = config.summary
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, embedded: Tensor, source_valid: Tensor) -> Memory:
        """The memory of `embedded` (batch, source_len, d_model)."""
        lengths = source_valid.sum(dim=1)
        mirror = mirrored_positions(lengths, embedded.shape[1])
        states = embedded
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            states = self.dropout(states)
            from_left, _ = run_layer(forwards, states)
            from_right, _ = run_layer(backwards, take_positions(states, mirror))
            states = torch.cat((from_left, take_positions(from_right, mirror)), dim=-1)
        if self.summary == "mean":
            weights = source_valid.to(states.dtype) / lengths[:, None]
            return Memory(states, source_valid, self.norm((weights[:, None, :] @ states)[:, 0]))
        last = lengths[:, None] - 1
        ends = torch.cat([take_positions(direction, last)[:, 0] for direction in (from_left, from_right)], dim=-1)
        return Memory(states, source_valid, self.norm(ends))


def mirrored_positions(lengths: Tensor, length: int) -> Tensor:
    """(batch, length) the position that each position takes when the first `lengths` (batch,) are reversed."""
    positions = torch.arange(length, device=lengths.device)[None, :]
    mirrored = lengths[:, None] - 1 - positions
    return torch.where(mirrored >= 0, mirrored, positions)


def take_positions(states: Tensor, positions: Tensor) -> Tensor:
    """The `states` (batch, length, d) at `positions` (batch, n)."""
    batch, length, width = states.shape
    rows = positions + torch.arange(batch, device=positions.device)[:, None] * length
    return states.reshape(-1, width).index_select(0, rows.flatten()).view(*positions.shape, width)


class RnnSeq2Seq(Seq2Seq):
    """Recurrent encoder and decoder. Departures from the papers:

    - All variants have the readout of Luong et al. 2015, eq. 5: tanh(W [context; state]), so that only the context
      differs between them (Bahdanau et al. 2015: a maxout layer that reads the last word as well).
    - The decoder's first state is computed from the summary of both directions (Bahdanau et al.: the backward one's).
    - The summary is normalised (Ba et al. 2016): embeddings in the cell's input are much larger than a mean of states.
    - A gate scales the fixed vector before the readout (`FixedContext`), unless `context_gate` is off.
    """

    def __init__(self, config: RnnConfig, embeddings: Embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.output_weight = embeddings.output_weight
        self.output_bias = nn.Parameter(torch.zeros(self.output_weight.shape[0]))
        self.encoder = BidirectionalEncoder(config)
        self.context = build_context(config)
        self.input_feeding = config.input_feeding and not self.context.feeds_cell
        n_inputs = 1 + self.context.feeds_cell + self.input_feeding
        self.cells = RecurrentStack(
            config.cell, n_inputs * config.d_model, config.d_model, config.n_layers, config.dropout
        )
        self.n_state_parts = 2 if config.cell == "lstm" else 1
        self.first_state = Linear(config.d_model, self.n_state_parts * config.n_layers * config.d_model)
        self.readout = Linear(2 * config.d_model, config.d_model)
        self.dropout = VariationalDropout(config.dropout)

    @property
    def stepwise(self) -> bool:
        """Whether a state depends on a context that depends on the state before, so that positions run one by one."""
        return self.input_feeding or (self.context.feeds_cell and not isinstance(self.context, FixedContext))

    def encode_embedded(self, embedded: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory, with the keys of the attention; appends nothing to `maps`: the encoder has no attention."""
        memory = self.encoder(embedded, source_valid)
        return Memory(memory.states, source_valid, memory.summary, self.context.precompute(memory))

    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None, unroll: Any = unroll) -> Tensor:
        """Hidden states of all target positions, in one pass where the model allows it.

        For a stepwise model with one layer and without `maps`, `unroll` computes the loop below, faster.
        """
        state = self.start(self.encode(batch.source_ids, batch.source_valid))
        embedded = self.dropout(self.embeddings.target(batch.target_input))
        if self.stepwise and maps is None and len(self.cells.layers) == 1:
            layer = self.cells.layers[0]
            assert isinstance(layer, nn.GRU | nn.LSTM)
            return self.dropout(unroll(layer, self.context, self.readout, embedded, state))
        masks = self.cells.draw_dropout_masks(embedded)
        pieces = embedded.split(1, dim=1) if self.stepwise else (embedded,)
        hidden: list[Tensor] = []
        weights: list[Tensor | None] = []
        for piece in pieces:
            output, state, weights_of_piece = self._decode(piece, state, masks)
            hidden.append(output)
            weights.append(weights_of_piece)
        if maps is not None:
            by_position = [tensor for tensor in weights if tensor is not None]
            maps.cross.extend([torch.cat(by_position, dim=1)[:, None]] if by_position else [])
        return self.dropout(torch.cat(hidden, dim=1))

    def compiled_forward(self) -> Callable[[TeacherForcedBatch], Tensor]:
        """The same of what surrounds the recurrent layers: compiled, each of their positions would be another graph."""
        loop = torch.compiler.disable(unroll)
        return torch.compile(lambda batch: self.forward(batch, unroll=loop), dynamic=True)

    def start(self, memory: Memory) -> DecoderState:
        """First states of all layers, tanh(W summary + b); input feeding starts with zeros."""
        assert memory.summary is not None
        summary = memory.summary
        first = torch.tanh(self.first_state(summary)).unflatten(1, (self.n_state_parts, len(self.cells.layers), -1))
        attentional = (summary.new_zeros(summary.shape[0], 1, summary.shape[1]),) if self.input_feeding else ()
        return DecoderState(memory, (*first.unbind(1), *attentional))

    def start_beams(self, memory: Memory, beam_size: int) -> DecoderState:
        """First states; the hypotheses of a sentence share its memory."""
        return self.start(memory).share(beam_size)

    def advance(
        self, token_ids: Tensor, state: DecoderState, maps: AttentionMaps | None = None
    ) -> tuple[Tensor, DecoderState]:
        """One target position."""
        embedded = self.embeddings.target(token_ids)[:, None, :]
        hidden, state, weights = self._decode(embedded, state, self.cells.draw_dropout_masks(embedded))
        if maps is not None and weights is not None:
            maps.cross.append(weights[:, None])
        return self.project(hidden[:, 0]), state

    def _decode(
        self, embedded: Tensor, state: DecoderState, masks: list[Tensor]
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Hidden states of the positions `embedded` (batch, length, d_model), the state after them, attention weights.

        The length is 1 if the model is `stepwise`.
        """
        recurrent_state = state.history[: self.n_state_parts]
        inputs = [embedded]
        weights: Tensor | None = None
        if self.context.feeds_cell:
            state_before = recurrent_state[0][:, -1:].expand(-1, embedded.shape[1], -1)
            context, weights = self._look(state_before, state)
            inputs.append(context)
        if self.input_feeding:
            inputs.append(state.history[-1])
        states, recurrent_state = self.cells(torch.cat(inputs, dim=-1), recurrent_state, masks)
        if not self.context.feeds_cell:
            context, weights = self._look(states, state)
        hidden = torch.tanh(self.readout(torch.cat((self.context.for_readout(context, states), states), dim=-1)))
        history = (*recurrent_state, hidden[:, -1:]) if self.input_feeding else recurrent_state
        return hidden, replace(state, history=history, position=state.position + embedded.shape[1]), weights

    def _look(self, query: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Context and attention weights of `query` (rows, length, d_model).

        Hypotheses that share a memory look at it together, as the positions of one target would.
        """
        memory = state.memory
        context, weights = self.context(query.reshape(memory.states.shape[0], -1, query.shape[2]), memory)
        return context.reshape(query.shape), weights


def build_context(config: RnnConfig) -> Context:
    """The context named by `config.attention`."""
    match config.attention:
        case "none":
            return FixedContext(config.d_model, config.context_gate)
        case "additive":
            return AdditiveAttention(config.d_model)
        case "dot":
            return DotAttention()
        case "general":
            return GeneralAttention(config.d_model)
        case "scaled_dot":
            return ScaledDotAttention(config.d_model)

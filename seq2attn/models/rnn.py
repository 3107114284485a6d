"""The recurrent encoder-decoder, with attention and without; the difference is one part, `Context`.

source ids ──> BidirectionalEncoder ──> Memory (states, summary)
                                          │
target ids ──> cells ──> readout <── Context (fixed vector, additive, dot, general, scaled dot)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2attn.config.schema import RnnConfig
from seq2attn.models.attention import (
    AdditiveAttention,
    Context,
    DotAttention,
    FixedContext,
    GeneralAttention,
    ScaledDotAttention,
)
from seq2attn.models.cells import CELLS
from seq2attn.models.embedding import Embeddings, SharedDropout
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq, TeacherForcedBatch
from seq2attn.models.unrolled import unroll

CellState = tuple[Tensor, ...]
"""(hidden,) of GRU layers or (hidden, cell) of LSTM layers, each (batch, n_layers, units)."""


def recurrent_layer(kind: str, d_input: int, units: int) -> nn.GRU | nn.LSTM:
    """One layer of the library's fused RNN with weights that learn fast.

    Recurrent matrices start orthogonal, each gate apart (Saxe et al. 2014); an LSTM's forget gates start open
    (bias 1, Jozefowicz et al. 2015). The GRU is PyTorch's, which resets after the matrix product.
    """
    layer = (nn.LSTM if kind == "lstm" else nn.GRU)(d_input, units, batch_first=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            for gate in parameter.detach().split(units):
                (nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_)(gate)
        else:
            nn.init.zeros_(parameter)
            if kind == "lstm" and name.startswith("bias_ih"):
                nn.init.ones_(parameter.detach()[units : 2 * units])
    return layer


def whole_sequence(layer: nn.Module, inputs: Tensor, before: CellState) -> tuple[Tensor, CellState]:
    """States (batch, length, units) of one layer over `inputs`, and the last ones, each (batch, units)."""
    first = tuple(part[None].contiguous() for part in before)
    states, last = layer(inputs, first if len(first) > 1 else first[0])
    return states, tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))


def one_step(layer: nn.Module, inputs: Tensor, before: CellState) -> tuple[Tensor, CellState]:
    """The same for a length of 1, without gradients; the fused kernel would prepare its weights anew at each call."""
    w_input, w_recurrent, b_input, b_recurrent = layer.parameters()
    step, _ = CELLS["lstm" if isinstance(layer, nn.LSTM) else "gru"]
    from_input = F.linear(inputs[:, 0], w_input, b_input)
    hidden, cell, _ = step(from_input, F.linear(before[0], w_recurrent, b_recurrent), before[0], before[-1])
    return hidden[:, None, :], (hidden, cell)[: len(before)]


class RecurrentStack(nn.Module):
    """Layers of cells that read from left to right."""

    def __init__(self, kind: str, d_input: int, units: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.units = units
        self.layers = nn.ModuleList(
            recurrent_layer(kind, d_input if index == 0 else units, units) for index in range(n_layers)
        )
        self.dropout = SharedDropout(dropout)

    def draw_kept(self, like: Tensor) -> list[Tensor]:
        """Dropout (batch, 1, units) for the input of each layer but the first: 0, or the scale of what is kept.

        Drawn once for all steps.
        """
        ones = like.new_ones(like.shape[0], 1, self.units)
        return [self.dropout(ones) for _ in self.layers[1:]]

    def forward(self, inputs: Tensor, state: CellState, kept: list[Tensor]) -> tuple[Tensor, CellState]:
        """States (batch, length, units) of the top layer over `inputs` (batch, length, d_input), and the last ones."""
        after: list[CellState] = []
        for index, layer in enumerate(self.layers):
            if index > 0:
                inputs = inputs * kept[index - 1]
            before = tuple(part[:, index] for part in state)
            if inputs.shape[1] == 1 and not torch.is_grad_enabled():
                inputs, last = one_step(layer, inputs, before)
            else:
                inputs, last = whole_sequence(layer, inputs, before)
            after.append(last)
        return inputs, tuple(torch.stack(parts, dim=1) for parts in zip(*after, strict=True))


class BidirectionalEncoder(nn.Module):
    """Bidirectional RNN (Bahdanau et al. 2015, section 3.2): half of each state has read from either end.

    The backward direction is a second RNN over the sentence reversed in place, its padding left at the end. So
    neither direction meets padding before its last real word, and no packed sequence keeps the library's fused
    kernel from being used.
    """

    def __init__(self, config: RnnConfig) -> None:
        super().__init__()
        self.forwards = nn.ModuleList()
        self.backwards = nn.ModuleList()
        for _ in range(config.n_layers):
            self.forwards.append(recurrent_layer(config.cell, config.d_model, config.d_model // 2))
            self.backwards.append(recurrent_layer(config.cell, config.d_model, config.d_model // 2))
        self.dropout = SharedDropout(config.dropout)
        self.summary = config.summary
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, embedded: Tensor, source_valid: Tensor) -> Memory:
        """The memory of `embedded` (batch, source_len, d_model)."""
        lengths = source_valid.sum(dim=1)
        mirror = mirrored_positions(lengths, embedded.shape[1])
        states = embedded
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            states = self.dropout(states)
            from_left, _ = forwards(states)
            from_right, _ = backwards(take_positions(states, mirror))
            states = torch.cat((from_left, take_positions(from_right, mirror)), dim=-1)
        if self.summary == "mean":
            weights = source_valid.to(states.dtype) / lengths[:, None]
            return Memory(states, source_valid, self.norm((weights[:, None, :] @ states)[:, 0]))
        rows = torch.arange(len(lengths), device=lengths.device)
        ends = torch.cat((from_left[rows, lengths - 1], from_right[rows, lengths - 1]), dim=-1)
        return Memory(states, source_valid, self.norm(ends))


def mirrored_positions(lengths: Tensor, length: int) -> Tensor:
    """(batch, length) the position that each one takes when the first `lengths` (batch,) are reversed."""
    positions = torch.arange(length, device=lengths.device)[None, :]
    mirrored = lengths[:, None] - 1 - positions
    return torch.where(mirrored >= 0, mirrored, positions)


def take_positions(states: Tensor, positions: Tensor) -> Tensor:
    """`states` (batch, length, d) with `positions` (batch, length) taken along the length."""
    batch, length, width = states.shape
    rows = positions + torch.arange(batch, device=positions.device)[:, None] * length
    return states.reshape(-1, width).index_select(0, rows.flatten()).view(batch, length, width)


class RnnSeq2Seq(Seq2Seq):
    """Encoder and decoder of one kind of cell. Departures from the papers:

    - the readout of all variants is Luong et al. 2015, eq. 5: tanh(W [context; state]) (Bahdanau et al. 2015 has a
      maxout layer that sees the last word as well), so that only the context differs between them;
    - the decoder's first state comes from the summary of both directions (Bahdanau et al.: of the backward one);
    - the summary is normalised (Ba et al. 2016): a mean of small states would drown beside the words in a cell's input;
    - the readout sees the fixed vector through a gate (`FixedContext`).
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
        self.first_state = nn.Linear(config.d_model, self.n_state_parts * config.n_layers * config.d_model)
        self.readout = nn.Linear(2 * config.d_model, config.d_model)
        self.dropout = SharedDropout(config.dropout)

    @property
    def stepwise(self) -> bool:
        """Whether a state depends on the context of its own position, so that positions cannot run at once."""
        return self.input_feeding or (self.context.feeds_cell and not isinstance(self.context, FixedContext))

    def encode(self, source_ids: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory, with the keys of the attention; a recurrent encoder has no attention to add to `maps`."""
        memory = self.encoder(self.embeddings.source(source_ids), source_valid)
        return Memory(memory.states, source_valid, memory.summary, self.context.project(memory))

    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        """Hidden states of all target positions, at once where the model allows it.

        Of a stepwise model with one layer, `unrolled.py` computes faster what the loop below says.
        """
        state = self.start(self.encode(batch.source_ids, batch.source_valid))
        embedded = self.dropout(self.embeddings.target(batch.target_input))
        if self.stepwise and maps is None and len(self.cells.layers) == 1:
            layer = self.cells.layers[0]
            assert isinstance(layer, nn.GRU | nn.LSTM)
            return self.dropout(unroll(layer, self.context, self.readout, embedded, state))
        kept = self.cells.draw_kept(embedded)
        pieces = embedded.split(1, dim=1) if self.stepwise else (embedded,)
        hidden: list[Tensor] = []
        weights: list[Tensor | None] = []
        for piece in pieces:
            output, state, seen = self._read(piece, state, kept)
            hidden.append(output)
            weights.append(seen)
        if maps is not None:
            found = [tensor for tensor in weights if tensor is not None]
            maps.cross.extend([torch.cat(found, dim=1)[:, None]] if found else [])
        return self.dropout(torch.cat(hidden, dim=1))

    def start(self, memory: Memory) -> DecoderState:
        """First states of all layers, tanh(W summary); the attentional vector starts at zero."""
        assert memory.summary is not None
        summary = memory.summary
        first = torch.tanh(self.first_state(summary)).unflatten(1, (self.n_state_parts, len(self.cells.layers), -1))
        attentional = (summary.new_zeros(summary.shape[0], 1, summary.shape[1]),) if self.input_feeding else ()
        return DecoderState(memory, (*first.unbind(1), *attentional))

    def advance(self, token_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One target position."""
        embedded = self.embeddings.target(token_ids)[:, None, :]
        hidden, state, _ = self._read(embedded, state, self.cells.draw_kept(embedded))
        return self.project(hidden[:, 0]), state

    def _read(
        self, embedded: Tensor, state: DecoderState, kept: list[Tensor]
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Hidden states and attention weights of the positions `embedded` (batch, length, d_model).

        The length is 1 where the model is `stepwise`, any otherwise.
        """
        cell_state = state.history[: self.n_state_parts]
        inputs = [embedded]
        weights: Tensor | None = None
        if self.context.feeds_cell:
            state_before = cell_state[0][:, -1:].expand(-1, embedded.shape[1], -1)
            context, weights = self.context(state_before, state.memory)
            inputs.append(context)
        if self.input_feeding:
            inputs.append(state.history[-1])
        states, cell_state = self.cells(torch.cat(inputs, dim=-1), cell_state, kept)
        if not self.context.feeds_cell:
            context, weights = self.context(states, state.memory)
        hidden = torch.tanh(self.readout(torch.cat((self.context.for_readout(context, states), states), dim=-1)))
        history = (*cell_state, hidden[:, -1:]) if self.input_feeding else cell_state
        return hidden, DecoderState(state.memory, history, state.position + embedded.shape[1]), weights


def build_context(config: RnnConfig) -> Context:
    """The part that `config.attention` names."""
    match config.attention:
        case "none":
            return FixedContext(config.d_model)
        case "additive":
            return AdditiveAttention(config.d_model)
        case "dot":
            return DotAttention()
        case "general":
            return GeneralAttention(config.d_model)
        case "scaled_dot":
            return ScaledDotAttention(config.d_model)

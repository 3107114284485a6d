"""The contract that every model meets, and what passes between encoder, decoder and search.

Training calls `forward`, which returns the hidden states of all target positions at once. Search calls `encode`,
`start`, and `advance` for each target position. Both compute the same function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from seq2attn.models.embedding import Embeddings
from seq2attn.models.products import linear


class TeacherForcedBatch(Protocol):
    """The part of a batch of sentence pairs that a model reads."""

    @property
    def source_ids(self) -> Tensor:
        """(batch, source_len) subword ids, padding last."""

    @property
    def source_valid(self) -> Tensor:
        """(batch, source_len) True = real token."""

    @property
    def target_input(self) -> Tensor:
        """(batch, target_len) the target shifted right: BOS first, padding last."""


@dataclass(frozen=True)
class Memory:
    """The encoder's output, from which the decoder translates. The first dimension of every tensor is the batch."""

    states: Tensor
    """(batch, source_len, d_model), one state for each source token; arbitrary on padding."""
    source_valid: Tensor
    """(batch, source_len) True = real token."""
    summary: Tensor | None = None
    """(batch, d_model) the fixed vector: all that a decoder without attention reads."""
    cached: tuple[Tensor, ...] = ()
    """Keys and values of the decoder's attention over the source, computed once per sentence."""
    visible: tuple[Tensor, ...] = ()
    """For each decoder layer (batch, heads or 1, source_len): True = its attention may look there; empty = everywhere.

    A study forbids looks with it: the weights of the others are renormalised.
    """

    def visible_to(self, layer: int = 0) -> Tensor:
        """(batch, heads or 1, 1, source_len) True = the attention of the decoder's `layer` may look there."""
        real = self.source_valid[:, None, None, :]
        return real & self.visible[layer][:, :, None, :] if self.visible else real

    def select(self, rows: Tensor) -> Memory:
        """The memory of the sentences `rows` (n,), in that order; a row may be repeated."""
        return Memory(
            self.states.index_select(0, rows),
            self.source_valid.index_select(0, rows),
            None if self.summary is None else self.summary.index_select(0, rows),
            tuple(tensor.index_select(0, rows) for tensor in self.cached),
            tuple(tensor.index_select(0, rows) for tensor in self.visible),
        )


@dataclass(frozen=True)
class DecoderState:
    """Everything that the next call of `advance` depends on. Search selects rows of it and reads nothing else."""

    memory: Memory
    history: tuple[Tensor, ...]
    """What the model keeps of the tokens so far (recurrent states, or cached keys and values), batch first."""
    position: int = 0
    """Number of target tokens fed so far."""
    position_dim: int | None = None
    """The dimension over positions of every tensor of the history; None where it has no such dimension."""
    beam_size: int = 1
    """Rows of the history for each row of the memory: the hypotheses of a sentence, which share it, are consecutive."""

    def share(self, beam_size: int) -> DecoderState:
        """The state of `beam_size` equal hypotheses of each sentence, which share its memory."""
        history = tuple(tensor.repeat_interleave(beam_size, dim=0) for tensor in self.history)
        return replace(self, history=history, beam_size=beam_size)

    def select(self, rows: Tensor) -> DecoderState:
        """The state of the hypotheses `rows` (n,), which may be rows of any sentence.

        Where hypotheses share a memory, `rows` are `beam_size` of one sentence, `beam_size` of another, …
        """
        sentences = rows[:: self.beam_size] // self.beam_size
        return replace(self.reorder(rows), memory=self.memory.select(sentences))

    def reorder(self, rows: Tensor, agreed: int = 0) -> DecoderState:
        """The same as `select` where every row stays within its sentence, without a copy of the memory.

        `agreed`: the number of first positions at which all rows of a sentence are equal. A history with a
        `position_dim` is moved in place, and only after these; do not use this state afterwards.
        """
        if self.position_dim is None or agreed == 0:
            return replace(self, history=tuple(tensor.index_select(0, rows) for tensor in self.history))
        for tensor in self.history:
            later = tensor.narrow(self.position_dim, agreed, self.position - agreed)
            later.copy_(later.index_select(0, rows))
        return self


@dataclass
class AttentionMaps:
    """Attention weights of one forward pass, one tensor per layer; over the last dimension they sum to 1.

    A transformer's are part of the graph of its hidden states, so that the gradient of a loss can be taken at them.
    """

    cross: list[Tensor] = field(default_factory=list)
    """(batch, heads, target_len, source_len) for each decoder layer; empty for a fixed context."""
    encoder: list[Tensor] = field(default_factory=list)
    """(batch, heads, source_len, source_len) for each encoder layer of a transformer."""
    decoder: list[Tensor] = field(default_factory=list)
    """(batch, heads, target_len, target_len) for each decoder layer of a transformer."""


class Seq2Seq(nn.Module, ABC):
    """A sequence-to-sequence model."""

    embeddings: Embeddings
    """Of source and target subwords."""
    output_weight: nn.Parameter
    """(vocab_size, d_model) the projection to the vocabulary, which the loss applies piece by piece."""
    output_bias: nn.Parameter
    """(vocab_size,)"""
    max_target_len: int | None = None
    """The largest target length that the model can represent; None = no limit."""

    def encode(self, source_ids: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory of `source_ids` (batch, source_len); appends attention weights to `maps` if given."""
        return self.encode_embedded(self.embeddings.source(source_ids), source_valid, maps)

    @abstractmethod
    def encode_embedded(self, embedded: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The same of the vectors `embedded` (batch, source_len, d_model) of the source's tokens.

        A study takes the gradient at these vectors.
        """

    @abstractmethod
    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        """Hidden states (batch, target_len, d_model), with the true target as input (teacher forcing)."""

    def compiled_forward(self) -> Callable[[TeacherForcedBatch], Tensor]:
        """`forward` without maps, compiled by `torch.compile` for batches of any size; the model stays as it is."""
        return torch.compile(self, dynamic=True)

    @abstractmethod
    def start(self, memory: Memory) -> DecoderState:
        """The state before the first target token."""

    def start_beams(self, memory: Memory, beam_size: int) -> DecoderState:
        """The state before the first token of `beam_size` hypotheses for each sentence, in consecutive rows.

        This one repeats the memory. Where `advance` lets hypotheses share it, return `start(memory).share(beam_size)`.
        """
        rows = torch.arange(len(memory.states), device=memory.states.device)
        return self.start(memory).select(rows.repeat_interleave(beam_size))

    @abstractmethod
    def advance(
        self, token_ids: Tensor, state: DecoderState, maps: AttentionMaps | None = None
    ) -> tuple[Tensor, DecoderState]:
        """Logits (batch, vocab_size) of the token after `token_ids` (batch,), and the state after it.

        Appends the attention weights of this one position to `maps` if given; not where hypotheses share a memory.
        """

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab_size) of hidden states (..., d_model), with the type of the weights."""
        return linear(hidden, self.output_weight, self.output_bias).to(self.output_weight.dtype)

    def attention_maps(self, batch: TeacherForcedBatch) -> AttentionMaps:
        """The attention weights of `batch` under teacher forcing."""
        maps = AttentionMaps()
        self(batch, maps)
        return maps

    def query_weights(self) -> list[nn.Parameter]:
        """The projections of the queries of every attention; empty where states are the queries, or without any."""
        return [weight for name, weight in self.named_parameters() if name.endswith("query_projection.weight")]

    def count_parameters(self) -> int:
        """Number of trainable weights; tied weights count once."""
        return sum(parameter.numel() for parameter in self.parameters())

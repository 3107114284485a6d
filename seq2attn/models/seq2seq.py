"""The contract that every model meets, and what passes between encoder, decoder and search.

Training calls `forward`, which gives hidden states for all target positions at once. Search calls `encode`,
`start` and `advance`, one target position at a time. Both must compute the same function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from seq2attn.models.embedding import Embeddings


class TeacherForcedBatch(Protocol):
    """What a model reads of a batch of sentence pairs."""

    @property
    def source_ids(self) -> Tensor:
        """(batch, source_len) subword ids, padded at the end."""

    @property
    def source_valid(self) -> Tensor:
        """(batch, source_len) True = real token."""

    @property
    def target_input(self) -> Tensor:
        """(batch, target_len) the target shifted right: BOS first, padded at the end."""


@dataclass(frozen=True)
class Memory:
    """What the encoder leaves for the decoder. Every tensor has the batch first."""

    states: Tensor
    """(batch, source_len, d_model), one state for each source token; arbitrary where it is padding."""
    source_valid: Tensor
    """(batch, source_len) True = real token."""
    summary: Tensor | None = None
    """(batch, d_model) the fixed vector, all that a decoder without attention sees."""
    projected: tuple[Tensor, ...] = ()
    """Keys and values of the decoder's attention, computed once a sentence."""

    def select(self, rows: Tensor) -> Memory:
        """The memory of the sentences `rows` (n,), in that order, repeated where a row is."""
        return Memory(
            self.states.index_select(0, rows),
            self.source_valid.index_select(0, rows),
            None if self.summary is None else self.summary.index_select(0, rows),
            tuple(tensor.index_select(0, rows) for tensor in self.projected),
        )


@dataclass(frozen=True)
class DecoderState:
    """Everything that the next call of `advance` depends on. Search moves rows and looks no further."""

    memory: Memory
    history: tuple[Tensor, ...]
    """What the model keeps of the tokens so far, each tensor with the batch first."""
    position: int = 0
    """Number of target tokens that were fed."""
    position_dim: int | None = None
    """The dimension of every tensor of the history that counts positions, where it is kept by position."""

    def select(self, rows: Tensor) -> DecoderState:
        """The state of the hypotheses `rows` (n,), which may belong to other sentences than before."""
        return replace(self.reorder(rows), memory=self.memory.select(rows))

    def reorder(self, rows: Tensor, agreed: int = 0) -> DecoderState:
        """The same, where every row stays within its sentence: the memory need not be copied.

        `agreed`: the number of first positions at which all rows of a sentence hold the same. Where the history is kept
        by position, only what follows them is moved, in place; this state is not to be used afterwards.
        """
        if self.position_dim is None or agreed == 0:
            return replace(self, history=tuple(tensor.index_select(0, rows) for tensor in self.history))
        for tensor in self.history:
            later = tensor.narrow(self.position_dim, agreed, self.position - agreed)
            later.copy_(later.index_select(0, rows))
        return self


@dataclass
class AttentionMaps:
    """Attention weights of one forward pass, a tensor for each layer; each row sums to 1 over real tokens."""

    cross: list[Tensor] = field(default_factory=list)
    """(batch, heads, target_len, source_len) for each decoder layer; empty for a fixed context."""
    encoder: list[Tensor] = field(default_factory=list)
    """(batch, heads, source_len, source_len) for each encoder layer of a transformer."""
    decoder: list[Tensor] = field(default_factory=list)
    """(batch, heads, target_len, target_len) for each decoder layer of a transformer."""


class Seq2Seq(nn.Module, ABC):
    """A sequence-to-sequence model."""

    embeddings: Embeddings
    """The vectors of the subwords."""
    output_weight: nn.Parameter
    """(vocab_size, d_model) the vocabulary projection, kept apart so that the loss can be fused with it."""
    output_bias: nn.Parameter
    """(vocab_size,)"""
    max_target_len: int | None = None
    """Target positions that the model has; None: no end."""

    @abstractmethod
    def encode(self, source_ids: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        """The memory of a batch of source sentences; attention weights go to `maps` if one is given."""

    @abstractmethod
    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        """Hidden states (batch, target_len, d_model) of every target position, the true target being fed."""

    @abstractmethod
    def start(self, memory: Memory) -> DecoderState:
        """The state before the first target token."""

    @abstractmethod
    def advance(self, token_ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Logits (batch, vocab_size) of the token after `token_ids` (batch,), and the state that follows."""

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab_size) of hidden states (..., d_model)."""
        return F.linear(hidden, self.output_weight, self.output_bias)

    def attention_maps(self, batch: TeacherForcedBatch) -> AttentionMaps:
        """The attention weights of a batch, its target being fed."""
        maps = AttentionMaps()
        self(batch, maps)
        return maps

    def count_parameters(self) -> int:
        """Number of trainable weights; shared ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())

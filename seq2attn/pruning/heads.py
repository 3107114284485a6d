"""The heads of a transformer: their names, their gates, and the weights that are left without some of them"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from seq2attn.config.models import KeptHeads, TransformerConfig
from seq2attn.errors import ConfigError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.transformer import DecoderLayer, EncoderLayer, TransformerSeq2Seq

Kind = Literal["encoder", "decoder", "cross"]
"""Self-attention of the encoder, causal self-attention of the decoder, and the decoder's attention to the source."""
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_NAMES: Mapping[Kind, str] = {"encoder": "encoder", "decoder": "causal", "cross": "cross"}


class Head(NamedTuple):
    """A head; layers and heads count from 1, heads as before any pruning."""

    kind: Kind
    layer: int
    number: int

    def __str__(self) -> str:
        return f"{KIND_NAMES[self.kind]} layer {self.layer} head {self.number}"


def heads_of(config: TransformerConfig) -> tuple[Head, ...]:
    """All heads of a model: kind by kind, layer by layer."""
    return tuple(
        Head(kind, layer, number)
        for kind in KINDS
        for layer, numbers in enumerate(config.heads(kind), start=1)
        for number in numbers
    )


def open_gates(heads: Sequence[Head], closed: Collection[Head]) -> Tensor:
    """(heads,) 0 for the heads in `closed`, 1 for all others."""
    return torch.tensor([0.0 if head in closed else 1.0 for head in heads])


@contextmanager
def gated(model: TransformerSeq2Seq, gates: Tensor) -> Iterator[None]:
    """Within it, each head's context is multiplied by its element of `gates`; afterwards the gates are as before.

    `gates`: (heads,), or (batch, heads) for those of each sentence, in the order of `heads_of`.
    """
    attentions = list(_attentions(model))
    before = [attention.gate for attention in attentions]
    parts = gates.split([attention.n_heads for attention in attentions], dim=-1)
    try:
        for attention, gate in zip(attentions, parts, strict=True):
            attention.gate = gate
        yield
    finally:
        for attention, gate_before in zip(attentions, before, strict=True):
            attention.gate = gate_before


def _attentions(model: TransformerSeq2Seq) -> Iterator[MultiHeadAttention]:
    """Every attention of `model`, in the order of `heads_of`."""
    for layer in model.encoder:
        assert isinstance(layer, EncoderLayer)
        yield layer.self_attention
    for name in ("self_attention", "cross_attention"):
        for layer in model.decoder:
            assert isinstance(layer, DecoderLayer)
            yield getattr(layer, name)


def keep_heads(config: TransformerConfig, kept: Collection[Head]) -> TransformerConfig:
    """The configuration of the model that has only the heads in `kept`.

    Raises: ConfigError where an attention would have none.
    """
    layers = {kind: [_kept_in(kind, layer, kept) for layer in range(1, config.n_layers + 1)] for kind in KINDS}
    for kind, of_layers in layers.items():
        for layer, numbers in enumerate(of_layers, start=1):
            if not numbers:
                raise ConfigError(f"{KIND_NAMES[kind]} attention, layer {layer}: keep at least one head")
    return config.model_copy(update={"kept_heads": KeptHeads(**layers)})


def _kept_in(kind: Kind, layer: int, kept: Collection[Head]) -> list[int]:
    return sorted(head.number for head in kept if (head.kind, head.layer) == (kind, layer))


def weights_without_heads(
    weights: Mapping[str, Tensor], before: TransformerConfig, after: TransformerConfig
) -> dict[str, Tensor]:
    """The weights of the model of `after`, whose heads are some of those of `before`.

    Of a removed head go the rows of its queries, keys and values, and the columns of the output projection that read
    its context. The bias of the output projection stays, as with a closed gate.
    """
    kept = dict(weights)
    for kind in KINDS:
        for layer, (had, has) in enumerate(zip(before.heads(kind), after.heads(kind), strict=True)):
            rows = _rows([had.index(number) for number in has], before.d_head)
            name = f"{'encoder' if kind == 'encoder' else 'decoder'}.{layer}." + (
                "cross_attention" if kind == "cross" else "self_attention"
            )
            of_keys_and_values = torch.cat((rows, rows + len(had) * before.d_head))
            for part in ("weight", "bias"):
                kept[f"{name}.query_projection.{part}"] = weights[f"{name}.query_projection.{part}"][rows]
                keys_and_values = weights[f"{name}.key_value_projection.{part}"]
                kept[f"{name}.key_value_projection.{part}"] = keys_and_values[of_keys_and_values]
            kept[f"{name}.output_projection.weight"] = weights[f"{name}.output_projection.weight"][:, rows]
    return kept


def _rows(places: Sequence[int], d_head: int) -> Tensor:
    """(len(places) · d_head,) the rows of the heads at `places`."""
    return (torch.tensor(places)[:, None] * d_head + torch.arange(d_head)).flatten()

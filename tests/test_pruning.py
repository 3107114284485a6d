"""Gates of heads, importance of heads, and runs without some of their heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from seq2attn.config.models import KeptHeads, TransformerConfig
from seq2attn.data.batch import pad_sources
from seq2attn.decoding.search import beam_search
from seq2attn.errors import ConfigError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import KINDS, Head, gated, heads_of, keep_heads, open_gates, weights_without_heads
from seq2attn.runs.checkpoint import set_weights, weights_of
from tests.conftest import make_batch, make_model

POSITIONS = ("sinusoidal", "rotary", "alibi")
SMALL = {"d_model": 12, "n_heads": 3, "n_layers": 2}


def a_transformer(config: TransformerConfig) -> TransformerSeq2Seq:
    model = make_model(config)
    assert isinstance(model, TransformerSeq2Seq)
    return model


def pruned(model: Seq2Seq, before: TransformerConfig, after: TransformerConfig) -> TransformerSeq2Seq:
    smaller = a_transformer(after)
    set_weights(smaller, weights_without_heads(weights_of(model), before, after), "pruned")
    return smaller


def subsets(heads: list[Head]) -> st.SearchStrategy[set[Head]]:
    """Some heads, at least one in each attention."""
    places = {(head.kind, head.layer) for head in heads}
    one_each = [
        st.sets(st.sampled_from([head for head in heads if (head.kind, head.layer) == place]), min_size=1)
        for place in sorted(places)
    ]
    return st.tuples(*one_each).map(lambda parts: set().union(*parts))


@given(data=st.data(), positions=st.sampled_from(POSITIONS))
def test_a_pruned_model_computes_what_the_gated_one_does(data: st.DataObject, positions: Any) -> None:
    config = TransformerConfig(**SMALL, positions=positions)
    model, heads, batch = a_transformer(config), heads_of(config), make_batch([5, 3], [4, 6])
    kept = data.draw(subsets(list(heads)))
    smaller = pruned(model, config, keep_heads(config, kept))
    gates = open_gates(heads, set(heads) - kept).double()
    with gated(model, gates):
        expected = model(batch)
    torch.testing.assert_close(smaller(batch), expected, rtol=0, atol=1e-12)
    assert heads_of(keep_heads(config, kept)) == tuple(head for head in heads if head in kept)
    n_removed = len(heads) - len(kept)
    # Query, key and value of a head have d_head rows of d_model weights and a bias; the output d_head columns.
    assert model.count_parameters() - smaller.count_parameters() == n_removed * 4 * (3 * 13 + 12)


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_pruned_model_can_be_pruned_again(positions: Any) -> None:
    config = TransformerConfig(**SMALL, positions=positions)
    model, batch = a_transformer(config), make_batch([5, 3], [4, 6])
    once = keep_heads(config, [head for head in heads_of(config) if head.number != 2])
    twice = keep_heads(once, [head for head in heads_of(once) if head != Head("cross", 2, 1)])
    in_two_steps = pruned(pruned(model, config, once), once, twice)
    torch.testing.assert_close(in_two_steps(batch), pruned(model, config, twice)(batch), rtol=0, atol=1e-12)


def without_head(attention: MultiHeadAttention, head: int) -> Tensor:
    """The output projection of `attention` that ignores the context of `head`, from 0."""
    weight = attention.output_projection.weight.detach().clone()
    weight.unflatten(1, (attention.n_heads, -1))[:, head] = 0.0
    return weight


def test_a_closed_gate_is_an_explicitly_masked_head() -> None:
    config = TransformerConfig(**SMALL)
    model, batch, heads = a_transformer(config), make_batch([5, 3], [4, 6]), heads_of(config)
    untouched = model(batch)
    for head in heads:
        layer = (model.encoder if head.kind == "encoder" else model.decoder)[head.layer - 1]
        attention = layer.cross_attention if head.kind == "cross" else layer.self_attention
        assert isinstance(attention, MultiHeadAttention)
        before = attention.output_projection.weight.data
        with gated(model, open_gates(heads, {head}).double()):
            found = model(batch)
        attention.output_projection.weight.data = without_head(attention, head.number - 1)
        torch.testing.assert_close(found, model(batch), rtol=0, atol=1e-12)
        assert not torch.allclose(found, untouched)
        attention.output_projection.weight.data = before


def test_gates_of_each_sentence_are_those_of_the_sentence_alone() -> None:
    config = TransformerConfig(**SMALL)
    model, batch = a_transformer(config), make_batch([5, 5], [6, 6])
    gates = torch.rand(2, len(heads_of(config)), dtype=torch.float64)
    with gated(model, gates):
        together = model(batch)
    for row in range(2):
        with gated(model, gates[row]):
            torch.testing.assert_close(model(batch)[row], together[row], rtol=0, atol=1e-12)
    assert all(module.gate is None for module in model.modules() if isinstance(module, MultiHeadAttention))


def test_beam_search_of_a_pruned_model_finds_what_the_gated_one_does() -> None:
    config = TransformerConfig(**SMALL, positions="alibi")
    model, heads = a_transformer(config), heads_of(config)
    kept = {head for head in heads if head.number == head.layer}
    smaller = pruned(model, config, keep_heads(config, kept))
    sources = [[7, 9, 5, 3], [11, 4, 3]]

    def search(searched: Seq2Seq) -> list[Any]:
        with torch.inference_mode():
            memory = searched.encode(*pad_sources(sources))
            return beam_search(searched, memory, [8, 8], 3, 1.0, 3)

    with gated(model, open_gates(heads, set(heads) - kept).double()):
        expected = search(model)
    for found, wanted in zip(search(smaller), expected, strict=True):
        assert [hypothesis.token_ids for hypothesis in found] == [hypothesis.token_ids for hypothesis in wanted]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([one.score for one in wanted], abs=1e-9)


def test_an_attention_keeps_at_least_one_head() -> None:
    config = TransformerConfig(**SMALL)
    kept = [head for head in heads_of(config) if (head.kind, head.layer) != ("cross", 2)]
    with pytest.raises(ConfigError, match="cross attention, layer 2: keep at least one head"):
        keep_heads(config, kept)


@pytest.mark.parametrize(
    ("encoder", "found"),
    [
        ([[1]], "kept_heads.encoder must have a list for each of 2 layers"),
        (
            [[1], []],
            r"kept_heads.encoder: expected ascending heads from 1 to 3, at least one in each layer, found \[\]",
        ),
        ([[1], [2, 1]], "ascending"),
        ([[1], [1, 1]], "ascending"),
        ([[1], [4]], "from 1 to 3"),
        ([[1], [0]], "greater than 0"),
    ],
)
def test_kept_heads_that_do_not_exist_are_refused(encoder: list[list[int]], found: str) -> None:
    every = [[1, 2, 3], [1, 2, 3]]
    with pytest.raises(ValidationError, match=found):
        TransformerConfig(**SMALL, kept_heads=KeptHeads(encoder=encoder, decoder=every, cross=every))


def test_settings_of_a_run_with_all_heads_are_those_of_earlier_versions() -> None:
    assert "kept_heads" not in TransformerConfig(**SMALL).model_dump()
    kept = {kind: [[1], [2]] for kind in KINDS}
    assert TransformerConfig(**SMALL, kept_heads=kept).model_dump(exclude={"dropout"})["kept_heads"] == kept

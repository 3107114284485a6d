"""Each attention against a naive loop over its equation, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

import seq2attn.models.attention as attention_module
from seq2attn.config.models import RnnConfig
from seq2attn.models.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    GeneralAttention,
    MultiHeadAttention,
    ScaledDotAttention,
    Scope,
)
from seq2attn.models.positions import SinusoidalPositions
from seq2attn.models.rnn import BidirectionalEncoder, mirrored_positions
from seq2attn.models.seq2seq import Memory

BATCH, TARGET, SOURCE, D_MODEL = 2, 3, 4, 6
LENGTHS = [4, 2]


def naive_score(attention: Attention, query: Tensor, key: Tensor) -> float:
    if isinstance(attention, AdditiveAttention):
        projection = attention.key_projection
        inner = attention.query_projection.weight @ query + projection.weight @ key + projection.bias
        return sum(v * math.tanh(x) for v, x in zip(attention.v.tolist(), inner.tolist(), strict=True))
    if isinstance(attention, GeneralAttention):
        score = float(query @ (attention.key_projection.weight @ key))
        return score / math.sqrt(D_MODEL) if isinstance(attention, ScaledDotAttention) else score
    return sum(a * b for a, b in zip(query.tolist(), key.tolist(), strict=True))


@pytest.mark.parametrize("cached_elements", [1, attention_module._CACHED_ELEMENTS])
def test_additive_attention_without_gradients_is_its_equation(
    cached_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_module, "_CACHED_ELEMENTS", cached_elements)
    with torch.no_grad():
        test_attention_is_its_equation(AdditiveAttention)


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention, GeneralAttention, ScaledDotAttention])
def test_attention_is_its_equation(kind: type[Attention]) -> None:
    torch.manual_seed(0)
    attention = (kind() if kind is DotAttention else kind(D_MODEL)).double().requires_grad_(False)
    query = torch.randn(BATCH, TARGET, D_MODEL, dtype=torch.float64)
    states = torch.randn(BATCH, SOURCE, D_MODEL, dtype=torch.float64)
    valid = torch.arange(SOURCE)[None, :] < torch.tensor(LENGTHS)[:, None]
    memory = Memory(states, valid)
    memory = Memory(states, valid, cached=attention.precompute(memory))
    context, weights = attention(query, memory)
    for row, length in enumerate(LENGTHS):
        for position in range(TARGET):
            scores = [naive_score(attention, query[row, position], states[row, j]) for j in range(length)]
            total = sum(math.exp(score) for score in scores)
            expected = torch.zeros(D_MODEL, dtype=torch.float64)
            for j, score in enumerate(scores):
                assert weights[row, position, j].item() == pytest.approx(math.exp(score) / total, abs=1e-12)
                expected += math.exp(score) / total * states[row, j]
            torch.testing.assert_close(context[row, position], expected)


@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_is_its_equation_with_and_without_maps(causal: bool, scaled: bool) -> None:
    torch.manual_seed(0)
    heads, d_head = 2, D_MODEL // 2
    attention = MultiHeadAttention(D_MODEL, heads, scaled=scaled).double().requires_grad_(False)
    scale = 1 / math.sqrt(d_head) if scaled else 1.0
    inputs = torch.randn(BATCH, SOURCE, D_MODEL, dtype=torch.float64)
    valid = torch.arange(SOURCE)[None, :] < torch.tensor(LENGTHS)[:, None]
    scope = Scope(causal=True) if causal else Scope(visible=valid[:, None, None, :])
    maps: list[Tensor] = []
    keys, values = attention.keys_and_values(inputs)
    fused = attention(inputs, keys, values, scope)
    torch.testing.assert_close(attention(inputs, keys, values, scope, maps=maps), fused)
    w_query = attention.query_projection
    w_key, w_value = attention.key_value_projection.weight.split(D_MODEL)
    b_key, b_value = attention.key_value_projection.bias.split(D_MODEL)
    for row in range(BATCH):
        for position in range(SOURCE):
            visible = range(position + 1) if causal else range(LENGTHS[row])
            joined = []
            for head in range(heads):
                part = slice(head * d_head, (head + 1) * d_head)
                query = (w_query.weight @ inputs[row, position] + w_query.bias)[part]
                scores = [float(query @ (w_key @ inputs[row, j] + b_key)[part]) * scale for j in visible]
                total = sum(math.exp(score) for score in scores)
                mean = torch.zeros(d_head, dtype=torch.float64)
                for j, score in zip(visible, scores, strict=True):
                    weight = math.exp(score) / total
                    assert maps[0][row, head, position, j].item() == pytest.approx(weight, abs=1e-12)
                    mean += weight * (w_value @ inputs[row, j] + b_value)[part]
                joined.append(mean)
            torch.testing.assert_close(fused[row, position], attention.output_projection(torch.cat(joined)))


def gated_by_hand(attention: MultiHeadAttention, inputs: Tensor, source: Tensor, visible: Tensor) -> Tensor:
    """Outputs in which each head's context, Σ weight · value in a loop, is multiplied by its element of the gate."""
    assert attention.gate is not None
    outputs = torch.zeros_like(inputs)
    keys, values = attention.keys_and_values(source)
    queries = attention.query_projection(inputs).unflatten(-1, (attention.n_heads, -1))
    for row, position in itertools.product(*map(range, inputs.shape[:2])):
        contexts = []
        for head in range(attention.n_heads):
            chosen = [j for j in range(source.shape[1]) if visible[row, position, j]]
            scale = math.sqrt(D_MODEL / attention.n_heads)
            scores = [float(queries[row, position, head] @ keys[row, head, j]) / scale for j in chosen]
            total = sum(map(math.exp, scores))
            context = torch.zeros(values.shape[-1], dtype=values.dtype)
            for j, score in zip(chosen, scores, strict=True):
                context += math.exp(score) / total * values[row, head, j]
            contexts.append(context * attention.gate[head].item())
        outputs[row, position] = attention.output_projection(torch.cat(contexts))
    return outputs


@pytest.mark.parametrize("gate", [[0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.3, -2.0, 1.0]], ids=str)
@pytest.mark.parametrize("kind", ["self", "causal", "cross"])
def test_a_gate_multiplies_the_context_of_its_head(kind: str, gate: list[float]) -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(D_MODEL, 3).double().requires_grad_(False)
    inputs = torch.randn(BATCH, TARGET, D_MODEL, dtype=torch.float64)
    source = torch.randn(BATCH, SOURCE, D_MODEL, dtype=torch.float64) if kind == "cross" else inputs
    length = source.shape[1]
    valid = torch.arange(length)[None, :] < torch.tensor(LENGTHS)[:, None]
    scope = Scope(causal=True) if kind == "causal" else Scope(visible=valid[:, None, None, :])
    visible = torch.ones(length, length, dtype=torch.bool).tril() if kind == "causal" else valid[:, None, :]
    visible = visible.expand(BATCH, TARGET, length)
    keys, values = attention.keys_and_values(source)
    ungated, gated = [], []
    attention(inputs, keys, values, scope, maps=ungated)
    attention.gate = torch.tensor(gate, dtype=torch.float64)
    expected = gated_by_hand(attention, inputs, source, visible)
    torch.testing.assert_close(attention(inputs, keys, values, scope), expected)
    torch.testing.assert_close(attention(inputs, keys, values, scope, maps=gated), expected)
    assert torch.equal(gated[0], ungated[0])


@pytest.mark.parametrize("explicit", [False, True], ids=["fused", "explicit weights"])
def test_a_gate_of_ones_changes_nothing_and_none_removes_it(explicit: bool) -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(D_MODEL, 3)
    inputs = torch.randn(BATCH, TARGET, D_MODEL)

    def attend() -> Tensor:
        result: Tensor = attention(inputs, *attention.keys_and_values(inputs), maps=[] if explicit else None)
        return result

    before = attend()
    attention.gate = torch.ones(3)
    assert torch.equal(attend(), before)
    attention.gate = torch.zeros(3)
    torch.testing.assert_close(attend(), attention.output_projection.bias.expand_as(inputs))
    attention.gate = None
    assert torch.equal(attend(), before)


@pytest.mark.parametrize("explicit", [False, True], ids=["fused", "explicit weights"])
def test_the_gradient_of_a_gate_is_correct(explicit: bool) -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(D_MODEL, 3).double().requires_grad_(False)
    inputs = torch.randn(BATCH, TARGET, D_MODEL, dtype=torch.float64)

    def attend(gate: Tensor) -> Tensor:
        attention.gate = gate
        result: Tensor = attention(inputs, *attention.keys_and_values(inputs), maps=[] if explicit else None)
        return result

    assert torch.autograd.gradcheck(attend, (torch.rand(3, dtype=torch.float64, requires_grad=True),))


def test_a_gate_is_in_the_state_dict_only_while_it_is_set() -> None:
    attention = MultiHeadAttention(D_MODEL, 3)
    names = [*attention.state_dict()]
    assert [name for name, _ in attention.named_parameters()] == names
    attention.gate = torch.ones(3)
    assert {*attention.state_dict()} - {*names} == {"gate"}
    assert attention.double().gate.dtype == torch.float64
    attention.gate = None
    assert [*attention.state_dict()] == names


def test_a_gate_with_the_wrong_number_of_heads_fails() -> None:
    attention = MultiHeadAttention(D_MODEL, 3)
    attention.gate = torch.ones(2)
    inputs = torch.randn(BATCH, TARGET, D_MODEL)
    with pytest.raises(RuntimeError, match="shape"):
        attention(inputs, *attention.keys_and_values(inputs))


def test_sinusoidal_positions_are_their_equation() -> None:
    added = SinusoidalPositions(D_MODEL)(torch.zeros(1, 5, D_MODEL), first=7)[0]
    for offset in range(5):
        for index in range(D_MODEL):
            angle = (7 + offset) / 10_000 ** (2 * (index // 2) / D_MODEL)
            expected = math.sin(angle) if index % 2 == 0 else math.cos(angle)
            assert added[offset, index].item() == pytest.approx(expected, abs=1e-6)


def test_mirrored_positions_reverse_the_words_and_keep_the_padding() -> None:
    mirrored = mirrored_positions(torch.tensor([3, 1, 5]), 5)
    assert mirrored.tolist() == [[2, 1, 0, 3, 4], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_encoder_equals_a_packed_bidirectional_rnn_of_pytorch(cell: str) -> None:
    """Two directions over mirrored sentences give the output of a packed bidirectional RNN, without packing."""
    torch.manual_seed(0)
    encoder = BidirectionalEncoder(RnnConfig.model_validate({"cell": cell, "d_model": 8})).double().eval()
    library = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(8, 4, batch_first=True, bidirectional=True).double()
    weights = dict(encoder.forwards[0].state_dict())
    weights |= {name + "_reverse": value for name, value in encoder.backwards[0].state_dict().items()}
    library.load_state_dict(weights)
    embedded = torch.randn(3, 5, 8, dtype=torch.float64)
    lengths = torch.tensor([5, 2, 4])
    valid = torch.arange(5)[None, :] < lengths[:, None]
    packed = torch.nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    output, last = library(packed)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    memory = encoder(embedded, valid)
    torch.testing.assert_close(memory.states[valid], expected[valid])
    hidden = last[0] if cell == "lstm" else last
    torch.testing.assert_close(memory.summary, encoder.norm(torch.cat((hidden[0], hidden[1]), dim=-1)))

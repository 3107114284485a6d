"""The contract that every model must fulfil."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from seq2attn.config.models import RnnConfig, TransformerConfig
from seq2attn.data.batch import Batch
from seq2attn.errors import DataError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.embedding import Dropout, VariationalDropout
from seq2attn.models.rnn import RnnSeq2Seq
from seq2attn.models.seq2seq import AttentionMaps, Seq2Seq
from tests.conftest import MODELS, VOCAB_SIZE, make_batch, make_model


@pytest.mark.parametrize("gradients", [True, False], ids=["with gradients", "without"])
def test_stepwise_advance_equals_forward(model: Seq2Seq, gradients: bool) -> None:
    batch = make_batch([5, 3, 7], [4, 6, 2])
    with torch.enable_grad():
        at_once = model.project(model(batch))
    # Without gradients, translation uses faster code for an RNN.
    with torch.set_grad_enabled(gradients):
        state = model.start(model.encode(batch.source_ids, batch.source_valid))
        for position in range(batch.target_input.shape[1]):
            logits, state = model.advance(batch.target_input[:, position], state)
            torch.testing.assert_close(logits, at_once[:, position])


def test_padding_changes_no_output(model: Seq2Seq) -> None:
    both = make_batch([4, 9], [3, 8])
    short = Batch(
        both.source_ids[:1, :4], both.source_valid[:1, :4], both.target_input[:1, :4], both.target_output[:1, :4], 4
    )
    torch.testing.assert_close(model(both)[:1, :4], model(short))


def test_content_of_padding_changes_no_output(model: Seq2Seq) -> None:
    batch = make_batch([4, 9], [3, 8])
    scribbled = torch.where(batch.source_valid, batch.source_ids, 17)
    torch.testing.assert_close(model(dataclasses.replace(batch, source_ids=scribbled)), model(batch))


def test_a_future_target_token_changes_no_earlier_output(model: Seq2Seq) -> None:
    batch = make_batch([5, 3], [6, 6])
    changed = batch.target_input.clone()
    changed[:, 4] = 4 + (changed[:, 4] - 3) % (VOCAB_SIZE - 4)
    before, after = model(batch), model(dataclasses.replace(batch, target_input=changed))
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])


def test_every_source_token_matters(model: Seq2Seq) -> None:
    batch = make_batch([6], [3])
    outputs = model(batch)
    for position in range(6):
        changed = batch.source_ids.clone()
        changed[0, position] = 4 + (changed[0, position] - 3) % (VOCAB_SIZE - 4)
        assert not torch.allclose(model(dataclasses.replace(batch, source_ids=changed)), outputs), position


def test_selected_rows_continue_as_if_alone(model: Seq2Seq) -> None:
    batch = make_batch([5, 3, 7], [4, 4, 4])
    state = model.start(model.encode(batch.source_ids, batch.source_valid))
    _, state = model.advance(batch.target_input[:, 0], state)
    expected, _ = model.advance(batch.target_input[:, 1], state)
    rows = torch.tensor([2, 0, 2])
    selected, _ = model.advance(batch.target_input[rows, 1], state.select(rows))
    torch.testing.assert_close(selected, expected[rows])


@torch.inference_mode()
def test_hypotheses_that_share_a_memory_continue_as_with_copies_of_it(model: Seq2Seq) -> None:
    batch = make_batch([5, 3, 7], [4, 4, 4])
    memory = model.encode(batch.source_ids, batch.source_valid)
    shared = model.start_beams(memory, 2)
    copied = Seq2Seq.start_beams(model, memory, 2)
    for rows in ([1, 0, 2, 2, 5, 4], [4, 4, 0, 1], [0, 0, 3, 2]):
        tokens = torch.arange(5, 5 + (len(shared.history[0]) if shared.history else 6))
        expected, copied = model.advance(tokens, copied)
        logits, shared = model.advance(tokens, shared)
        torch.testing.assert_close(logits, expected)
        shared, copied = (state.select(torch.tensor(rows)) for state in (shared, copied))


def test_weights_sum_to_one_and_are_zero_on_padding(model: Seq2Seq) -> None:
    batch = make_batch([5, 3], [4, 2])
    maps = model.attention_maps(batch)
    for weights in maps.cross + maps.encoder:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
        assert weights[1, ..., 3:].abs().max() == 0.0
    for weights in maps.decoder:
        assert weights.triu(1).abs().max() == 0.0


def test_requesting_maps_changes_no_output(model: Seq2Seq) -> None:
    batch = make_batch([5, 3], [4, 2])
    torch.testing.assert_close(model(batch, AttentionMaps()), model(batch))


@pytest.mark.parametrize(
    ("name", "cross", "encoder", "decoder"),
    [("fixed_gru", 0, 0, 0), ("additive_lstm_deep", 1, 0, 0), ("dot_lstm", 1, 0, 0), ("transformer_pre", 2, 2, 2)],
)
def test_number_of_maps(name: str, cross: int, encoder: int, decoder: int) -> None:
    maps = make_model(MODELS[name]).attention_maps(make_batch([5, 3], [4, 2]))
    assert (len(maps.cross), len(maps.encoder), len(maps.decoder)) == (cross, encoder, decoder)
    for weights in maps.cross:
        assert weights.shape == (2, 3 if name == "transformer_pre" else 1, 5, 5)


def test_without_attention_the_decoder_sees_only_the_summary() -> None:
    model = make_model(MODELS["fixed_gru"])
    batch = make_batch([5, 3], [4, 2])
    memory = model.encode(batch.source_ids, batch.source_valid)
    blind = dataclasses.replace(memory, states=torch.full_like(memory.states, float("nan")))
    expected, _ = model.advance(batch.target_input[:, 0], model.start(memory))
    seen, _ = model.advance(batch.target_input[:, 0], model.start(blind))
    torch.testing.assert_close(seen, expected)


def test_without_its_gate_the_readout_sees_the_summary_itself() -> None:
    gated, plain = (make_model(MODELS[name]) for name in ("fixed_gru", "fixed_gru_without_gate"))
    states, summary = torch.randn(2, 2, 4, 12, dtype=torch.float64)
    assert torch.equal(plain.context.for_readout(summary, states), summary)
    assert not torch.equal(gated.context.for_readout(summary, states), summary)
    assert gated.count_parameters() - plain.count_parameters() == 12 * 12 + 12


def test_learned_positions_end_with_a_clear_error() -> None:
    model = make_model(TransformerConfig(d_model=12, n_heads=2, positions="learned", max_positions=4))
    with pytest.raises(DataError, match="5 subwords is longer than the model's 4 learned positions"):
        model(make_batch([5], [2]))


def test_tied_weights_are_shared_and_separate_vocabularies_have_their_own() -> None:
    tied = make_model(RnnConfig(d_model=12))
    assert tied.output_weight is tied.embeddings.source.weight
    separate = make_model(RnnConfig(d_model=12), source_vocab_size=31, joint_subwords=False)
    assert separate.embeddings.source.weight.shape == (31, 12)
    assert separate.output_weight is separate.embeddings.target.weight
    untied = make_model(RnnConfig(d_model=12, tie_embeddings=False))
    sizes = [model.count_parameters() for model in (tied, separate, untied)]
    assert sizes == [sizes[0], sizes[0] + 31 * 12, sizes[0] + 2 * VOCAB_SIZE * 12]


def test_gradients_reach_every_parameter(model: Seq2Seq) -> None:
    batch = make_batch([5, 3], [4, 2])
    model.project(model(batch)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def set_gates(model: Seq2Seq) -> None:
    """Give every attention of `model` a gate with a closed, a weakened and an open head."""
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.gate = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("name", ["transformer_pre", "transformer_rotary", "transformer_alibi"])
@pytest.mark.parametrize("gradients", [True, False], ids=["with gradients", "without"])
def test_stepwise_advance_equals_forward_with_gates(name: str, gradients: bool) -> None:
    batch = make_batch([5, 3, 7], [4, 6, 2])
    model = make_model(MODELS[name])
    ungated = model(batch)
    set_gates(model)
    assert not torch.allclose(model(batch), ungated)
    test_stepwise_advance_equals_forward(model, gradients)
    torch.testing.assert_close(model(batch, AttentionMaps()), model(batch))


def test_a_gate_of_zero_equals_removing_its_head() -> None:
    model = make_model(MODELS["transformer_pre"])
    by_hand = make_model(MODELS["transformer_pre"])
    set_gates(model)
    for module in by_hand.modules():
        if isinstance(module, MultiHeadAttention):
            head = torch.arange(module.output_projection.in_features) // 4
            with torch.no_grad():
                module.output_projection.weight *= torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)[head]
    batch = make_batch([5, 3, 7], [4, 6, 2])
    torch.testing.assert_close(model(batch), by_hand(batch))


@pytest.mark.parametrize("kind", [Dropout, VariationalDropout])
def test_dropout_keeps_the_mean_and_has_its_rate(kind: type[Dropout] | type[VariationalDropout]) -> None:
    torch.manual_seed(0)
    dropout = kind(0.25)
    inputs = torch.ones(400, 3, 300)
    dropped = dropout(inputs)
    assert abs(dropped.mean().item() - 1.0) < 0.01
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.01
    same_over_time = bool((dropped == dropped[:, :1]).all())
    assert same_over_time == (kind is VariationalDropout)
    assert dropout.eval()(inputs) is inputs


def test_dropout_of_a_stepwise_decoder_is_shared_over_its_steps() -> None:
    """With all inputs except the words constant, equal words at all positions get equal masks."""
    model = make_model(RnnConfig(attention="additive", d_model=12, n_layers=2, dropout=0.5)).train()
    assert isinstance(model, RnnSeq2Seq)
    batch = make_batch([5, 3], [4, 2])
    seen: list[torch.Tensor] = []
    second_layer = model.cells.layers[1]
    second_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach() == 0.0))
    model(batch)
    assert len(seen) == batch.target_input.shape[1]
    assert 0 < seen[0].sum() < seen[0].numel()
    for dropped in seen:
        assert torch.equal(dropped, seen[0])

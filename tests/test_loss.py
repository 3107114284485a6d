from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from seq2attn.data.subwords import PAD_ID
from seq2attn.training.loss import cross_entropy_sum, cross_entropy_sums
from tests.conftest import MODELS, VOCAB_SIZE, make_batch, make_model


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_loss_is_its_equation_and_padding_counts_nothing(label_smoothing: float) -> None:
    model, batch = make_model(MODELS["dot_lstm"]), make_batch([5, 3], [4, 2])
    with torch.no_grad():
        hidden = model(batch)
        log_p = model.project(hidden).log_softmax(-1)
        expected = 0.0
        for row, position in torch.nonzero(batch.target_output != PAD_ID).tolist():
            for token in range(VOCAB_SIZE):
                q = label_smoothing / VOCAB_SIZE
                q += (1 - label_smoothing) * (token == batch.target_output[row, position].item())
                expected -= q * log_p[row, position, token].item()
        assert cross_entropy_sum(model, hidden, batch.target_output, label_smoothing).item() == pytest.approx(expected)
    trained = cross_entropy_sum(model, model(batch), batch.target_output, label_smoothing)
    assert trained.item() == pytest.approx(expected)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_fused_gradients_are_autograd_s(label_smoothing: float) -> None:
    batch = make_batch([5, 3], [4, 2])
    gradients = []
    for fused in (True, False):
        model = make_model(MODELS["general_lstm_feeding"])
        hidden = model(batch)
        if fused:
            loss = cross_entropy_sum(model, hidden, batch.target_output, label_smoothing)
        else:
            loss = F.cross_entropy(
                model.project(hidden).flatten(0, 1),
                batch.target_output.flatten(),
                ignore_index=PAD_ID,
                reduction="sum",
                label_smoothing=label_smoothing,
            )
        (loss * 0.37).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def test_the_unsmoothed_loss_is_returned_without_a_gradient() -> None:
    model, batch = make_model(MODELS["additive_gru"]), make_batch([5, 3], [4, 2])
    smoothed, unsmoothed = cross_entropy_sums(model, model(batch), batch.target_output, 0.1)
    with torch.no_grad():
        expected = cross_entropy_sum(model, model(batch), batch.target_output, label_smoothing=0.0)
    torch.testing.assert_close(unsmoothed, expected)
    assert smoothed > unsmoothed
    assert not unsmoothed.requires_grad


def test_uniform_predictions_have_the_loss_of_a_uniform_guess() -> None:
    model, batch = make_model(MODELS["transformer_pre"]), make_batch([5, 3], [4, 2])
    with torch.no_grad():
        model.output_weight.zero_()
        loss = cross_entropy_sum(model, model(batch), batch.target_output, 0.1)
    assert loss.item() == pytest.approx(batch.target_tokens * math.log(VOCAB_SIZE))

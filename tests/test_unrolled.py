"""The hand-written pass compared with autograd, and with the readable loop that it replaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seq2attn.config.models import RnnConfig
from seq2attn.models.cells import RECURRENCES, complement_of_tanh, exponentials_of, gru_layer, softmax_backward
from seq2attn.models.seq2seq import AttentionMaps
from seq2attn.models.unrolled import AdditiveInputs, AdditiveUnrolled, InputFeedingInputs, InputFeedingUnrolled
from tests.conftest import make_batch, make_model

TARGET, BATCH, SOURCE, UNITS = 3, 2, 4, 3
GATES = {"lstm": 4, "gru": 3}
SOURCE_VALID = torch.tensor([[True, True, False, False], [True] * 4])


def draw(*shape: int) -> Tensor:
    return (torch.randn(*shape, dtype=torch.float64) * 0.5).requires_grad_()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", RECURRENCES)
def test_the_backward_of_additive_attention_is_the_derivative(kind: str) -> None:
    gates = GATES[kind] * UNITS
    inputs = AdditiveInputs(
        from_words=draw(TARGET, BATCH, gates),
        hidden=draw(BATCH, UNITS),
        cell=draw(BATCH, UNITS) if kind == "lstm" else None,
        states=draw(BATCH, SOURCE, UNITS),
        keys=draw(BATCH, SOURCE, UNITS),
        w_query=draw(UNITS, UNITS),
        v=draw(UNITS),
        w_context=draw(gates, UNITS),
        w_recurrent=draw(gates, UNITS),
        b_recurrent=draw(gates),
    )
    run: Callable[..., tuple[Tensor, Tensor]] = AdditiveUnrolled.apply
    assert torch.autograd.gradcheck(lambda *tensors: run(kind, SOURCE_VALID, *tensors), tuple(inputs))


@pytest.mark.parametrize("kind", RECURRENCES)
def test_the_backward_of_input_feeding_is_the_derivative(kind: str) -> None:
    gates = GATES[kind] * UNITS
    inputs = InputFeedingInputs(
        from_words=draw(TARGET, BATCH, gates),
        hidden=draw(BATCH, UNITS),
        cell=draw(BATCH, UNITS) if kind == "lstm" else None,
        fed=draw(BATCH, UNITS),
        states=draw(BATCH, SOURCE, UNITS),
        keys=draw(BATCH, SOURCE, UNITS),
        w_fed=draw(gates, UNITS),
        w_recurrent=draw(gates, UNITS),
        b_recurrent=draw(gates),
        w_readout=draw(UNITS, 2 * UNITS),
        b_readout=draw(UNITS),
    )
    run: Callable[..., Tensor] = InputFeedingUnrolled.apply
    assert torch.autograd.gradcheck(lambda *tensors: run(kind, SOURCE_VALID, *tensors), tuple(inputs))


@pytest.mark.parametrize("length", [1, 5])
def test_a_layer_of_gru_is_pytorch_s(length: int) -> None:
    layer = torch.nn.GRU(4, UNITS, batch_first=True, dtype=torch.float64)
    inputs, before = draw(BATCH, length, 4), draw(1, BATCH, UNITS)
    upstream = torch.randn(BATCH, length, UNITS, dtype=torch.float64)
    variables = [inputs, before, *layer.parameters()]
    (states, last), (own_states, own_last) = layer(inputs, before), gru_layer(layer, inputs, before)
    torch.testing.assert_close(own_states, states)
    torch.testing.assert_close(own_last, last)
    expected = torch.autograd.grad((states * upstream).sum() + last.sin().sum(), variables)
    found = torch.autograd.grad((own_states * upstream).sum() + own_last.sin().sum(), variables)
    for gradient, its_reference in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, its_reference)


def test_a_layer_of_gru_is_float32_under_autocast() -> None:
    layer, inputs = torch.nn.GRU(4, UNITS, batch_first=True), torch.randn(BATCH, 5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = gru_layer(layer, inputs.bfloat16())
    torch.testing.assert_close(states, layer(inputs.bfloat16().float())[0])


@pytest.mark.parametrize("cell", RECURRENCES)
@pytest.mark.parametrize(
    "attention",
    [
        {"attention": "additive"},
        {"attention": "dot", "input_feeding": True},
        {"attention": "general", "input_feeding": True},
        {"attention": "scaled_dot", "input_feeding": True},
    ],
    ids=lambda attention: str(attention["attention"]),
)
def test_it_computes_the_same_as_the_readable_loop(cell: str, attention: dict[str, object]) -> None:
    config = RnnConfig.model_validate({"d_model": 12, "cell": cell, "dropout": 0.3} | attention)
    batch = make_batch([5, 3, 7], [4, 6, 2])
    outputs, gradients = [], []
    for maps in (None, AttentionMaps()):  # a request for maps selects the loop
        model = make_model(config).train()
        torch.manual_seed(3)
        outputs.append(model(batch, maps))
        outputs[-1].sin().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(outputs[0], outputs[1])
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, msg=name)


@pytest.mark.parametrize("size", [0.5, 15.0, 60.0], ids=["small", "large", "beyond the exponentials"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_additive_scores_are_those_of_tanh_at_any_size(size: float, dtype: torch.dtype) -> None:
    keys, query = (torch.randn(*shape, dtype=torch.float64) * size for shape in ((2, 5, 8), (2, 8)))
    keys_in_dtype = keys.to(dtype)
    w = complement_of_tanh(query.to(dtype)[:, None, :], keys_in_dtype, exponentials_of(keys_in_dtype))
    expected = torch.tanh(keys + query[:, None, :])
    torch.testing.assert_close((1 - 2 * w).double(), expected, atol=2e-6, rtol=1e-5)


def test_softmax_backward_is_autograd_s() -> None:
    scores, upstream = draw(3, 5), torch.randn(3, 5, dtype=torch.float64)
    weights = scores.softmax(dim=1)
    weights.backward(upstream)
    torch.testing.assert_close(softmax_backward(upstream, weights.detach()), scores.grad)

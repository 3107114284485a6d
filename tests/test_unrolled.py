"""The hand-written pass against autograd, and against the readable loop that it stands for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seq2attn.config.schema import RnnConfig
from seq2attn.models.attention import complement_of_tanh, exponentials_of
from seq2attn.models.cells import CELLS
from seq2attn.models.seq2seq import AttentionMaps
from seq2attn.models.unrolled import (
    AdditiveUnrolled,
    InputFeedingUnrolled,
    softmax_backward,
)
from tests.conftest import make_batch, make_model

TARGET, BATCH, SOURCE, UNITS = 3, 2, 4, 3
GATES = {"lstm": 4, "gru": 3}
PADDING = torch.tensor([[False, False, True, True], [False] * 4])


def draw(*shape: int) -> Tensor:
    return (torch.randn(*shape, dtype=torch.float64) * 0.5).requires_grad_()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", CELLS)
def test_the_backward_of_additive_attention_is_the_derivative(kind: str) -> None:
    gates = GATES[kind] * UNITS
    states = [draw(TARGET, BATCH, gates), draw(BATCH, UNITS), draw(BATCH, UNITS), draw(BATCH, SOURCE, UNITS)]
    weights = [draw(UNITS, UNITS), draw(UNITS), draw(gates, UNITS), draw(gates, UNITS), draw(gates)]
    inputs = (*states, PADDING, draw(BATCH, SOURCE, UNITS), *weights)
    run: Callable[..., tuple[Tensor, Tensor]] = AdditiveUnrolled.apply
    assert torch.autograd.gradcheck(lambda *tensors: run(kind, *tensors), inputs)


@pytest.mark.parametrize("kind", CELLS)
def test_the_backward_of_input_feeding_is_the_derivative(kind: str) -> None:
    gates = GATES[kind] * UNITS
    states = [draw(TARGET, BATCH, gates), *(draw(BATCH, UNITS) for _ in range(3)), draw(BATCH, SOURCE, UNITS)]
    weights = [draw(gates, UNITS), draw(gates, UNITS), draw(gates), draw(UNITS, 2 * UNITS), draw(UNITS)]
    inputs = (*states, PADDING, draw(BATCH, SOURCE, UNITS), *weights)
    run: Callable[..., Tensor] = InputFeedingUnrolled.apply
    assert torch.autograd.gradcheck(lambda *tensors: run(kind, *tensors), inputs)


@pytest.mark.parametrize("cell", CELLS)
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
def test_it_computes_what_the_readable_loop_does(cell: str, attention: dict[str, object]) -> None:
    config = RnnConfig.model_validate({"d_model": 12, "cell": cell, "dropout": 0.3} | attention)
    batch = make_batch([5, 3, 7], [4, 6, 2])
    outputs, gradients = [], []
    for maps in (None, AttentionMaps()):  # who asks for maps gets the loop
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
    keys_there = keys.to(dtype)
    w = complement_of_tanh(query.to(dtype)[:, None, :], keys_there, exponentials_of(keys_there))
    expected = torch.tanh(keys + query[:, None, :])
    torch.testing.assert_close((1 - 2 * w).double(), expected, atol=2e-6, rtol=1e-5)


def test_softmax_backward_is_autograd_s() -> None:
    scores, upstream = draw(3, 5), torch.randn(3, 5, dtype=torch.float64)
    weights = scores.softmax(dim=1)
    weights.backward(upstream)
    torch.testing.assert_close(softmax_backward(upstream, weights.detach()), scores.grad)

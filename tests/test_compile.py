"""Compiled training: the hidden states and gradients of the model itself, and when a model is compiled."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from seq2attn.config.schema import TrainConfig
from seq2attn.data.batch import Batch
from seq2attn.device import missing_for_compilation
from seq2attn.errors import ConfigError
from seq2attn.training import update
from seq2attn.training.loss import cross_entropy_sum
from seq2attn.training.update import forward_of, update_weights
from tests.conftest import MODELS, make_batch, make_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ADVICE = "; install it, or use train.compile: off"
BATCHES = [make_batch([5, 3, 7], [4, 6, 2]), make_batch([9, 2, 4, 4, 8], [3, 3, 8, 5, 2], seed=1)]


# The compiler causes warnings, which it hides itself.
pytestmark = pytest.mark.filterwarnings("ignore")


def settings(**values: object) -> TrainConfig:
    return TrainConfig.model_validate({"max_steps": 1, **values})


def gradients(loss: Tensor, weights: dict[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(weights.values()))
    return dict(zip(weights, found, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(missing_for_compilation(CPU) is not None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", ["transformer_pre", "additive_gru", "dot_lstm"])
def test_a_compiled_model_computes_what_the_model_computes(name: str) -> None:
    model = make_model(MODELS[name].model_copy(update={"dropout": 0.0})).train()
    names, weights = list(model.state_dict()), dict(model.named_parameters())
    compiled = forward_of(model, settings(compile="on"), CPU)
    assert compiled is not model
    for batch in BATCHES:
        hidden, expected = compiled(batch), model(batch)
        torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-10)
        ours, theirs = (
            gradients(cross_entropy_sum(model, states, batch.target_output, 0.1), weights)
            for states in (hidden, expected)
        )
        for weight, gradient in theirs.items():
            torch.testing.assert_close(ours[weight], gradient, rtol=0, atol=1e-10, msg=weight)
    assert list(model.state_dict()) == names
    before = model.output_bias.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    update_weights(model, optimizer, BATCHES, settings(), 1, 0.1, forward=compiled)
    assert not torch.equal(model.output_bias, before)


@pytest.mark.slow
def test_a_transformer_is_one_graph() -> None:
    model = make_model(MODELS["transformer_rotary"].model_copy(update={"dropout": 0.0})).train()
    traced = torch.compile(model, dynamic=True, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(BATCHES[0]), model(BATCHES[0]))


@pytest.mark.slow
@pytest.mark.skipif(missing_for_compilation(CPU) is not None, reason="torch.compile needs a C++ compiler")
def test_compiled_dropout_has_its_rate_and_follows_the_seed() -> None:
    model = make_model(MODELS["transformer_bag"].model_copy(update={"dropout": 0.5, "n_layers": 1})).train()
    compiled = forward_of(model, settings(compile="on"), CPU)

    def hidden(forward: object, seed: int) -> Tensor:
        torch.manual_seed(seed)
        assert callable(forward)
        return forward(BATCHES[0]).detach()

    assert torch.equal(hidden(compiled, 1), hidden(compiled, 1))
    assert not torch.equal(hidden(compiled, 1), hidden(compiled, 2))
    deviations = [
        torch.stack([hidden(forward, seed) for seed in range(200)]).std(dim=0).mean() for forward in (compiled, model)
    ]
    assert float(deviations[0]) == pytest.approx(float(deviations[1]), rel=0.1)


@pytest.mark.parametrize(
    ("device", "values", "missing", "compiles"),
    [
        (CPU, {}, None, False),
        (CPU, {"compile": "on"}, None, True),
        (CUDA, {}, None, True),
        (CUDA, {}, "C++ compiler", False),
        (CUDA, {"compile": "off"}, None, False),
        (CUDA, {"max_minutes": 9}, None, False),
        (CUDA, {"max_minutes": 10}, None, True),
        (CUDA, {"max_minutes": 9, "compile": "on"}, None, True),
        (CUDA, {"deterministic": True}, None, False),
    ],
)
def test_auto_compiles_long_trainings_with_cuda(
    device: torch.device,
    values: dict[str, object],
    missing: str | None,
    compiles: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(MODELS["additive_gru"])

    def compiled(batch: Batch) -> Tensor:
        return model(batch)

    monkeypatch.setattr(model, "compiled_forward", lambda: compiled)
    monkeypatch.setattr(update, "missing_for_compilation", lambda _: missing)
    assert forward_of(model, settings(**values), device) is (compiled if compiles else model)


def test_bfloat16_on_a_cpu_is_not_compiled() -> None:
    with pytest.raises(ConfigError, match=r"^train.compile: on: not with train.precision: bfloat16 on a CPU"):
        forward_of(make_model(MODELS["additive_gru"]), settings(compile="on", precision="bfloat16"), CPU)


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    message = f"^train.compile: on: this machine has no C\\+\\+ compiler{ADVICE}$"
    with pytest.raises(ConfigError, match=message):
        forward_of(make_model(MODELS["additive_gru"]), settings(compile="on"), CPU)

"""The study of scaling: entropy, gradients through the softmax, pairs of runs, verdicts, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seq2attn.config.load import parse_config
from seq2attn.config.models import RnnConfig, TransformerConfig
from seq2attn.device import choose_device
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import AttentionMaps
from seq2attn.results.study import Estimate
from seq2attn.runs.folder import load_run, untrained
from seq2attn.studies.losses import distance_from_zero
from seq2attn.studies.scaling.claims import ScaledRun, judge, pairs
from seq2attn.studies.scaling.softmax import (
    SoftmaxState,
    centred,
    measure_softmax,
    relative_entropy,
    scores_gradient,
    visible_keys,
)
from seq2attn.studies.scaling.study import ScalingStudy
from seq2attn.studies.scaling.views import stall
from seq2attn.training.loss import sentence_losses
from seq2attn.training.train import train
from tests.command_line import call
from tests.conftest import make_batch, make_model
from tests.training_samples import make_config, write_copy_task

ROWS = st.lists(st.floats(-6.0, 6.0), min_size=1, max_size=6)


@given(ROWS)
def test_relative_entropy_is_its_equation(scores: list[float]) -> None:
    weights = torch.tensor(scores, dtype=torch.float64).softmax(dim=-1)
    entropy = -sum(weight * math.log(weight) for weight in weights.tolist() if weight > 0)
    expected = entropy / math.log(len(scores)) if len(scores) > 1 else 0.0
    padded = torch.cat((weights, torch.zeros(2, dtype=torch.float64)))
    visible = torch.arange(len(padded)) < len(scores)
    assert relative_entropy(padded, visible).item() == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-6.0, 6.0), st.floats(-3.0, 3.0)), min_size=1, max_size=6))
def test_gradients_at_the_softmax_are_loops_over_their_equations(both: list[tuple[float, float]]) -> None:
    scores, gradient = (torch.tensor(column, dtype=torch.float64) for column in zip(*both, strict=True))
    total = sum(math.exp(score) for score in scores.tolist())
    weights = [math.exp(score) / total for score in scores.tolist()]
    n = len(weights)
    expected = [
        sum(g * weights[i] * ((i == j) - weights[j]) for i, g in enumerate(gradient.tolist())) for j in range(n)
    ]
    found = scores_gradient(torch.tensor(weights, dtype=torch.float64), gradient)
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    leaf = scores.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad((leaf.softmax(dim=-1) * gradient).sum(), leaf)
    torch.testing.assert_close(found, by_autograd)
    mean = sum(gradient.tolist()) / n
    padded = torch.cat((gradient, torch.tensor([7.0], dtype=torch.float64)))
    without_mean = centred(padded, torch.arange(n + 1) < n)
    assert without_mean.tolist() == pytest.approx([g - mean for g in gradient.tolist()] + [0.0], abs=1e-12)


def test_equal_weights_pass_one_nth_and_a_single_one_nothing() -> None:
    gradient = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    visible = torch.ones(4, dtype=torch.bool)
    equal = torch.full((4,), 0.25, dtype=torch.float64)
    torch.testing.assert_close(scores_gradient(equal, gradient), centred(gradient, visible) / 4)
    single = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert scores_gradient(single, gradient).tolist() == [0.0] * 4


def test_the_state_of_the_softmax_is_a_loop_over_the_maps() -> None:
    model = make_model(TransformerConfig(d_model=12, n_heads=3, n_layers=2, attention="dot"))
    batch = make_batch([5, 3], [4, 2])
    state = measure_softmax(model, [batch])
    assert state.passed is not None
    maps = AttentionMaps()
    total = sentence_losses(model, batch, maps).sum()
    squares, entropies = np.zeros((2, 2)), {kind: np.zeros((2, 2)) for kind in state.entropy}
    lengths = {"encoder": [(5, 5), (3, 3)], "decoder": [(5, 5), (3, 3)], "cross": [(5, 5), (3, 3)]}  # with BOS or EOS
    for kind in state.entropy:
        for weights in getattr(maps, kind):
            (gradient,) = torch.autograd.grad(total, weights, retain_graph=True)
            for sentence, (n_rows, n_keys) in enumerate(lengths[kind]):
                for head, row in np.ndindex(3, n_rows):
                    n = row + 1 if kind == "decoder" else n_keys
                    w, g = (part[sentence, head, row, :n].tolist() for part in (weights, gradient))
                    mean = sum(a * b for a, b in zip(w, g, strict=True))
                    squares[sentence, 0] += sum((a * (b - mean)) ** 2 for a, b in zip(w, g, strict=True))
                    squares[sentence, 1] += sum((b - sum(g) / n) ** 2 for b in g)
                    if n > 1:
                        entropies[kind][sentence] += -sum(a * math.log(a) for a in w) / math.log(n), 1
    np.testing.assert_allclose(state.passed, squares, rtol=1e-9)
    for kind, rows in state.entropy.items():
        np.testing.assert_allclose(rows, entropies[kind], rtol=1e-9)
    (total / batch.target_tokens).backward()
    norms = [parameter.grad.square().sum().item() for parameter in model.parameters() if parameter.grad is not None]
    assert state.gradient_norm == pytest.approx(math.sqrt(sum(norms)))
    of_queries = [weight.grad for weight in model.query_weights() if weight.grad is not None]
    assert len(of_queries) == 6
    assert state.query_norm == pytest.approx(math.sqrt(sum(part.square().sum().item() for part in of_queries)))


def test_an_rnn_has_entropy_but_no_gradient_of_weights() -> None:
    batch = make_batch([5, 3], [4, 2])
    additive = measure_softmax(make_model(RnnConfig(d_model=12, attention="additive")), [batch, batch])
    assert list(additive.entropy) == ["cross"]
    assert additive.entropy["cross"][:, 1].tolist() == [5, 3, 5, 3]
    assert additive.passed is None
    assert additive.query_norm is not None
    assert measure_softmax(make_model(RnnConfig(d_model=12, attention="dot")), [batch]).query_norm is None


def test_visible_keys_are_real_and_not_in_the_future() -> None:
    batch = make_batch([3, 2], [1, 2])
    assert visible_keys(batch, "cross")[0, 0].tolist() == [[True, True, True], [True, True, True], [False] * 3]
    assert visible_keys(batch, "decoder")[1, 0].tolist() == torch.ones(3, 3).tril().bool().tolist()
    assert visible_keys(batch, "encoder")[1, 0].tolist() == [[True, True, False], [True, True, False], [False] * 3]


def test_an_untrained_run_has_the_weights_that_its_training_began_with(tmp_path: Path) -> None:
    text = write_copy_task(tmp_path / "text", pairs=120)
    config = make_config(text, {"kind": "transformer", "n_heads": 2}, max_steps=1, learning_rate=1e-12, warmup_steps=0)
    train(config, tmp_path / "run", "cpu", quiet=True)
    run = load_run(tmp_path / "run", choose_device("cpu"))
    before = dict(untrained(run).model.named_parameters())
    for name, weight in run.model.named_parameters():
        torch.testing.assert_close(before[name], weight, rtol=0, atol=1e-9)


def test_every_transformer_starts_from_the_same_weights() -> None:
    configs = [config for name, config in ScalingStudy().configs("smoke").items() if name.startswith("transformer")]
    assert len(configs) == 4

    def weights(index: int) -> list[Tensor]:
        torch.manual_seed(configs[index].train.seed)
        return [part.detach() for part in build_model(configs[index].model, 400, 400, True).parameters()]

    first = weights(0)
    for index in range(1, 4):
        assert all(torch.equal(one, other) for one, other in zip(first, weights(index), strict=True))


@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_runs_of_a_pair_differ_in_their_score_only(preset: str) -> None:
    configs = ScalingStudy().configs("smoke" if preset == "smoke" else "quick")
    for name, config in configs.items():
        if name.endswith("_dot") and not name.endswith("scaled_dot"):
            scaled = configs[name.removesuffix("dot") + "scaled_dot"].model_dump()
            unscaled = config.model_dump()
            assert (unscaled["model"].pop("attention"), scaled["model"].pop("attention")) == ("dot", "scaled_dot")
            assert unscaled.pop("name") != scaled.pop("name")
            assert unscaled == scaled


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(-0.3, -0.4, -0.1, (0.3, 0.1, 0.4)), (0.1, -0.2, 0.3, (0.1, 0.0, 0.3)), (0.2, 0.1, 0.3, (0.2, 0.1, 0.3))],
)
def test_the_distance_from_zero_has_no_sign(
    value: float, low: float, high: float, expected: tuple[float, float, float]
) -> None:
    found = distance_from_zero(Estimate("a run", value, low, high))
    assert (found.value, found.low, found.high) == expected


def a_run(score: str, width: int, entropy: float, loss: float, passed: float, kind: str = "transformer") -> ScaledRun:
    ones = np.ones(20)
    state = SoftmaxState(
        {"cross": np.stack([entropy * ones, ones], axis=1)}, np.stack([passed**2 * ones, ones], axis=1), 1.0, None
    )
    name = f"{kind} {score} {width}"
    return ScaledRun(name, kind, score, width, kind, state, state, loss * ones, ones, ((10, 2.0), (20, 1.0)))


def test_claims_follow_from_the_pairs() -> None:
    measured = [
        *(a_run("scaled_dot", 16, 0.9, 1.0, 0.2), a_run("dot", 16, 0.7, 1.05, 0.2)),
        *(a_run("scaled_dot", 256, 0.91, 1.0, 0.2), a_run("dot", 256, 0.1, 1.5, 0.05)),
        *(a_run("additive", 256, 0.9, 1.0, 0.2, "rnn"), a_run("general", 256, 0.9, 1.01, 0.2, "rnn")),
    ]
    found = {claim.claim.name: claim for claim in judge(measured)}
    assert {name: claim.verdict for name, claim in found.items()} == {
        "saturates": "supported",
        "holds": "supported",
        "blocks": "supported",
        "stalls": "supported",
        "narrow-is-free": "supported",
        "additive-wins": "not_supported",
    }
    assert found["blocks"].worst.value == pytest.approx(0.25)
    assert found["stalls"].worst.value == pytest.approx(0.5)
    assert len(pairs(measured, "transformer", "dot", "scaled_dot")) == 2
    assert "d_k = 256, of 16, 256" in stall(measured)
    assert "no width from 16 to 16" in stall(measured[:2])
    assert [claim.claim.name for claim in judge(measured[:1])] == []


def test_runs_of_other_settings_are_no_pair() -> None:
    one, other = a_run("scaled_dot", 16, 0.9, 1.0, 0.2), a_run("dot", 16, 0.7, 1.05, 0.2)
    assert pairs([one, replace(other, group="other")], "transformer", "dot", "scaled_dot") == []


def test_the_command_measures_a_run_without_a_pair(tiny_run: Path, tmp_path: Path) -> None:
    done = call("study", "scaling", tiny_run, "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["claims"] == []
    rows = {row[2]: row for row in result["tables"][2]["rows"]}
    assert rows["before training"][3:5] == [None, None]
    assert rows["before training"][5] != rows["trained"][5]
    assert all(0 < row[5] < 1 for row in rows.values())
    assert (tmp_path / "figure.png").is_file()
    run = load_run(tiny_run, choose_device("cpu"))
    settings = run.config.model_dump(mode="json")
    settings["model"] = {"kind": "rnn", "attention": "none"}
    fixed = replace(run, config=parse_config(settings, "test"))
    assert ScalingStudy().why_not(fixed) == "a fixed context has no attention scores"

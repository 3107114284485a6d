"""Training in bfloat16: the same updates within rounding, and weights that stay float32."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

import seq2attn
from seq2attn.config.schema import TrainConfig
from seq2attn.device import bfloat16_instruction, describe_machine
from seq2attn.errors import ConfigError
from seq2attn.experiment.side_by_side import Training
from seq2attn.experiment.trainings import train_all
from seq2attn.models import precision
from seq2attn.models.build import ONEDNN_CAPACITY
from seq2attn.models.precision import fastest_precision
from seq2attn.models.products import Linear, autocast, products_in, rounded, rounded_weight, weight_gradient
from seq2attn.runs.folder import RunFolder, load_run
from seq2attn.training import loss
from seq2attn.training.loss import cross_entropy_sums
from seq2attn.training.process import training_process
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.train import train
from seq2attn.training.update import update_weights
from tests.conftest import MODELS, make_batch, make_model
from tests.training_samples import FAMILIES, make_config, write_copy_task

BATCH = make_batch([5, 3, 7] * 16, [4, 6, 2] * 16)
CPU = torch.device("cpu")
EPSILON = 2.0**-8  # of bfloat16: the largest relative error of rounding


@pytest.mark.parametrize("name", [name for name in MODELS if "deep" not in name])
def test_updates_in_bfloat16_are_those_of_float32_within_its_rounding(name: str) -> None:
    losses, norms = {}, {}
    for kind in ("float32", "bfloat16"):
        model = make_model(MODELS[name]).float().train()
        settings = TrainConfig(max_steps=1, precision=kind)
        optimizer = build_optimizer(model, settings)
        torch.manual_seed(1)
        update = update_weights(model, optimizer, [BATCH], settings, 1, 0.01)
        losses[kind], norms[kind] = update.loss, update.norm
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert norms["bfloat16"] == pytest.approx(norms["float32"], rel=0.1)
    assert losses["bfloat16"] != losses["float32"]


@pytest.mark.parametrize("n_rows", [128, 200])
def test_a_layer_multiplies_rounded_factors_in_both_passes(n_rows: int) -> None:
    torch.manual_seed(1)
    layer, inputs = Linear(24, 40), torch.randn(n_rows, 24, requires_grad=True)
    d_outputs = torch.randn(n_rows, 40)
    with products_in("bfloat16", CPU):
        outputs = layer(inputs)
        outputs.backward(d_outputs)
        d_weight = weight_gradient(d_outputs, inputs.detach())

    def exactly(tensor: Tensor) -> Tensor:
        return tensor.detach().bfloat16().double()

    for got, left, right, added in (
        (outputs, inputs, layer.weight.t(), layer.bias.detach().double()),
        (inputs.grad, d_outputs, layer.weight, 0.0),
        (layer.weight.grad, d_outputs.t(), inputs, 0.0),
        (d_weight, d_outputs.t(), inputs, 0.0),
    ):
        assert got is not None
        expected = exactly(left) @ exactly(right)
        torch.testing.assert_close(got.double() - added, expected, rtol=EPSILON, atol=1e-5)
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, d_outputs.sum(dim=0))


@pytest.mark.parametrize("n_rows", [1, 127])
def test_few_rows_are_multiplied_in_float32(n_rows: int) -> None:
    layer, inputs = Linear(8, 8), torch.randn(n_rows, 8)
    with products_in("bfloat16", CPU):
        outputs = layer(inputs)
    assert torch.equal(outputs, layer(inputs))


def test_rows_are_padded_to_few_different_numbers() -> None:
    for n in (128, 130, 511, 700, 1025):
        rows = torch.randn(n, 3)
        padded = rounded(rows)
        assert len(padded) <= max(n + 31, 1.125 * n)
        assert torch.equal(padded[:n], rows.bfloat16())
        assert not padded[n:].any()
    assert len({len(rounded(torch.zeros(n, 1))) for n in range(512, 1025)}) == 9


def test_the_loss_is_the_same_however_many_pieces_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[list[Tensor]] = []
    for piece in (1, 300, 2**21):
        monkeypatch.setattr(loss, "_PIECE", piece)
        model = make_model(MODELS["transformer_pre"]).float()
        with products_in("bfloat16", CPU):
            sums = cross_entropy_sums(model, model(BATCH), BATCH.target_output, 0.1)
            sums[0].backward()
        assert model.output_weight.grad is not None
        results.append([*(total.detach() for total in sums), model.output_weight.grad])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-4)


def test_a_weight_is_rounded_once_in_each_context() -> None:
    layer, inputs = Linear(8, 8), torch.randn(200, 8)
    for _ in range(2):
        with products_in("bfloat16", CPU):
            layer(inputs)
            once = rounded_weight(layer.weight)
            layer(inputs).sum().backward()
            assert rounded_weight(layer.weight) is once
            assert torch.equal(once, layer.weight.bfloat16())
        with torch.no_grad():
            layer.weight.add_(1.0)


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_search_in_bfloat16_is_that_of_float32_within_its_rounding(name: str, accelerator: bool) -> None:
    model = make_model(MODELS[name]).float().eval()
    tokens, logits = torch.randint(4, 9, (2, 3 * len(BATCH.source_ids))), {}
    for rounds in (False, True):
        products = products_in("bfloat16" if rounds and not accelerator else "float32", CPU)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=rounds and accelerator)
        with torch.inference_mode(), products, autocast:
            state = model.start_beams(model.encode(BATCH.source_ids, BATCH.source_valid), 3)
            for of_step in tokens:
                logits[rounds], state = model.advance(of_step, state)
    assert logits[True].dtype == torch.float32
    torch.testing.assert_close(logits[True], logits[False], rtol=0.05, atol=0.05)
    assert not torch.equal(logits[True], logits[False])


def test_the_context_ends() -> None:
    layer, inputs = Linear(8, 8), torch.randn(200, 8)
    expected = layer(inputs)
    with pytest.raises(ZeroDivisionError), products_in("bfloat16", CPU):
        raise ZeroDivisionError
    with products_in("float32", CPU):
        assert torch.equal(layer(inputs), expected)
    assert torch.equal(layer(inputs), expected)


@pytest.mark.parametrize("name", [name for name in MODELS if "deep" not in name])
def test_models_run_under_autocast_as_they_do_on_accelerators(name: str) -> None:
    assert not autocast("bfloat16", CPU)._enabled
    hidden = {}
    for enabled in (False, True):
        model = make_model(MODELS[name]).float().eval()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            hidden[enabled] = model(BATCH).float()
        hidden[enabled].sum().backward()
    real = BATCH.target_output != 0
    torch.testing.assert_close(hidden[True][real], hidden[False][real], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("instructions", "seconds", "expected"),
    [
        (True, {torch.float32: 2.0, torch.bfloat16: 1.0}, "bfloat16"),
        (True, {torch.float32: 1.4, torch.bfloat16: 1.0}, "float32"),
        (False, {torch.float32: 9.0, torch.bfloat16: 1.0}, "float32"),
    ],
)
def test_auto_takes_bfloat16_where_it_is_measured_as_faster(
    monkeypatch: pytest.MonkeyPatch, instructions: bool, seconds: dict[torch.dtype, float], expected: str
) -> None:
    monkeypatch.setattr(precision, "bfloat16_instruction", lambda: "amx_bf16" if instructions else None)
    monkeypatch.setattr(precision, "_seconds_of_product", seconds.__getitem__)
    assert fastest_precision(CPU) == expected


@pytest.mark.parametrize(
    ("kind", "instructions", "seconds_of_bfloat16", "expected"),
    [
        ("bfloat16", False, 3.5, "bfloat16 products take 3.5 times as long as float32 here"),
        ("bfloat16", False, 1.1, None),
        ("bfloat16", True, 3.5, None),
        ("float32", False, 3.5, None),
    ],
)
def test_training_and_translation_say_where_bfloat16_is_slow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    instructions: bool,
    seconds_of_bfloat16: float,
    expected: str | None,
) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: seconds_of_bfloat16}
    monkeypatch.setattr(precision, "bfloat16_instruction", lambda: "amx_bf16" if instructions else None)
    monkeypatch.setattr(precision, "_seconds_of_product", seconds.__getitem__)
    folder = RunFolder(tmp_path / "run")
    text = write_copy_task(tmp_path / "text", pairs=180)
    train(make_config(text, FAMILIES["fixed"], precision=kind, max_steps=2), folder.path, "cpu", quiet=True)
    assert load_run(folder.path, CPU, {"precision": kind}).config.decode.precision == kind
    log, shown = folder.log_file.read_text(encoding="utf-8"), capsys.readouterr().err
    for name, said in (("train", log), ("decode", shown)):
        assert said.count(f"{name}.precision: ") == (expected is not None)
        assert expected is None or f"{name}.precision: {expected}" in said


def test_a_processor_that_is_not_known_has_no_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not bfloat16_instruction()


@pytest.mark.parametrize(
    ("capabilities", "expected"), [({"avx512_bf16": True, "amx_bf16": True}, " with amx_bf16, "), ({"avx2": True}, "")]
)
def test_a_machine_is_described_with_its_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    described = describe_machine(CPU)
    assert expected in described
    assert ("bf16" in described) == bool(expected)


def test_a_resumed_run_keeps_what_auto_stood_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(
        write_copy_task(tmp_path / "text", pairs=180), FAMILIES["fixed"], precision="auto", max_steps=4
    )
    folder = RunFolder(tmp_path / "run")
    for faster in ("bfloat16", "float32"):
        monkeypatch.setattr(precision, "fastest_precision", lambda _, faster=faster: faster)
        train(config, folder.path, "cpu", resume=faster == "float32", quiet=True)
        shutil.rmtree(folder.final)
    assert folder.read_config().train.precision == "bfloat16"


def test_a_run_of_auto_is_continued_and_then_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, folder = write_copy_task(tmp_path / "text", pairs=180), RunFolder(tmp_path / "run")
    config = make_config(text, FAMILIES["fixed"], precision="auto", max_steps=4)
    monkeypatch.setattr(precision, "fastest_precision", lambda _: "bfloat16")
    train(config, folder.path, "cpu", quiet=True)
    monkeypatch.setattr(precision, "fastest_precision", lambda _: "float32")
    shutil.rmtree(folder.final)
    train_all([Training(folder.path, "fixed", config)], "cpu")
    written = folder.final.stat().st_mtime_ns
    train_all([Training(folder.path, "fixed", config)], "cpu")
    assert seq2attn.train(config, folder.path, "cpu", reuse=True).finished
    assert folder.final.stat().st_mtime_ns == written
    assert folder.read_config().train.precision == "bfloat16"
    float32 = make_config(text, FAMILIES["fixed"], precision="float32", max_steps=4)
    with pytest.raises(ConfigError, match="other settings"):
        train_all([Training(folder.path, "fixed", float32)], "cpu")


def test_a_resumed_run_cannot_change_its_precision(tmp_path: Path) -> None:
    text, folder = write_copy_task(tmp_path / "text", pairs=180), RunFolder(tmp_path / "run")
    train(make_config(text, FAMILIES["fixed"], max_steps=2), folder.path, "cpu", quiet=True)
    shutil.rmtree(folder.final)
    other = make_config(text, FAMILIES["fixed"], max_steps=2, precision="bfloat16")
    with pytest.raises(ConfigError, match=r"train\.precision"):
        train(other, folder.path, "cpu", resume=True, quiet=True)


@pytest.mark.parametrize(
    ("kind", "instructions", "expected"),
    [("float32", True, None), ("auto", False, None), ("auto", True, "1024"), ("bfloat16", False, "1024")],
)
def test_only_a_training_in_bfloat16_lets_onednn_keep_many_kernels(
    monkeypatch: pytest.MonkeyPatch, kind: str, instructions: bool, expected: str | None
) -> None:
    monkeypatch.delenv(ONEDNN_CAPACITY, raising=False)
    monkeypatch.setattr(precision, "bfloat16_instruction", lambda: "amx_bf16" if instructions else None)
    with training_process(TrainConfig(max_steps=1, precision=kind), CPU):
        assert os.environ.get(ONEDNN_CAPACITY) == expected
    assert ONEDNN_CAPACITY not in os.environ

"""A model exported to ONNX computes what it computes in PyTorch, for every kind of model and any length."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.subwords import BOS_ID
from seq2attn.export.onnx import OPSET, write_graphs
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.folder import load_run
from tests.command_line import PATIENCE, call
from tests.conftest import MODELS, make_batch, make_model
from tests.pages import ROOT, blocks

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")

# Every attention with the cell and the number of layers that `MODELS` does not have it with.
MORE_MODELS: dict[str, ModelConfig] = {
    "fixed_lstm": RnnConfig(attention="none", cell="lstm", d_model=12),
    "dot_gru_feeding_deep": RnnConfig(attention="dot", cell="gru", d_model=12, input_feeding=True, n_layers=2),
    "general_gru": RnnConfig(attention="general", cell="gru", d_model=12),
    "scaled_dot_lstm": RnnConfig(attention="scaled_dot", cell="lstm", d_model=12),
    "transformer_sinusoidal_post": TransformerConfig(d_model=12, n_heads=2, n_layers=2, norm="post"),
}
KINDS = MODELS | MORE_MODELS
# One sentence, several, and sources shorter and longer than the traced ones.
BATCHES = ([1], [5, 5], [40, 2, 17])
STEPS = 15
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = sys.modules["seq2attn"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class Exported:
    """Both graphs, called as `docs/export.md` describes."""

    def __init__(self, folder: Path) -> None:
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder")
        )
        self.names = [tensor.name for tensor in self.decoder.get_inputs()]

    def encode(self, source_ids: torch.Tensor) -> dict[str, Any]:
        return run(self.encoder, {"source_ids": source_ids.numpy()})

    def advance(self, token_ids: torch.Tensor, passed: dict[str, Any]) -> dict[str, Any]:
        inputs = {"token_ids": token_ids.numpy()} | passed
        return run(self.decoder, {name: inputs[name] for name in self.names})


def run(session: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    names = [tensor.name for tensor in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def maps_named(maps: dict[str, Any], kind: str) -> list[Any]:
    return [tensor for name, tensor in maps.items() if name.startswith(f"{kind}_attention.")]


def assert_close(ours: torch.Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-4)


@torch.no_grad()
def assert_equal_on(model: Seq2Seq, exported: Exported, batch: Batch) -> None:
    """Logits and attention weights of greedy search, position by position."""
    state = model.start(model.encode(batch.source_ids, batch.source_valid))
    passed = encoded = exported.encode(batch.source_ids)
    tokens = [torch.full((len(batch.source_ids),), BOS_ID)]
    steps = []
    for _ in range(STEPS):
        logits, state = model.advance(tokens[-1], state)
        steps.append(exported.advance(tokens[-1], passed))
        assert_close(logits, steps[-1]["logits"])
        tokens.append(logits.argmax(dim=-1))
        assert (tokens[-1].numpy() == steps[-1]["logits"].argmax(axis=-1)).all()
        after = {name.removeprefix("new_"): tensor for name, tensor in steps[-1].items()}
        passed = passed | {name: tensor for name, tensor in after.items() if name.startswith("state.")}
    target_input = torch.stack(tokens[:-1], dim=1)
    forced = Batch(batch.source_ids, batch.source_valid, target_input, target_input, target_input.numel())
    maps = model.attention_maps(forced)
    real = batch.source_valid.nonzero().unbind(dim=1)
    for ours, theirs in zip(maps.encoder, maps_named(encoded, "encoder"), strict=True):
        assert_close(ours.transpose(1, 2)[real], torch.from_numpy(theirs).transpose(1, 2)[real].numpy())
    for position, step in enumerate(steps):
        for ours, theirs in zip(maps.cross, maps_named(step, "cross"), strict=True):
            assert_close(ours[:, :, position], theirs)
        for ours, theirs in zip(maps.decoder, maps_named(step, "decoder"), strict=True):
            assert_close(ours[:, :, position, : position + 1], theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_attention_equal_those_of_pytorch_for_any_length(kind: str, tmp_path: Path) -> None:
    model = make_model(KINDS[kind], torch.float32)
    write_graphs(model, tmp_path)
    exported = Exported(tmp_path)
    for seed, lengths in enumerate(BATCHES):
        assert_equal_on(model, exported, make_batch(lengths, [1] * len(lengths), seed))
    for name in ("encoder", "decoder"):
        graph = onnx.load(tmp_path / f"{name}.onnx")
        assert [opset.version for opset in graph.opset_import] == [OPSET]
        assert {tensor.type.tensor_type.shape.dim[0].dim_param for tensor in graph.graph.input} == {"batch"}


@pytest.fixture(scope="module")
def exported_folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    done = call("export", tiny_run, "--to", "onnx", "--out", folder)
    assert done.code == 0, done.stderr
    assert done.stdout == f"{folder}\n"
    return folder


def sources(tiny_run: Path) -> list[str]:
    """Two hundred sentences, the last three of them unusual: empty, unnormalised, and longer than any in training."""
    words = [
        word.replace("\N{LOWER ONE EIGHTH BLOCK}", "")
        for word in load_run(tiny_run, torch.device("cpu")).subwords.pieces(range(4, 100), "source")
    ]
    sentences = [
        " ".join(words[(index * 7 + word * 3) % len(words)] for word in range(index % 30 + 1)) for index in range(197)
    ]
    return [*sentences, "", "  e\u0301  \u4e2d\t ", " ".join(words * 2)]


def test_its_program_needs_no_torch_and_translates_as_the_run_does(exported_folder: Path, tiny_run: Path) -> None:
    text = "\n".join(sources(tiny_run)) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, exported_folder / "translate_onnx.py"],
        input=text,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    file = exported_folder.parent / "sources.txt"
    file.write_text(text, encoding="utf-8")
    own = call("translate", tiny_run, file, "--beam", "1")
    assert own.code == 0, own.stderr
    assert done.stdout == own.stdout
    assert len(set(own.stdout.splitlines())) > 20


def test_its_program_is_short_and_imports_two_packages(exported_folder: Path) -> None:
    program = (exported_folder / "translate_onnx.py").read_text(encoding="utf-8")
    assert len([line for line in program.splitlines() if line]) <= 41
    imported = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    assert names - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "sentencepiece"}


def test_the_folder_describes_itself(exported_folder: Path, tiny_run: Path) -> None:
    assert sorted(path.name for path in exported_folder.iterdir()) == [
        "config.json",
        "decoder.onnx",
        "encoder.onnx",
        "subwords.model",
        "translate_onnx.py",
    ]
    described = json.loads((exported_folder / "config.json").read_text(encoding="utf-8"))
    assert described["opset"] == OPSET
    assert described["model"] == load_run(tiny_run, torch.device("cpu")).config.model.model_dump()
    assert described["subwords"] == {"source": "subwords.model", "target": "subwords.model"}


def test_an_existing_folder_is_not_changed(tiny_run: Path, tmp_path: Path) -> None:
    done = call("export", tiny_run, "--to", "onnx", "--out", tmp_path)
    assert done.code == 2
    assert done.complaint == f"seq2attn: {tmp_path}: already exists; name a new folder, or delete it"
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_extra_is_named(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "onnx"]:
        monkeypatch.setitem(sys.modules, name, None)
    done = call("export", tiny_run, "--to", "onnx", "--out", tmp_path / "exported")
    assert done.code == 1
    assert "pip install 'seq2attn[onnx]'" in done.complaint
    assert not (tmp_path / "exported").exists()


def test_the_program_of_the_documentation_runs(
    exported_folder: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = blocks(ROOT / "docs" / "export.md", "python")[1]
    (tmp_path / "exported-onnx").symlink_to(exported_folder)
    monkeypatch.chdir(tmp_path)
    variables: dict[str, Any] = {}
    exec(program, variables)
    trained = load_run(tiny_run, torch.device("cpu"))
    batch = collate(trained.subwords.encode_source(["ba be bi"]), [[]])
    maps = trained.model.attention_maps(batch)
    assert_close(maps.cross[0][:, :, 0].detach(), variables["weights"])
    assert_close(trained.model.project(trained.model(batch))[:, 0].detach(), variables["logits"])


def test_a_batch_is_translated_as_its_sentences_are(
    exported_folder: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(exported_folder)
    translator = importlib.import_module("translate_onnx").Translator(exported_folder)
    lines = sources(tiny_run)[-40:]
    assert translator.translate(lines) == [text for line in lines for text in translator.translate([line])]

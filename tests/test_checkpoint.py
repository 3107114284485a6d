from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2attn.errors import CheckpointError, MismatchError
from seq2attn.runs.checkpoint import load_state, load_weights, read_manifest, save_checkpoint, set_weights, weights_of
from seq2attn.runs.folder import RunFolder
from tests.conftest import MODELS, make_model

WEIGHTS = {"bias": torch.tensor([0.5, -1.0]), "weight": torch.arange(6.0).view(2, 3)}
STATE: dict[str, Any] = {
    "step": 7,
    "ranking": [(1.5, 4), (1.75, 7)],
    "optimizer": {"state": {0: {"exp_avg": torch.arange(3.0)}}},
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints" / "step_7"
    save_checkpoint(folder, WEIGHTS, STATE, {"step": 7})
    return folder


def assert_same_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_checkpoint_is_loaded_as_saved(saved: Path) -> None:
    assert_same_weights(load_weights(saved), WEIGHTS)
    state = load_state(saved)
    assert (state["step"], state["ranking"]) == (STATE["step"], STATE["ranking"])
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], torch.arange(3.0))
    assert read_manifest(saved)["step"] == 7
    assert sorted(path.name for path in saved.iterdir()) == ["manifest.json", "model.safetensors", "state.pt"]
    assert [path.name for path in saved.parent.iterdir()] == ["step_7"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_loaded_as_saved(tmp_path: Path, name: str) -> None:
    model = make_model(MODELS[name], torch.float32)
    before = {key: value.clone() for key, value in weights_of(model).items()}
    save_checkpoint(tmp_path / "step_1", weights_of(model), None, {})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    set_weights(model, load_weights(tmp_path / "step_1"), "step_1")
    assert_same_weights(weights_of(model), before)


@pytest.mark.parametrize("file", ["model.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_detected_and_named(saved: Path, file: str, damage: str) -> None:
    path = saved / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    for read in (load_weights, load_state, read_manifest):
        with pytest.raises(CheckpointError, match=file):
            read(saved)


@pytest.mark.parametrize(
    "manifest", [None, "", "{", "[" * 100_000, "[]", "{}", '{"format": 1}', '{"format": 1, "files": [1]}']
)
def test_a_missing_or_broken_manifest_is_no_checkpoint(saved: Path, manifest: str | None) -> None:
    (saved / "manifest.json").unlink()
    if manifest is not None:
        (saved / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match="step_7: not a complete checkpoint"):
        load_weights(saved)


def test_a_later_format_is_named(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(MismatchError, match="format is 99; expected 1"):
        load_weights(saved)


class _Payload:
    """Creates a folder when a loader that executes pickled code unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_with_code_is_refused_and_nothing_runs(saved: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    torch.save({"step": _Payload(trace)}, saved / "state.pt")
    manifest = json.loads((saved / "manifest.json").read_text())
    del manifest["checksum"]  # as an early version wrote it
    manifest["files"]["state.pt"] = sha256((saved / "state.pt").read_bytes()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="refused"):
        load_state(saved)
    assert not trace.exists()
    torch.load(saved / "state.pt", weights_only=False)
    assert trace.exists(), "the payload does not work, so the test proves nothing"


def test_weights_alone_are_not_a_state_to_resume_from(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "final", WEIGHTS, None, {})
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "final")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("additive_gru", r"cells\.layers\.0\.bias_hh_l0, \(36,\) in the file and \(48,\) in the model"),
        ("general_lstm_feeding", r"2 differ, first cells\.layers\.0\.weight_ih_l0"),
        ("transformer_bag", "missing in the file"),
    ],
)
def test_weights_of_another_model_are_named_and_change_nothing(other: str, named: str) -> None:
    model = make_model(MODELS["dot_lstm"])
    before = {name: value.clone() for name, value in weights_of(model).items()}
    with pytest.raises(MismatchError, match=f"step_3: its weights belong to another model.*{named}"):
        set_weights(model, weights_of(make_model(MODELS[other])), "step_3")
    assert_same_weights(weights_of(model), before)


def test_a_half_written_checkpoint_is_never_used(saved: Path) -> None:
    run = RunFolder(saved.parent.parent)
    saved.rename(saved.parent / ".step_8.partial")
    (saved.parent / "step_old").mkdir()
    assert run.steps() == []
    save_checkpoint(run.step(8), WEIGHTS, STATE, {})
    assert run.steps() == [8]
    assert not (saved.parent / ".step_8.partial").exists()


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """A limit of `size` bytes per file, which acts like a full disk, also for root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fits", [0, 300])
def test_a_full_disk_is_one_clear_error_and_the_old_checkpoint_stays(saved: Path, fits: int) -> None:
    """At 0 bytes not even the weights fit; at 300 the weights fit, but not the training state."""
    with files_end_at(fits), pytest.raises(CheckpointError, match=r"step_7: could not be written .*--resume"):
        save_checkpoint(saved, {"bias": torch.zeros(2)}, STATE, {"step": 8})
    assert_same_weights(load_weights(saved), WEIGHTS)
    assert [path.name for path in saved.parent.iterdir()] == ["step_7"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_read_only_folder_is_one_clear_error_and_the_old_checkpoint_stays(saved: Path) -> None:
    saved.parent.chmod(0o555)
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            save_checkpoint(saved, {"bias": torch.zeros(2)}, STATE, {"step": 8})
        assert_same_weights(load_weights(saved), WEIGHTS)
    finally:
        saved.parent.chmod(0o755)


def test_a_path_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(CheckpointError, match="could not be written"):
        save_checkpoint(tmp_path / "checkpoints" / "step_1", WEIGHTS, None, {})

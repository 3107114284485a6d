"""Checkpoints that are damaged, or intact but of another model, vocabulary or format."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.load import load_config
from seq2attn.config.schema import Config
from seq2attn.runs.folder import RunFolder
from tests.command_line import call, write
from tests.faults.conftest import Fault, config_of, write_config
from tests.faults.trainings import assert_same_run, train_to_the_end


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 2)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {"truncated": truncate, "flipped": flip_a_bit, "missing": Path.unlink}
FILES = ("model.safetensors", "state.pt", "manifest.json")


@pytest.fixture(scope="module")
def config(text: Path) -> Config:
    return config_of(text, max_epochs=None, max_steps=12, keep_checkpoints=3)


@pytest.fixture(scope="module")
def intact(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intact") / "run"
    train_to_the_end(config, folder)
    return folder


@pytest.fixture
def run(intact: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run before its final weights were chosen."""
    copy = RunFolder(shutil.copytree(intact, tmp_path / "run"))
    shutil.rmtree(copy.final)
    assert copy.steps() == [7, 9, 12]
    return copy


def resume(run: RunFolder, *options: str) -> Any:
    return call("train", run.config_file, "--run-dir", run.path, "--resume", *options)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_intact_checkpoint_is_used(
    damage: str, file: str, config: Config, intact: Path, run: RunFolder, fault: Fault
) -> None:
    with fault():
        for step in (12, 9):
            DAMAGES[damage](run.step(step) / file)
        done = resume(run)
        assert done.code == 0, done.stderr
        assert "using step_7 instead" in done.stderr
        assert "step_9" in done.stderr
        assert "resumes after step 7" in done.stderr
        assert {"step_9.damaged", "step_12.damaged"} <= {path.name for path in run.checkpoints.iterdir()}
        assert_same_weights_at_the_end(run, RunFolder(intact))


def assert_same_weights_at_the_end(found: RunFolder, expected: RunFolder) -> None:
    for name in ("final", "step_12"):
        files = [run.checkpoints / name / "model.safetensors" for run in (found, expected)]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_an_intact_checkpoint_the_error_says_so(damage: str, run: RunFolder, fault: Fault) -> None:
    with fault():
        for step in run.steps():
            DAMAGES[damage](run.step(step) / "model.safetensors")
        for done in (resume(run), call("translate", run.path, write(run.path / "text", "ba\n"))):
            assert done.code == 1
            assert "no other checkpoint is intact; train again in another --run-dir" in done.complaint


def test_a_best_checkpoint_that_is_damaged_is_left_out_of_the_final_weights(run: RunFolder, fault: Fault) -> None:
    with fault():
        flip_a_bit(run.step(7) / "model.safetensors")
        done = resume(run)
        assert done.code == 0, done.stderr
        assert "the final weights will be chosen without the checkpoints of steps 7" in done.stderr
        assert run.finished


def test_damaged_final_weights_are_reported_and_the_newest_used(intact: Path, tmp_path: Path, fault: Fault) -> None:
    run = RunFolder(shutil.copytree(intact, tmp_path / "run"))
    with fault():
        truncate(run.final / "model.safetensors")
        done = call("translate", run.path, write(tmp_path / "text", "ba be\n"))
        assert (done.code, done.stdout.count("\n")) == (0, 1)
        assert "final/model.safetensors: damaged" in done.stderr
        assert "using step_12 instead" in done.stderr
        scored = call("eval", run.path)
        assert scored.code == 0, scored.stderr


def test_truncated_and_invalid_lines_of_metrics_are_dropped(run: RunFolder, fault: Fault) -> None:
    before = run.metrics_file.read_bytes()
    with fault():
        run.metrics_file.write_bytes(before + b'[1]\n{"step": "x"}\n\x00\xff\n{"st')
        assert resume(run).code == 0
        assert run.metrics_file.read_bytes() == before


def digest_of(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def forged(manifest_file: Path, files: dict[str, str] | None = None, **changes: Any) -> str:
    """A manifest with other content and a correct checksum: not damaged, but forged."""
    manifest = json.loads(manifest_file.read_text()) | changes
    manifest["files"] |= files or {}
    del manifest["checksum"]
    manifest["checksum"] = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return json.dumps(manifest)


class Payload:
    """Creates a folder when a loader that executes pickled code unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("file", ["model.safetensors", "state.pt"])
@pytest.mark.parametrize("dump", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_a_pickle_with_code_is_refused_and_nothing_runs(
    file: str, dump: Callable[[Any, Path], object], run: RunFolder, tmp_path: Path, fault: Fault
) -> None:
    trace = tmp_path / "ran"
    with fault():
        for step in run.steps():
            dump(Payload(trace), run.step(step) / file)
            manifest_file = run.step(step) / "manifest.json"
            manifest_file.write_text(forged(manifest_file, files={file: digest_of(run.step(step) / file)}))
        done = resume(run)
        assert done.code == 1
        assert "refused" in done.complaint
        if file == "model.safetensors":
            assert "refused" in call("translate", run.path, write(tmp_path / "text", "ba\n")).complaint
        assert not trace.exists()


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.d_model=18", "model.d_model was 16 and is 18"),
        ("model.cell=lstm", "model.cell was gru and is lstm"),
        ("model.n_layers=1", "model.n_layers was 2 and is 1"),
    ],
)
def test_another_architecture_is_named_field_by_field(setting: str, named: str, run: RunFolder, fault: Fault) -> None:
    with fault():
        write_config(run.path, load_config(run.config_file, [setting])).replace(run.config_file)
        for done in (resume(run), call("translate", run.path, write(run.path / "text", "ba\n"))):
            assert done.code == 2
            assert f"step_12: belongs to another model: {named}" in done.complaint


def test_another_vocabulary_is_named(run: RunFolder, text: Path, tmp_path: Path, fault: Fault) -> None:
    other = config_of(text, max_epochs=None, max_steps=1)
    other = other.model_copy(update={"subwords": other.subwords.model_copy(update={"vocab_size": 25})})
    train_to_the_end(other, tmp_path / "other")
    with fault():
        shutil.copy(tmp_path / "other" / "subwords.model", run.path)
        for done in (resume(run), call("translate", run.path, write(run.path / "text", "ba\n"))):
            assert done.code == 2
            assert "subwords.source_size was 27 and is 25" in done.complaint
            assert "subwords.digest was" in done.complaint


@pytest.mark.parametrize("step", [12, 9])
def test_another_format_is_named_and_not_skipped(step: int, run: RunFolder, fault: Fault) -> None:
    manifest_file = run.step(12) / "manifest.json"
    with fault():
        manifest_file.write_text(forged(manifest_file, format=99))
        done = resume(run)
        assert done.code == 2
        assert "step_12: format is 99; expected 1" in done.complaint
        assert run.steps()[-1] == 12


def test_a_state_of_another_version_is_named(run: RunFolder, fault: Fault) -> None:
    with fault():
        folder = run.step(12)
        torch.save({"step": 12}, folder / "state.pt")
        manifest_file = folder / "manifest.json"
        manifest_file.write_text(forged(manifest_file, files={"state.pt": digest_of(folder / "state.pt")}))
        done = resume(run)
        assert done.code == 2
        assert "its training state belongs to another version or model" in done.complaint


@pytest.mark.parametrize(
    ("part", "found"),
    [
        (slice(0, 0), "subwords.model is not a valid SentencePiece model"),
        (slice(1, None), "subwords.model is not a valid SentencePiece model"),
        # A part of a model can itself be a model, with a few subwords.
        (slice(0, 100), "belongs to another model: subwords.digest was"),
    ],
)
def test_a_corrupt_subword_model(part: slice, found: str, run: RunFolder, fault: Fault) -> None:
    file = run.path / "subwords.model"
    with fault():
        file.write_bytes(file.read_bytes()[part])
        for done in (resume(run), call("translate", run.path, write(run.path / "text", "ba\n"))):
            assert done.code == 2
            assert found in done.complaint


def test_a_run_killed_before_it_began_can_be_started_again(config: Config, tmp_path: Path, fault: Fault) -> None:
    """A folder with subwords but without a configuration is not a run yet."""
    run = RunFolder(tmp_path / "run")
    run.make()
    with fault():
        (run.path / "subwords.model").write_bytes(b"half")
        (run.path / ".config.yaml.partial").write_bytes(b"na")
        train_to_the_end(config, run.path)
        assert run.finished


def test_two_uninterrupted_runs_are_equal(config: Config, intact: Path, tmp_path: Path) -> None:
    train_to_the_end(config, tmp_path / "again")
    assert_same_run(tmp_path / "again", intact)

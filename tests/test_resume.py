"""A resumed training equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.schema import Config
from seq2attn.errors import CheckpointError, ConfigError, DataError, RunError
from seq2attn.runs.folder import RunFolder
from seq2attn.training import loop
from seq2attn.training.log import TrainingLog
from seq2attn.training.train import train
from tests.faults.trainings import assert_same_run
from tests.training_samples import FAMILIES, make_config, read_metrics, write_copy_task

EPOCHS = 3
EPOCH_BATCHES = 9


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)


@pytest.fixture(scope="module")
def uninterrupted_run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The uninterrupted run of each family, trained once."""
    runs: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in runs:
            runs[family] = tmp_path_factory.mktemp(family) / "uninterrupted"
            train(config_of(text, family), runs[family], "cpu", quiet=True)
        return runs[family]

    return get


@pytest.fixture(autouse=True)
def _report_every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_REPORT_STEPS", 1)


def config_of(text: Path, family: str, **train_settings: Any) -> Config:
    # Dropout draws random numbers, two batches per update cross the ends of epochs, and layers have masks between them.
    model = FAMILIES[family] | {"dropout": 0.2, "n_layers": 2}
    settings: dict[str, Any] = {"max_epochs": EPOCHS, "validate_every_steps": 7, "checkpoint_every_steps": 5}
    return make_config(text, model, **(settings | train_settings))


def call_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Call `action` when the training metrics of update `step` are logged."""
    metrics = TrainingLog.metrics

    def watch(self: TrainingLog, now: int, values: Mapping[str, float]) -> None:
        metrics(self, now, values)
        if now == step and "loss/train" in values:
            action()

    monkeypatch.setattr(TrainingLog, "metrics", watch)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


STOPS = {"mid-epoch": EPOCH_BATCHES + 4, "end of an epoch": EPOCH_BATCHES, "first batch": EPOCH_BATCHES + 1}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("family", FAMILIES)
def test_resumed_is_uninterrupted(
    family: str,
    stop: str,
    text: Path,
    uninterrupted_run: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, run, config = uninterrupted_run(family), tmp_path / "run", config_of(text, family)
    epochs = {line["step"]: line["progress/epoch"] for line in read_metrics(expected) if "progress/epoch" in line}
    assert epochs[EPOCH_BATCHES] == 1.0, "the stops below do not match their names"
    with monkeypatch.context() as patch:
        call_at(patch, STOPS[stop], interrupt)
        first = train(config, run, "cpu", quiet=True)
    assert (first.steps, first.stopped_by, first.validation) == (STOPS[stop], signal.SIGINT, None)
    assert not RunFolder(run).finished
    torch.manual_seed(99)  # the process may have drawn random numbers meanwhile
    second = train(config, run, "cpu", resume=True, quiet=True)
    assert (second.steps, second.stopped_by) == (EPOCHS * EPOCH_BATCHES, None)
    assert_same_run(run, expected)


def test_updates_across_the_end_of_an_epoch_resume_too(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(text, "additive", accumulate=2)
    train(config, tmp_path / "uninterrupted", "cpu", quiet=True)
    with monkeypatch.context() as patch:
        call_at(patch, EPOCH_BATCHES // 2 + 1, interrupt)
        assert train(config, tmp_path / "run", "cpu", quiet=True).stopped_by == signal.SIGINT
    train(config, tmp_path / "run", "cpu", resume=True, quiet=True)
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


class _PowerCut(BaseException):
    """An exception that no code catches."""


def _cut_power() -> None:
    raise _PowerCut


@pytest.mark.parametrize("step", [3, 13], ids=["before the first checkpoint", "between two"])
def test_a_power_cut_costs_the_updates_since_the_last_checkpoint_and_nothing_else(
    step: int, text: Path, uninterrupted_run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = tmp_path / "run", config_of(text, "additive")
    with monkeypatch.context() as patch:
        call_at(patch, step, _cut_power)
        with pytest.raises(_PowerCut):
            train(config, run, "cpu", quiet=True)
    # A power cut can leave half a checkpoint and half a line.
    (run / "checkpoints" / f".step_{step}.partial").mkdir(parents=True)
    with RunFolder(run).metrics_file.open("a", encoding="utf-8") as file:
        file.write('{"step": ')
    train(config, run, "cpu", resume=True, quiet=True)
    assert_same_run(run, uninterrupted_run("additive"))


def test_a_damaged_checkpoint_is_named_on_resume(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = tmp_path / "run", config_of(text, "fixed")
    with monkeypatch.context() as patch:
        call_at(patch, 6, interrupt)
        train(config, run, "cpu", quiet=True)
    for step in RunFolder(run).steps():
        (RunFolder(run).step(step) / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step_5/model\.safetensors: damaged.*no other checkpoint is intact"):
        train(config, run, "cpu", resume=True, quiet=True)


def test_a_folder_with_a_run_is_not_trained_over(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = tmp_path / "run", config_of(text, "fixed", max_epochs=1)
    with monkeypatch.context() as patch:
        call_at(patch, 2, interrupt)
        train(config, run, "cpu", quiet=True)
    with pytest.raises(RunError, match="already holds a run; resume it with --resume"):
        train(config, run, "cpu", quiet=True)
    train(config, run, "cpu", resume=True, quiet=True)
    with pytest.raises(RunError, match="this run is finished"):
        train(config, run, "cpu", resume=True, quiet=True)


def test_another_configuration_is_refused_with_the_keys_that_differ(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        call_at(patch, 2, interrupt)
        train(config_of(text, "fixed"), run, "cpu", quiet=True)
    with pytest.raises(ConfigError, match=r"configuration: train\.clip_norm was 1\.0 and is 0\.5$"):
        train(config_of(text, "fixed", clip_norm=0.5), run, "cpu", resume=True, quiet=True)
    with pytest.raises(ConfigError, match=r"model\.attention was none and is additive$"):
        train(config_of(text, "additive"), run, "cpu", resume=True, quiet=True)
    with pytest.raises(ConfigError, match=r"model\.cell was gru and is None.*model\.n_heads was None and is 2"):
        train(config_of(text, "transformer"), run, "cpu", resume=True, quiet=True)
    longer = config_of(text, "fixed", max_epochs=None, max_steps=4, checkpoint_every_steps=50)
    assert train(longer, run, "cpu", resume=True, quiet=True).steps == 4


def test_resume_without_a_run_starts_one(text: Path, tmp_path: Path) -> None:
    config = config_of(text, "fixed", max_epochs=None, max_steps=2)
    assert train(config, tmp_path / "run", "cpu", resume=True, quiet=True).steps == 2


def test_a_run_does_not_resume_with_other_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_copy_task(tmp_path / "text", pairs=180)
    run, config = tmp_path / "run", config_of(text, "fixed", max_epochs=1)
    with monkeypatch.context() as patch:
        call_at(patch, 2, interrupt)
        train(config, run, "cpu", quiet=True)
    write_copy_task(tmp_path / "text", pairs=179)
    with pytest.raises(DataError, match="started with other text"):
        train(config, run, "cpu", resume=True, quiet=True)


@pytest.mark.parametrize(("owner", "moment"), [(loop.Trainer, "_finish"), (loop.CheckpointManager, "save_final")])
def test_a_power_cut_while_the_final_weights_are_chosen_loses_nothing(
    owner: type,
    moment: str,
    text: Path,
    uninterrupted_run: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, config = tmp_path / "run", config_of(text, "fixed")
    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, lambda *_: _cut_power())
        with pytest.raises(_PowerCut):
            train(config, run, "cpu", quiet=True)
    train(config, run, "cpu", resume=True, quiet=True)
    assert_same_run(run, uninterrupted_run("fixed"))

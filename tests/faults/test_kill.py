"""SIGKILL at any moment: the resumed run equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from seq2attn.config.schema import Config
from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from tests.faults.conftest import Fault, config_of
from tests.faults.trainings import assert_same_run, start_training, train_to_the_end
from tests.training_samples import FAMILIES

KILLS = 6  # of each of the four families
STEPS = 180


def reported_step(run: Path) -> int:
    """The last update in the metrics, or 0."""
    file = RunFolder(run).metrics_file
    lines = file.read_bytes().rpartition(b"\n")[0].splitlines() if file.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0


def kill_after(config: Config, run: Path, step: int, seconds: float, fault: Fault) -> None:
    """Train until update `step` is reported, wait `seconds` more, then kill."""
    process = start_training(config, run)
    while process.is_alive() and reported_step(run) < step:
        time.sleep(0.002)
    process.join(seconds)
    with fault():
        assert process.is_alive(), "it ended before it could be killed"
        process.kill()
        process.join()
        for kept in RunFolder(run).steps():
            read_manifest(RunFolder(run).step(kept))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_killed_at_random_moments(family: str, text: Path, tmp_path: Path, fault: Fault) -> None:
    config = config_of(text, family, max_epochs=None, max_steps=STEPS, checkpoint_every_steps=5)
    train_to_the_end(config, tmp_path / "uninterrupted")
    draw = random.Random(family)
    for step in sorted(draw.sample(range(STEPS - 40), KILLS)):
        kill_after(config, tmp_path / "run", step, draw.uniform(0.0, 0.05), fault)
    train_to_the_end(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


def test_killed_before_and_after_the_first_checkpoint(text: Path, tmp_path: Path, fault: Fault) -> None:
    config = config_of(text, max_epochs=None, max_steps=40, accumulate=2)
    train_to_the_end(config, tmp_path / "uninterrupted")
    for step, seconds in ((0, 0.2), (12, 0.01)):
        kill_after(config, tmp_path / "run", step, seconds, fault)
    train_to_the_end(config, tmp_path / "run")
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written_or_deleted(text: Path, tmp_path: Path, fault: Fault) -> None:
    # Large enough that writing it takes longer than detecting that it is being written.
    config = config_of(text, "transformer", max_epochs=2, checkpoint_every_steps=1, keep_checkpoints=1)
    config = config.model_copy(update={"model": config.model.model_copy(update={"d_model": 256})})
    run = RunFolder(tmp_path / "run")
    hits = 0
    while hits < 2:
        process = start_training(config, run.path)
        seen = set(run.checkpoints.glob(".step_*"))
        while process.is_alive() and not set(run.checkpoints.glob(".step_*")) - seen:
            pass
        with fault():
            process.kill()
            process.join()
            left = list(run.checkpoints.glob(".step_*"))
            hits += bool(left)
            for step in run.steps():
                read_manifest(run.step(step))
        assert not run.finished, "no kill hit a write or a deletion"
    train_to_the_end(config, run.path)
    assert not list(run.checkpoints.glob(".*")), "the drafts that the kills left still exist"
    train_to_the_end(config, tmp_path / "uninterrupted")
    assert_same_run(run.path, tmp_path / "uninterrupted")

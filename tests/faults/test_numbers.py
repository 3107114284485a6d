"""Losses that are not finite, trainings that diverge, and batches that do not fit into memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from seq2attn.models.build import build_model
from seq2attn.runs.checkpoint import load_state, load_weights, read_manifest
from seq2attn.runs.folder import RunFolder
from seq2attn.training.loop import Trainer
from seq2attn.training.prepare import prepare_text
from seq2attn.training.train import open_log
from tests.command_line import PATIENCE, call
from tests.faults.conftest import Fault, config_of, write_config
from tests.training_samples import write_copy_task

CPU = torch.device("cpu")


def test_a_learning_rate_that_overflows(text: Path, tmp_path: Path, fault: Fault) -> None:
    """The first update changes the weights so much that every later loss is NaN."""
    config = config_of(text, max_epochs=None, max_steps=200, learning_rate=1e38, warmup_steps=0, decay="none")
    run = RunFolder(tmp_path / "run")
    with fault():
        done = call("train", write_config(tmp_path, config), "--run-dir", run.path)
        assert done.code == 1
        complaint = done.stderr.splitlines()[-1]
        assert complaint.startswith("seq2attn: 10 updates in a row failed; the last was update 11: the loss is ")
        assert "a lower train.learning_rate" in complaint
        assert complaint.endswith(f"The state is saved in {run.step(11)}")
        before, after = (load_weights(run.step(step)) for step in (9, 11))
        assert all(torch.equal(before[name], after[name]) for name in before)
        counts = load_state(run.step(9))["divergence"]
        assert (counts["skipped"], counts["failed_in_a_row"]) == (8, 8)
        pairs = [json.loads(line) for line in run.failed_batch_file.read_text(encoding="utf-8").splitlines()]
        assert f"{run.failed_batch_file}: {pairs[0]['pair']}, {pairs[1]['pair']}, " in complaint
        assert all(pair.keys() == {"pair", "source", "target"} for pair in pairs)


def poisoned(trainer: Trainer, word: str) -> None:
    """Make the loss of every batch that contains the subword of `word` infinite."""
    ((subword, _),) = trainer.text.subwords.encode_source([word])
    with torch.no_grad():
        trainer.model.embeddings.source.weight[subword] = math.inf  # type: ignore[union-attr, index]


def test_batches_that_are_not_finite_are_skipped_and_the_others_train(text: Path, tmp_path: Path, fault: Fault) -> None:
    config = config_of(text, "transformer", max_epochs=None, max_steps=24, batch_tokens=20, validate_every_steps=99)
    config = config.model_copy(update={"model": config.model.model_copy(update={"tie_embeddings": False})})
    run = RunFolder(tmp_path / "run")
    run.make()
    prepared = prepare_text(config, run, resume=False)
    subwords = prepared.subwords
    model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint)
    trainer = Trainer(config, prepared, model, run, CPU)
    poisoned(trainer, "ga")
    with fault(), open_log(run, 0, None) as log:
        trainer.run(log)
        skipped = trainer.monitor.skipped
        assert 3 <= skipped < 24
        assert read_manifest(run.final)["updates/skipped"] == skipped
        said = run.log_file.read_text(encoding="utf-8")
        assert said.count("It was skipped; its pairs are in") == skipped
        words = {line.split("\t")[0] for line in (text / "train.tsv").read_text().splitlines()}
        for pair in map(json.loads, run.failed_batch_file.read_text(encoding="utf-8").splitlines()):
            assert pair["source"] in words
        weights = load_weights(run.final)
        assert not any(torch.isnan(value).any() for value in weights.values())


@pytest.mark.parametrize("family", ["fixed", "transformer"])
def test_a_training_that_diverges_is_stopped(family: str, text: Path, tmp_path: Path, fault: Fault) -> None:
    config = config_of(
        text,
        family,
        max_epochs=None,
        max_steps=1000,
        learning_rate=30.0,
        decay="none",
        validate_every_steps=500,
        checkpoint_every_steps=500,
    )
    run = RunFolder(tmp_path / "run")
    with fault():
        done = call("train", write_config(tmp_path, config), "--run-dir", run.path)
        assert done.code == 1
        complaint = done.stderr.splitlines()[-1]
        assert f"in 100 updates in a row the loss was above that of a uniform guess, {math.log(27):.2f}" in complaint
        assert "Train in another --run-dir with a different train.learning_rate" in complaint
        (step,) = run.steps()
        assert step < 300
        read_manifest(run.step(step))


# Loads everything, limits further growth of the process to the given number of bytes (0: no limit), and calls the
# command. With no limit it finally prints to stderr by how many bytes it grew, sampled every few milliseconds.
LIMITED = """
import pathlib, resource, sys, threading, torch
from seq2attn.training.train import train
from seq2attn.cli.app import main

def used():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))

def watch():
    global most
    while not ended.wait(0.005):
        most = max(most, used())

torch.set_num_threads(1)
at_first = most = used()
ended = threading.Event()
if limit := int(sys.argv.pop(1)):
    resource.setrlimit(resource.RLIMIT_DATA, (at_first + limit, at_first + limit))
else:
    threading.Thread(target=watch).start()
try:
    main()
finally:
    ended.set()
    if not limit:
        print(most - at_first, file=sys.stderr)
"""
needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's RLIMIT_DATA and /proc")


def with_memory_for(size: int, words: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that may grow by `size` bytes after everything is loaded; 0: no limit."""
    command = [sys.executable, "-c", LIMITED, str(size), *map(str, words)]
    # Freed memory counts towards the limit until the C library returns it: at once, for blocks of at least this size.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment)


@pytest.fixture(scope="module")
def large_batches(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A command whose batches, of all pairs at once, take some hundred MiB; append the folder of the run."""
    folder = tmp_path_factory.mktemp("large")
    text = write_copy_task(folder / "text", pairs=2000)
    settings = {"batch_tokens": 100_000, "max_epochs": None, "max_steps": 3, "checkpoint_every_steps": 99}
    config = config_of(text, "additive", **settings, validate_every_steps=99)
    model = config.model.model_copy(update={"d_model": 256, "n_layers": 1})
    return ["train", write_config(folder, config.model_copy(update={"model": model})), "--run-dir"]


@pytest.fixture(scope="module")
def enough(large_batches: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes by which that training grows without a limit; they depend on the machine and on torch."""
    done = with_memory_for(0, [*large_batches, tmp_path_factory.mktemp("free") / "run", "--set", "train.max_steps=1"])
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@pytest.mark.slow
@needs_limits
def test_batches_that_do_not_fit_into_memory_are_split(
    large_batches: list[str | Path], enough: int, tmp_path: Path, fault: Fault
) -> None:
    """Two thirds of the memory of a full batch suffice for half a batch."""
    with fault():
        done = with_memory_for(enough * 2 // 3, [*large_batches, tmp_path / "run"])
        assert done.returncode == 0, done.stderr
        assert "memory sufficed only for parts of its batch; lower train.batch_tokens" in done.stderr
        assert read_manifest(RunFolder(tmp_path / "run").final)["updates/split"] > 0
    with fault():
        words = [*large_batches, tmp_path / "second", "--set", "train.max_failed_updates=2"]
        done = with_memory_for(enough * 2 // 3, words)
        assert done.returncode == 1
        complaint = done.stderr.splitlines()[-1]
        assert complaint.startswith("seq2attn: 2 updates in a row failed; the last was update 2: memory sufficed only")
        read_manifest(RunFolder(tmp_path / "second").step(2))


@pytest.mark.slow
@needs_limits
def test_memory_too_small_for_any_batch(
    large_batches: list[str | Path], enough: int, tmp_path: Path, fault: Fault
) -> None:
    with fault():
        done = with_memory_for(enough // 10, [*large_batches, tmp_path / "run"])
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("seq2attn: ")
        assert "memory" in done.stderr.splitlines()[-1]

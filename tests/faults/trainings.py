"""Trainings in separate processes, to be killed, and the comparison of two runs."""

from __future__ import annotations

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from seq2attn.config.schema import Config
from seq2attn.experiment.pictures import Pictures
from seq2attn.runs.checkpoint import load_state, load_weights
from seq2attn.runs.folder import RunFolder
from seq2attn.training import loop
from seq2attn.training.train import train
from tests.training_samples import read_metrics

# A server that has loaded everything forks a process for each training, which saves two seconds of loading.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.trainings"])


def start_training(config: Config, run: Path) -> BaseProcess:
    """A process that trains `config` in `run`, or resumes it."""
    process = CONTEXT.Process(target=_train, args=(config, run))
    process.start()
    return process


def train_to_the_end(config: Config, run: Path) -> None:
    """Train in a process, and wait until it succeeds."""
    process = start_training(config, run)
    process.join()
    assert process.exitcode == 0


def _train(config: Config, run: Path) -> None:
    loop._REPORT_STEPS = 4  # so that some checkpoints fall between two reports
    torch.set_num_threads(1)
    train(config, run, "cpu", resume=True, quiet=True, observer=Pictures())


def assert_same_run(found: Path, expected: Path) -> None:
    """Assert equal metrics at every update, equal state and equal final weights, bit for bit."""
    found_run, expected_run = RunFolder(found), RunFolder(expected)
    assert read_metrics(found) == read_metrics(expected)
    assert found_run.steps()[-1] == expected_run.steps()[-1]
    last = expected_run.steps()[-1]
    assert_same(load_weights(found_run.step(last)), load_weights(expected_run.step(last)), "weights")
    assert_same(load_state(found_run.step(last)), load_state(expected_run.step(last)), "state")
    assert_same(load_weights(found_run.final), load_weights(expected_run.final), "final weights")


def assert_same(found: Any, expected: Any, where: str) -> None:
    """Assert equality to the last bit, except for times."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            if key != "seconds":
                assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    else:
        assert found == expected, where

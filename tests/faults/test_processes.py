"""Processes that train together: one is killed or gets a signal, and the others end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from tests.command_line import PATIENCE, PROGRAM, finish, running, spawn, wait_for
from tests.faults.conftest import Fault, config_of, write_config
from tests.faults.trainings import assert_same_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
SECONDS_TO_END = 30
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def training(text: Path, folder: Path, **train: object) -> tuple[RunFolder, list[str | Path]]:
    """The folder of a training that two processes can share, and its command."""
    config = config_of(text, **({"accumulate": 2, "checkpoint_every_steps": 10} | train))
    run = RunFolder(folder / "run")
    return run, ["train", write_config(folder, config), "--run-dir", run.path]


def endless(text: Path, folder: Path) -> tuple[RunFolder, list[str | Path]]:
    return training(text, folder, max_epochs=None, max_steps=1_000_000, validate_every_steps=1000)


def process_of_rank(rank: int, launcher: subprocess.Popen[bytes]) -> int:
    """The id of the process with this rank that `launcher` started."""
    for children in Path(f"/proc/{launcher.pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return child
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_training(rank: int, text: Path, tmp_path: Path, fault: Fault) -> None:
    run, words = endless(text, tmp_path)
    with fault(), running(*words, "--nproc", "2") as launcher:
        wait_for(run.step(20), launcher)
        os.kill(process_of_rank(rank, launcher), signal.SIGKILL)
        killed = time.monotonic()
        done = finish(launcher)
        assert time.monotonic() - killed < SECONDS_TO_END
        assert done.code == 1
        assert "Traceback" not in done.stderr
        message = f"seq2attn: process {rank} of 2 was ended by SIGKILL; continue from the last checkpoint with --resume"
        assert done.stderr.splitlines()[-1] == message
    last = run.steps()[-1]
    again = spawn(*words, "--nproc", "2", "--resume", "--set", f"train.max_steps={last + 2}")
    assert again.code == 0, again.stderr
    assert again.stderr.count(f"resumes after step {last}") == 1
    assert again.stdout == f"{run.path}\n"


def test_a_signal_to_one_process_saves_once(text: Path, tmp_path: Path, fault: Fault) -> None:
    run, words = endless(text, tmp_path)
    with fault(), running(*words, "--nproc", "2") as launcher:
        wait_for(run.step(10), launcher)
        os.kill(process_of_rank(1, launcher), signal.SIGTERM)
        done = finish(launcher)
        assert (done.code, done.stdout) == (143, "")
        last = run.steps()[-1]
        assert (
            done.stderr.splitlines()[-1] == f"stopped after step {last}; run the same command with --resume to continue"
        )
        assert done.stderr.count("stopped after step") == 1
        read_manifest(run.step(last))


def test_ctrl_c_saves_and_exits(text: Path, tmp_path: Path, fault: Fault) -> None:
    run, words = endless(text, tmp_path)
    with fault(), running(*words, "--nproc", "2") as launcher:
        wait_for(run.step(10), launcher)
        launcher.send_signal(signal.SIGINT)
        done = finish(launcher)
        assert done.code == 130
        assert "Traceback" not in done.stderr
        assert f"stopped after step {run.steps()[-1]}" in done.stderr


def test_an_error_of_the_first_process_is_one_line(text: Path, tmp_path: Path) -> None:
    run, words = training(text, tmp_path, max_epochs=None, max_steps=2)
    assert spawn(*words, "--nproc", "2").code == 0
    again = spawn(*words, "--nproc", "2")
    assert (again.code, again.complaint) == (
        2,
        f"seq2attn: {run.path}: already holds a run; resume it with --resume, or choose another --run-dir",
    )


def test_torchrun_restarts_from_the_last_checkpoint(text: Path, tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "uninterrupted").mkdir()
    expected, words = training(text, tmp_path / "uninterrupted", max_epochs=None, max_steps=120)
    assert spawn(*words, "--nproc", "2").code == 0
    run, words = training(text, tmp_path, max_epochs=None, max_steps=120)
    command = [*TORCHRUN, "--max-restarts", "1", *PROGRAM[1:], *map(str, words)]
    with fault(), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as launcher:
        wait_for(run.step(10), launcher)
        os.kill(process_of_rank(1, launcher), signal.SIGKILL)
        output, errors = launcher.communicate(timeout=PATIENCE)
        assert launcher.returncode == 0, errors.decode()
        assert output.decode() == f"{run.path}\n"
        assert "resumes after step" in errors.decode()
        assert_same_run(run.path, expected.path)

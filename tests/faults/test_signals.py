"""SIGTERM and SIGINT: the step is finished, the state saved, and the exit code is the signal's."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from seq2attn.training.checkpoint import read_manifest
from seq2attn.training.run_folder import RunFolder
from tests.command_line import PROGRAM, call, wait_for
from tests.faults.conftest import Fault, config_of, write_config


def start(text: Path, folder: Path) -> tuple[RunFolder, list[str | Path], subprocess.Popen[bytes]]:
    """A training without end, its folder, and its command."""
    config = config_of(text, max_epochs=None, max_steps=1_000_000, checkpoint_every_steps=50, validate_every_steps=500)
    run = RunFolder(folder / "run")
    words: list[str | Path] = ["train", write_config(folder, config), "--run-dir", run.path]
    command = [*PROGRAM, *map(str, words)]
    return run, words, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves(number: signal.Signals, code: int, text: Path, tmp_path: Path, fault: Fault) -> None:
    run, words, process = start(text, tmp_path)
    wait_for(run.step(50), process)
    with fault():
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (code, b"")
        (*_, complaint) = errors.decode().splitlines()
        last = run.steps()[-1]
        assert complaint == f"stopped after step {last}; the same command with --resume goes on"
        assert b"Traceback" not in errors
        read_manifest(run.step(last))
        done = call(*words, "--resume", "--set", f"train.max_steps={last + 2}")
        assert done.code == 0, done.stderr
        assert f"goes on after step {last}" in done.stderr


def test_the_second_ctrl_c_leaves_at_once(text: Path, tmp_path: Path, fault: Fault) -> None:
    run, _, process = start(text, tmp_path)
    wait_for(run.step(50), process)
    with fault():
        # Both wait while the process is stopped, and are taken one after the other when it goes on.
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert b"Traceback" not in errors
        for step in run.steps():
            read_manifest(run.step(step))

"""SIGTERM and SIGINT: the step is finished, the state saved, and the exit code is the signal's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seq2attn.training.checkpoint import read_manifest
from seq2attn.training.run_folder import RunFolder
from tests.command_line import PROGRAM, call, wait_for
from tests.faults.conftest import Fault, config_of, write_config


def start(text: Path, folder: Path, **train: object) -> tuple[RunFolder, list[str | Path], subprocess.Popen[bytes]]:
    """A training without end, its folder, and its command."""
    often = {"checkpoint_every_steps": 50, "validate_every_steps": 500} | train
    config = config_of(text, max_epochs=None, max_steps=1_000_000, **often)
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
    # An update of seconds stands between the first signal and the end of the step.
    run, _, process = start(text, tmp_path, batch_tokens=100, accumulate=1500, checkpoint_every_steps=1)
    wait_for(run.step(1), process)
    with fault():
        # Half a second each: for the checkpoint's end, and for the first signal to be taken.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"Traceback" not in errors
        assert run.steps() == [1]
        read_manifest(run.step(1))


def test_a_ctrl_c_while_the_program_ends_shows_no_traceback(fault: Fault) -> None:
    with fault():
        late = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
        program = f"{late}; from seq2attn.cli.app import main; import sys; sys.argv[1:] = ['--version']; main()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        assert done.stdout.startswith(b"seq2attn ")
        assert done.returncode == -signal.SIGINT
        assert done.stderr == b""

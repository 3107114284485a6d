"""SIGTERM and SIGINT: the step is finished, the state saved, and the exit code is the signal's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from tests.command_line import PATIENCE, call, finish, running, wait_for
from tests.faults.conftest import Fault, config_of, write_config


def endless(text: Path, folder: Path, **train: object) -> tuple[RunFolder, list[str | Path]]:
    """The folder of an endless training, and its command."""
    often = {"checkpoint_every_steps": 50, "validate_every_steps": 500} | train
    config = config_of(text, max_epochs=None, max_steps=1_000_000, **often)
    run = RunFolder(folder / "run")
    return run, ["train", write_config(folder, config), "--run-dir", run.path]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_exits(number: signal.Signals, code: int, text: Path, tmp_path: Path, fault: Fault) -> None:
    run, words = endless(text, tmp_path)
    with fault(), running(*words) as process:
        wait_for(run.step(50), process)
        process.send_signal(number)
        done = finish(process)
        assert (done.code, done.stdout) == (code, "")
        assert "Traceback" not in done.stderr
        last = run.steps()[-1]
        message = done.stderr.splitlines()[-1]
        assert message == f"stopped after step {last}; run the same command with --resume to continue"
        read_manifest(run.step(last))
        again = call(*words, "--resume", "--set", f"train.max_steps={last + 2}")
        assert again.code == 0, again.stderr
        assert f"resumes after step {last}" in again.stderr


def wait_for_its_handler(process: subprocess.Popen[bytes]) -> None:
    """Wait until `process` catches SIGTERM, which the command does only while it trains."""
    deadline = time.monotonic() + PATIENCE
    caught = 0
    while not caught & 1 << (signal.SIGTERM - 1):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], base=16) for line in lines if line.startswith("SigCgt"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_second_ctrl_c_exits_at_once(text: Path, tmp_path: Path, fault: Fault) -> None:
    # So many batches that the first update takes most of a minute on a fast machine.
    run, words = endless(text, tmp_path, batch_tokens=100, accumulate=20_000, checkpoint_every_steps=1)
    with fault(), running(*words) as process:
        wait_for_its_handler(process)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)  # signals sent before the first is handled would count as one
        process.send_signal(signal.SIGINT)
        done = finish(process)
        assert done.code == 130
        assert "Traceback" not in done.stderr
        assert run.steps() == [], "the update was finished and saved, as after the first"


def test_a_ctrl_c_while_the_program_ends_shows_no_traceback(fault: Fault) -> None:
    with fault():
        late = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
        program = f"{late}; from seq2attn.cli.app import main; import sys; sys.argv[1:] = ['--version']; main()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE)
        assert done.stdout.startswith(b"seq2attn ")
        assert done.returncode == -signal.SIGINT
        assert done.stderr == b""

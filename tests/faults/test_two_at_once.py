"""Two processes in one run folder: the second is refused until the first ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from seq2attn.runs.folder import RunFolder
from tests.command_line import call
from tests.faults.conftest import Fault, config_of, write_config
from tests.faults.trainings import start_training


def test_the_second_is_refused_until_the_first_dies(text: Path, tmp_path: Path, fault: Fault) -> None:
    run = RunFolder(tmp_path / "run")
    endless = config_of(text, max_epochs=None, max_steps=1_000_000, checkpoint_every_steps=5)
    words = ["train", write_config(tmp_path, endless), "--run-dir", run.path, "--resume"]
    first = start_training(endless, run.path)
    while not run.step(5).exists():
        first.join(0.02)
        assert first.is_alive()
    assert first.pid is not None
    # Stopped, so that the refusal cannot depend on what the first does meanwhile.
    os.kill(first.pid, signal.SIGSTOP)
    with fault():
        before = run.metrics_file.read_bytes()
        done = call(*words)
        assert done.code == 2
        assert f"{run.path}: process {first.pid} is training here" in done.complaint
        assert run.metrics_file.read_bytes() == before
    with fault():
        first.kill()
        first.join()
        last = run.steps()[-1]
        done = call(*words, "--set", f"train.max_steps={last + 2}")
        assert done.code == 0, done.stderr


def test_the_lock_is_distinguished_from_a_file_of_its_name(text: Path, tmp_path: Path, fault: Fault) -> None:
    """A lock file left by a dead process, or copied with the folder, locks nothing."""
    run = RunFolder(tmp_path / "run")
    run.make()
    with fault():
        (run.path / ".lock").write_text("1")
        config = config_of(text, max_epochs=None, max_steps=2)
        assert call("train", write_config(tmp_path, config), "--run-dir", run.path).code == 0

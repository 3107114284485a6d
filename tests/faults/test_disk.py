"""Disks that are full, read-only or too small: one clear line, exit code 1, and the old checkpoint unchanged."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from tests.command_line import Finished, call, finish, running, wait_for
from tests.faults.conftest import Fault, config_of, write_config
from tests.faults.trainings import assert_same_run, train_to_the_end

SmallDisk = Callable[[str], Path]


def command(text: Path, folder: Path, run: Path, *options: str, **train: object) -> list[str | Path]:
    return ["train", write_config(folder, config_of(text, **train)), "--run-dir", run, *options]


def complaint_of(done: Finished) -> str:
    """The last line on stderr, which follows the output of the training."""
    assert "Traceback" not in done.stderr
    *words, complaint = done.stderr.splitlines()
    assert complaint.startswith("seq2attn: ")
    assert not any(word.startswith("seq2attn: ") for word in words)
    return complaint


@pytest.mark.slow
def test_a_disk_that_fills_up_while_training(text: Path, tmp_path: Path, small_disk: SmallDisk, fault: Fault) -> None:
    disk = small_disk("size=4m")
    run = RunFolder(disk / "run")
    words = command(text, tmp_path, run.path, max_epochs=None, max_steps=100_000, checkpoint_every_steps=20)
    ballast = disk / "ballast"
    with fault():
        with running(*words) as process:
            wait_for(run.step(20), process)
            with ballast.open("wb", buffering=0) as file:
                while process.poll() is None:
                    try:
                        file.write(bytes(64 * 1024))
                    except OSError:
                        time.sleep(0.001)
            done = finish(process)
        assert done.code == 1
        complaint = complaint_of(done)
        assert "No space left on device" in complaint
        assert "free some space" in complaint
        assert not list(run.checkpoints.glob(".*"))
        last = run.steps()[-1]
        for step in run.steps():
            read_manifest(run.step(step))
        ballast.unlink()
        again = call(*words, "--resume", "--set", f"train.max_steps={last + 5}")
        assert again.code == 0, again.stderr
        assert f"resumes after step {last}" in again.stderr


@pytest.mark.parametrize("size", ["400k", "1m"])
def test_a_disk_that_is_too_small_is_reported_before_the_first_step(
    size: str, text: Path, tmp_path: Path, small_disk: SmallDisk, fault: Fault
) -> None:
    """At 400 KB the checkpoints would not fit; at 1 MB they would, but nothing else."""
    run = RunFolder(small_disk(f"size={size}") / "run")
    with fault():
        done = call(*command(text, tmp_path, run.path))
        assert done.code == 1
        assert "MiB are free and the checkpoints take up to" in complaint_of(done)
        assert run.steps() == []
        assert call(*command(text, tmp_path, run.path)).code == 2, "the run exists, so --resume is required"


def test_a_disk_without_room_even_to_begin(text: Path, tmp_path: Path, small_disk: SmallDisk, fault: Fault) -> None:
    disk = small_disk("size=64k")
    (disk / "ballast").write_bytes(bytes(56 * 1024))
    with fault():
        done = call(*command(text, tmp_path, disk / "run"))
        assert done.code == 1
        assert "No space left on device" in done.complaint
        assert not RunFolder(disk / "run").exists


def test_a_disk_that_fills_up_while_the_text_is_prepared(
    text: Path, tmp_path: Path, small_disk: SmallDisk, fault: Fault
) -> None:
    disk = small_disk("size=16k")
    with fault():
        done = call(*command(text, tmp_path, tmp_path / "run", "--set", f"data.folder={disk}/data"))
        assert done.code == 1
        assert "No space left on device" in done.complaint
        # The files written before the disk was full are complete, and no draft remains.
        assert not [path for path in (disk / "data" / "cache").iterdir() if "." in path.name]


def test_a_read_only_disk(text: Path, tmp_path: Path, small_disk: SmallDisk, fault: Fault) -> None:
    disk = small_disk("size=16m")
    run = RunFolder(disk / "run")
    begun = call(*command(text, tmp_path, run.path, max_epochs=None, max_steps=6))
    assert begun.code == 0
    shutil.rmtree(run.final)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with fault():
        for folder in (run.path, disk / "new"):
            done = call(*command(text, tmp_path, folder, "--resume", max_epochs=None, max_steps=9))
            assert done.code == 1
            assert "Read-only file system" in done.stderr.splitlines()[-1]
        read_manifest(run.step(6))


def limit_files_to(size: int) -> Callable[[], None]:
    """For a new process: no file may grow beyond `size` bytes, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("file", ["model.safetensors", "state.pt"])
def test_checkpoints_that_exceed_a_limit_on_file_size(file: str, text: Path, tmp_path: Path, fault: Fault) -> None:
    """The same fault in each file, for machines where the tests cannot mount a file system."""
    config = config_of(text, max_epochs=None, max_steps=9)
    train_to_the_end(config, tmp_path / "uninterrupted")
    size = (RunFolder(tmp_path / "uninterrupted").step(9) / file).stat().st_size
    run = RunFolder(tmp_path / "run")
    words = command(text, tmp_path, run.path, max_epochs=None, max_steps=9)
    with fault():
        with running(*words, preexec_fn=limit_files_to(size * 3 // 4)) as process:
            done = finish(process)
        assert done.code == 1
        complaint = complaint_of(done)
        assert "step_3: could not be written (" in complaint
        assert "File too large" in complaint
        assert list(run.checkpoints.iterdir()) == []
    train_to_the_end(config, run.path)
    assert_same_run(run.path, tmp_path / "uninterrupted")

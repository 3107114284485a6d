"""The lock of a run folder: who holds it, who can query it, and that it ends with its process."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seq2attn.errors import RunError
from seq2attn.runs import lock
from seq2attn.runs.lock import is_locked, locked
from tests.pages import ROOT

_HOLD = """
import sys
from pathlib import Path
from seq2attn.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock of `folder` until it is killed."""
    command = [sys.executable, "-c", _HOLD, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = hold(tmp_path)
    yield process
    process.kill()
    process.communicate()


def try_to_lock(folder: Path) -> None:
    with locked(folder):
        pass


def test_the_message_names_the_process_and_the_lock_ends_with_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert is_locked(tmp_path)
    expected = f"{tmp_path}: process {holder.pid} is training here; wait for its end, or choose another --run-dir"
    for _ in range(2):
        with pytest.raises(RunError) as caught:
            try_to_lock(tmp_path)
        assert str(caught.value) == expected
    holder.kill()
    holder.wait()
    assert not is_locked(tmp_path)
    try_to_lock(tmp_path)


def test_a_query_needs_no_write_permission(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def open_for_reading(path: str, flags: int, *mode: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, flags, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "open", open_for_reading)
        assert is_locked(tmp_path)
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)


def test_the_owner_is_read_after_the_byte_that_windows_locks(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_read = os.read

    def refuse_first_byte(descriptor: int, size: int) -> bytes:
        if os.lseek(descriptor, 0, os.SEEK_CUR) == 0:
            raise PermissionError(13, "Permission denied")
        return real_read(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "read", refuse_first_byte)
        with pytest.raises(RunError, match=f"process {holder.pid} is training"):
            try_to_lock(tmp_path)


def test_a_training_of_an_earlier_version_is_respected(tmp_path: Path) -> None:
    """It used flock on the same file and wrote its process id from the first byte on."""
    with (tmp_path / ".lock").open("w+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711")
        file.flush()
        assert is_locked(tmp_path)
        with pytest.raises(RunError, match="process 4711 is training"):
            try_to_lock(tmp_path)
    try_to_lock(tmp_path)


def test_a_query_of_the_lock_is_not_mistaken_for_a_training(tmp_path: Path) -> None:
    """A query locks the file for an instant, which neither another query nor a training mistakes for a training."""
    (tmp_path / ".lock").touch()
    descriptor = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    threading.Timer(0.005, os.close, [descriptor]).start()
    assert not is_locked(tmp_path)
    try_to_lock(tmp_path)

"""The lock of a run folder, which lets only one process train in it"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from seq2attn.errors import RunError, disk_errors

_FILE = ".lock"
# Checking whether a run is locked locks it for an instant. Further tries distinguish this from a training.
_TRIES, _SECONDS_BETWEEN_TRIES = 3, 0.01
# Windows locks the first byte of the file and lets no other process read it, so the owner is written behind it.
_LOCKED_BYTE = " "


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in `folder`, and write this process into it.

    Raises: RunError naming the process that holds it; DiskError where the folder cannot be written.
    """
    file = folder / _FILE
    with disk_errors(file):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with disk_errors(file):
            acquired = _acquire(descriptor)
        if not acquired:
            raise RunError(
                f"{folder}: process {_owner(descriptor)} is training here; wait for its end, or choose another "
                "--run-dir"
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{_LOCKED_BYTE}{os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process trains in `folder` now. Creates nothing, and needs only read permission."""
    # Some network file systems lock only files that are open for writing.
    for flags in (os.O_RDWR, os.O_RDONLY):
        try:
            descriptor = os.open(folder / _FILE, flags)
        except OSError:
            continue
        try:
            return not _acquire(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)
    return False


def _acquire(descriptor: int) -> bool:
    """Lock an open file until it is closed; False where another process holds the lock."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_SECONDS_BETWEEN_TRIES)
        if lock_descriptor(descriptor, blocking=False):
            return True
    return False


def _owner(descriptor: int) -> str:
    """The process that the lock file names."""
    try:
        content = os.read(descriptor, 20)
    except PermissionError:
        os.lseek(descriptor, len(_LOCKED_BYTE), os.SEEK_SET)
        content = os.read(descriptor, 20)
    return content.decode(errors="replace").strip() or "unknown"

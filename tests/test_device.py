"""Peak memory on systems without /proc or without the module `resource`."""

from __future__ import annotations

import ast
import resource
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch

from seq2attn.device import peak_memory_bytes
from tests.pages import ROOT

CPU = torch.device("cpu")
UNIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)


@pytest.mark.usefixtures("without_proc")
def test_without_proc_the_peak_is_that_of_getrusage() -> None:
    def peak() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak()
    assert before <= peak_memory_bytes(CPU) <= peak()


@pytest.mark.usefixtures("without_proc")
def test_on_windows_the_peak_is_that_of_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=12345))
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(Process=lambda: process))
    assert peak_memory_bytes(CPU) == 12345


def imported_at_the_top(file: Path) -> set[str]:
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_no_module_needs_unix_to_be_imported() -> None:
    for folder in ("seq2attn", "scripts"):
        for file in (ROOT / folder).rglob("*.py"):
            assert not imported_at_the_top(file) & UNIX_ONLY, file

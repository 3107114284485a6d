"""The rounds of the fuzzer that once failed, and a few others."""

from __future__ import annotations

from pathlib import Path

from tests.faults.conftest import Fault
from tests.faults.fuzz import SEEDS, Fuzzer


def test_the_rounds_that_once_failed(tmp_path: Path, fault: Fault) -> None:
    fuzzer = Fuzzer(tmp_path)
    for number in (*SEEDS, *range(300)):
        with fault():
            fuzzer.round(number)

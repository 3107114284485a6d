"""Very long texts and very long lines: memory stays bounded, and each line gives one line."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path

import pytest

from tests.command_line import PATIENCE, PROGRAM, running, spawn, write
from tests.faults.conftest import Fault

MANY = 100_000
# Starts the command and prints its peak memory in bytes to stderr.
MEASURED = """
import sys, torch
from seq2attn.cli.app import main
from seq2attn.device import peak_memory_bytes
try:
    main()
finally:
    print("peak", peak_memory_bytes(torch.device("cpu")), file=sys.stderr)
"""


def translate(run: Path, text: Path, output: Path) -> int:
    """Translate a file; the peak memory in MiB."""
    command = [PROGRAM[0], "-c", MEASURED, "translate", str(run), str(text)]
    with output.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) // 2**20


# Fails as a command does that could not write all of its output.
FAILED = """
import sys
from seq2attn.cli import app
from seq2attn.errors import DiskError

def fail(**_):
    sys.stdout.write("text")
    raise DiskError("standard output: cannot be written")

app.app = fail
app.main()
"""


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_the_memory_of_a_few_thousand(
    tiny_run: Path, tmp_path: Path, fault: Fault
) -> None:
    # Quick to translate, but a hundred MiB more for code that holds all lines at once.
    line = f"ba be bi{' ' * 1000}\n"
    few = write(tmp_path / "few", line * 5000)
    many = write(tmp_path / "many", line * MANY)
    with fault():
        least = translate(tiny_run, few, tmp_path / "few.out")
        most = translate(tiny_run, many, tmp_path / "many.out")
        assert most < least + 50
        lines = (tmp_path / "many.out").read_bytes().splitlines()
        assert len(lines) == MANY
        assert len(set(lines)) == 1


@pytest.mark.slow
def test_a_line_of_ten_megabytes_is_one_line(tiny_run: Path, tmp_path: Path, fault: Fault) -> None:
    long_line = "ba be bi bo " * 870_000
    with fault():
        done = spawn("translate", tiny_run, write(tmp_path / "text", f"ba\n{long_line}\nbe\n"))
        assert done.code == 0, done.stderr
        assert done.stdout.count("\n") == 3
        # A busy machine takes minutes, and progress is shown once a minute.
        (warning,) = (line for line in done.stderr.splitlines() if "lines translated" not in line)
        assert warning.startswith("line 2: too long to translate at once, translated in ")


def test_progress_is_shown_on_a_terminal(tiny_run: Path, tmp_path: Path, fault: Fault) -> None:
    """Standard error is a terminal, standard output a file."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                shown.extend(os.read(ours, 4096))
            except OSError:  # Linux's way to report that the other side is closed
                return

    reader = threading.Thread(target=read)
    text = write(tmp_path / "text", "ba be bi\n" * 12_000)
    with fault(), (tmp_path / "out").open("wb") as output:
        terminal = {"stdout": output, "stderr": theirs, "env": os.environ | {"TERM": "xterm"}}
        with running("translate", tiny_run, text, **terminal) as process:
            os.close(theirs)
            reader.start()
            assert process.wait(PATIENCE) == 0
        reader.join()
        os.close(ours)
        assert b" lines translated" in shown
        assert (tmp_path / "out").read_bytes().count(b"\n") == 12_000


def test_a_full_output_disk_is_a_one_line_error(tiny_run: Path, tmp_path: Path, fault: Fault) -> None:
    text = write(tmp_path / "text", "ba be bi\n" * 5000)
    with fault(), Path("/dev/full").open("wb") as full:
        with running("translate", tiny_run, text, stdout=full) as process:
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        complaint = errors.decode().splitlines()[-1]
        assert "standard output: cannot be written (No space left on device)" in complaint


def test_text_left_for_a_full_disk_does_not_change_the_exit_code(fault: Fault) -> None:
    with fault(), Path("/dev/full").open("wb") as full:
        buffered = os.environ | {"PYTHONUNBUFFERED": ""}
        done = subprocess.run(
            [PROGRAM[0], "-c", FAILED], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=buffered
        )
        assert (done.returncode, done.stderr) == (1, "seq2attn: standard output: cannot be written\n")

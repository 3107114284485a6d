"""Calls the command `seq2attn` for tests, and trains a run in seconds."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from seq2attn.cli.app import main

CONFIGS = Path(__file__).parent.parent / "configs"
RNN_ATTENTION = CONFIGS / "smoke" / "rnn_attention.yaml"
PROGRAM = (sys.executable, "-m", "seq2attn")
PATIENCE = 600
"""Seconds after which a process is taken to hang, on the busiest of machines."""

_TINY = (
    *("model.d_model=16", "train.max_minutes=", "train.max_steps=30"),
    *("train.validation_sentences=8", "train.checkpoint_every_steps=10"),
    *("decode.beam_size=1", "decode.max_length_ratio=0.5"),
)


@dataclass(frozen=True)
class Finished:
    """The exit code and output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The single line on stderr of a command that failed."""
        assert self.code != 0, self.stdout
        assert "Traceback" not in self.stderr
        (line,) = self.stderr.splitlines()
        return line


def call(*arguments: str | Path) -> Finished:
    """Run the command in this process, which is faster than starting a new one."""
    stdout, stderr = io.StringIO(), io.StringIO()
    words = ["seq2attn", *map(str, arguments)]
    ctrl_c = signal.getsignal(signal.SIGINT)
    with patch.object(sys, "argv", words), redirect_stdout(stdout), redirect_stderr(stderr):
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            signal.signal(signal.SIGINT, ctrl_c)  # the command ends with that of the system, which would end pytest
    return Finished(code, stdout.getvalue(), stderr.getvalue())


def spawn(*arguments: str | Path, stdin: bytes = b"") -> Finished:
    """Run the command in a new process, with `stdin` through a pipe."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def running(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a new process, which is killed if the test fails; `options` go to Popen."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, *map(str, arguments)], **pipes | options) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[bytes]) -> Finished:
    """Wait for `process`; its exit code and output."""
    output, errors = process.communicate(timeout=PATIENCE)
    return Finished(process.returncode, output.decode(), errors.decode())


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until `process` has created `path`."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def write(path: Path, text: str | bytes) -> Path:
    """Write `text` to the file `path`; the path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def train_tiny(folder: Path, data_folder: Path, *options: str) -> Path:
    """The folder of a small trained run on the synthetic corpus."""
    done = call("train", RNN_ATTENTION, *tiny(data_folder), *options, "--run-dir", folder)
    assert done.code == 0, done.stderr
    return folder


def tiny(data_folder: Path) -> list[str]:
    """Options that make a smoke configuration take seconds; what it learns does not matter."""
    settings = [*_TINY, f"data.folder={data_folder}"]
    return [word for setting in settings for word in ("--set", setting)]

"""`seq2attn dashboard`: TensorBoard on a folder of runs, in a browser too."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seq2attn.experiment.pictures import Pictures
from seq2attn.training.train import train
from tests.browser import needs_browser, open_tab
from tests.command_line import PROGRAM, call, spawn
from tests.training_samples import FAMILIES, make_config, write_copy_task


@contextmanager
def dashboard(runs: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on `runs` in a new process, and the address that it prints."""
    command = [*PROGRAM, "dashboard", str(runs), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0], "no address was printed"
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_its_server(number: signal.Signals, code: int, tiny_run: Path) -> None:
    with dashboard(tiny_run) as (process, address):
        assert address.startswith("http://localhost:")
        port = int(address.strip("/").rpartition(":")[2])
        socket.create_connection(("localhost", port), timeout=10).close()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert errors == "press Ctrl-C to stop\n"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("localhost", port), timeout=10)


def test_without_runs_it_says_what_makes_one(tmp_path: Path) -> None:
    done = call("dashboard", tmp_path / "runs")
    assert (done.code, done.stdout) == (2, "")
    assert done.complaint == (
        f"seq2attn: {tmp_path / 'runs'}: no such folder; expected a folder of runs, which `seq2attn train` creates"
    )
    done = call("dashboard", tmp_path)
    assert done.code == 2
    assert f"{tmp_path}: has no run with TensorBoard data" in done.complaint


def test_a_taken_port_is_an_error(tiny_run: Path) -> None:
    with socket.create_server(("localhost", 0)) as other:
        port = other.getsockname()[1]
        done = spawn("dashboard", tiny_run, "--port", str(port))
        assert done.code == 2
        assert f"--port {port}: not available" in done.complaint
        assert done.complaint.endswith("give another --port, or 0 for any free port")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a run that has content for every page."""
    text = write_copy_task(tmp_path / "text", pairs=120)
    config = make_config(text, FAMILIES["transformer"], max_steps=50, validation_sentences=40, histograms=True)
    train(config, tmp_path / "runs" / "copy", "cpu", quiet=True, observer=Pictures())
    return tmp_path / "runs"


# TensorBoard folds groups of charts after the second; a filter shows its matches, as far as the window reaches.
PAGES = {
    "?tagFilter=^(loss|bleu|chrf)/|final/bleu|attention/1|output_bias#timeseries": (
        *("loss/train", "loss/validation", "bleu/validation", "chrf/validation", "final/bleu"),
        *("attention/1", "weights/output_bias"),
    ),
    "#custom_scalars": ("Training and validation", "BLEU by source length"),
    "#text": ("translations/text_summary",),
    "#hparams": ("model.cell", "model.n_heads", "final/bleu"),
    "#projector": ("subwords:00000", "23x16"),
}


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_what_a_run_has_written(runs: Path, tmp_path: Path) -> None:
    with dashboard(runs) as (_, address), open_tab(tmp_path) as tab:
        for page, words in PAGES.items():
            tab.open(f"{address}{page}")
            tab.wait_for_text(*words)
        assert tab.complaints == []

"""Two machines that train together, each a network namespace: the cable between them is pulled and plugged in again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from seq2attn.runs.folder import RunFolder
from tests.command_line import PATIENCE, PROGRAM, spawn, wait_for
from tests.faults.conftest import Fault, config_of, write_config
from tests.faults.trainings import assert_same_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None,
        reason="makes network namespaces, for which it must be root and needs iproute2",
    ),
]
PORT = 29577
STEPS = 120
TIMEOUT = 10
"""Seconds after which the processes of the longer tests give each other up (SEQ2ATTN_TIMEOUT)."""
SHORT = 5
"""Seconds without a cable that are bridged."""
SECONDS_TO_END = 30
"""More than the timeout, for a process on a busy machine to end."""


class Nodes:
    """Two network namespaces with a cable between them."""

    def __init__(self) -> None:
        self.names = [f"seq2attn{os.getpid()}n{number}" for number in (0, 1)]
        self.ends = [f"s2a{os.getpid()}e{number}" for number in (0, 1)]
        self.launchers: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
        veth = ("type", "veth", "peer", self.ends[1], "netns", self.names[1])
        ip("link", "add", self.ends[0], "netns", self.names[0], *veth)
        for number, (name, end) in enumerate(zip(self.names, self.ends, strict=True)):
            ip("-n", name, "addr", "add", f"{address(number)}/24", "dev", end)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", end, "up")

    def remove(self) -> None:
        for launcher in self.launchers:
            launcher.kill()  # its processes end with their connection
            launcher.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def pull(self) -> None:
        ip("-n", self.names[0], "link", "set", self.ends[0], "down")

    def plug_in(self) -> None:
        ip("-n", self.names[0], "link", "set", self.ends[0], "up")

    def start(self, words: Sequence[str | Path], output: Path, *options: str, **environment: str) -> None:
        """`seq2attn` with `words` by torchrun, one process on each node; its output in `output` and the node's name."""
        self.launchers = [self._start(number, words, log_of(output, number), options, environment) for number in (0, 1)]

    def _start(
        self, number: int, words: Sequence[str | Path], log: Path, options: Sequence[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"{address(0)}:{PORT}"]
        # Both namespaces have this machine's name, by which a node would know that it is the one at the endpoint.
        launcher += ["--rdzv-conf", f"is_host={1 - number},read_timeout={PATIENCE}", "--local-addr", address(number)]
        with log.open("wb") as file:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.names[number], *launcher, *options, *PROGRAM[1:], *map(str, words)],
                stdout=file,
                stderr=file,
                env={**os.environ, **environment, "GLOO_SOCKET_IFNAME": self.ends[number]},
            )

    def wait(self) -> list[int]:
        """The exit codes of both launchers."""
        return [launcher.wait(timeout=PATIENCE) for launcher in self.launchers]


def address(number: int) -> str:
    return f"10.77.0.{number + 1}"


def log_of(output: Path, number: int) -> Path:
    return output.with_name(f"{output.name}{number}")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    both = Nodes()
    try:
        try:
            both.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here ({error.stderr.decode().strip()})")
        yield both
    finally:
        both.remove()


def training(text: Path, folder: Path) -> tuple[RunFolder, list[str | Path]]:
    """The folder of a training that two processes share, and its command."""
    config = config_of(text, accumulate=2, checkpoint_every_steps=10, max_epochs=None, max_steps=STEPS)
    run = RunFolder(folder / "run")
    return run, ["train", write_config(folder, config), "--run-dir", run.path]


@pytest.fixture(scope="module")
def uninterrupted(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, words = training(text, tmp_path_factory.mktemp("uninterrupted"))
    assert spawn(*words, "--nproc", "2").code == 0
    return run.path


def wait_for_lines(output: Path, line: str, seconds: float) -> None:
    """Wait until both nodes have printed `line`, which contains the process's number for `{}`."""
    deadline = time.monotonic() + seconds
    for number in (0, 1):
        while line.format(number) not in log_of(output, number).read_text():
            assert time.monotonic() < deadline, log_of(output, number).read_text()
            time.sleep(0.1)


LOST = (
    "seq2attn: process {} of 2: another process of this training ended or does not answer; continue from the last "
    "checkpoint with --resume\n"
)


def test_a_short_cut_is_bridged(nodes: Nodes, text: Path, tmp_path: Path, uninterrupted: Path, fault: Fault) -> None:
    run, words = training(text, tmp_path)
    with fault():
        nodes.start(words, tmp_path / "node")
        wait_for(run.step(20), nodes.launchers[0])
        nodes.pull()
        time.sleep(SHORT)
        assert not run.finished
        nodes.plug_in()
        assert nodes.wait() == [0, 0], log_of(tmp_path / "node", 0).read_text()
        assert_same_run(run.path, uninterrupted)
        assert "resumes" not in log_of(tmp_path / "node", 0).read_text()


def test_torchrun_restarts_after_a_cut(
    nodes: Nodes, text: Path, tmp_path: Path, uninterrupted: Path, fault: Fault
) -> None:
    run, words = training(text, tmp_path)
    output = tmp_path / "node"
    with fault():
        nodes.start(words, output, "--max-restarts", "3", SEQ2ATTN_TIMEOUT=str(TIMEOUT))
        wait_for(run.step(20), nodes.launchers[0])
        nodes.pull()
        wait_for_lines(output, LOST, TIMEOUT + SECONDS_TO_END)
        nodes.plug_in()
        assert nodes.wait() == [0, 0], log_of(output, 0).read_text()
        for number in (0, 1):
            assert "Traceback" not in log_of(output, number).read_text()
        assert "resumes after step" in log_of(output, 0).read_text()
        assert_same_run(run.path, uninterrupted)


def test_the_same_command_continues_after_a_cut(
    nodes: Nodes, text: Path, tmp_path: Path, uninterrupted: Path, fault: Fault
) -> None:
    run, words = training(text, tmp_path)
    output = tmp_path / "node"
    with fault():
        nodes.start(words, output, SEQ2ATTN_TIMEOUT=str(TIMEOUT))
        wait_for(run.step(20), nodes.launchers[0])
        nodes.pull()
        wait_for_lines(output, LOST, TIMEOUT + SECONDS_TO_END)
        assert nodes.launchers[0].wait(SECONDS_TO_END) == 1
        nodes.plug_in()
        assert nodes.launchers[1].wait(SECONDS_TO_END) == 1
        nodes.start([*words, "--resume"], tmp_path / "again")
        assert nodes.wait() == [0, 0], log_of(tmp_path / "again", 0).read_text()
        assert "resumes after step" in log_of(tmp_path / "again", 0).read_text()
        assert_same_run(run.path, uninterrupted)

"""`seq2attn serve` as a process: its address, its signals, and the page about it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, run
from typing import Any

import pytest
import torch

from seq2attn.errors import ConfigError
from seq2attn.runs.folder import load_run
from seq2attn.server.messages import SentenceAnswer, TranslateRequest
from tests.command_line import PATIENCE, call, finish, running, write
from tests.pages import ROOT, bash_lines, blocks

_EXTRA = "the extra `serve` is not installed"
httpx2 = pytest.importorskip("httpx2", reason=_EXTRA)
process = pytest.importorskip("seq2attn.server.process", reason=_EXTRA)
Metrics = pytest.importorskip("seq2attn.server.metrics", reason=_EXTRA).Metrics
Service = pytest.importorskip("seq2attn.server.app", reason=_EXTRA).Service

PAGE = ROOT / "docs" / "serve.md"


@contextmanager
def server(run: Path) -> Iterator[tuple[Popen[bytes], str]]:
    """The command on `run` in a new process, translating one sentence at a time, and the address that it prints."""
    with running("serve", run, "--port", "0", "--batch-tokens", "1") as server:
        assert server.stdout is not None
        address = server.stdout.readline().decode().strip()
        assert address.startswith("http://127.0.0.1:"), finish(server)
        yield server, address


def test_sigterm_answers_what_has_begun_and_ends_with_0(tiny_run: Path) -> None:
    with server(tiny_run) as (served, address), httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        port = int(address.rpartition(":")[2])
        taken = call("serve", tiny_run, "--port", port)
        assert (taken.code, taken.stdout) == (2, "")
        assert taken.complaint == (
            f"seq2attn: --host 127.0.0.1 --port {port}: not available (Address already in use); "
            "give another, or --port 0 for any free port"
        )
        answers: list[Any] = []
        texts = ["rel ibol ar zobur cedul."] * 40
        asking = threading.Thread(target=lambda: answers.append(client.post("/translate", json={"text": texts})))
        asking.start()
        while "seq2attn_waiting_sentences 0.0" in httpx2.get(f"{address}/metrics").text and not answers:
            pass
        served.send_signal(signal.SIGTERM)
        asking.join()
        (answer,) = answers
        assert answer.status_code == 200
        assert len(answer.json()["translations"]) == 40
        done = finish(served)
        assert (done.code, done.stdout, done.stderr) == (0, "", "press Ctrl-C to stop\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)


def test_ctrl_c_ends_it_with_130(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address_of = process.address_of

    def address_and_ctrl_c(listener: socket.socket) -> str:
        signal.raise_signal(signal.SIGINT)
        return str(address_of(listener))

    monkeypatch.setattr(process, "address_of", address_and_ctrl_c)
    done = call("serve", tiny_run, "--port", "0")
    assert (done.code, done.stderr) == (130, "press Ctrl-C to stop\n")
    assert done.stdout.startswith("http://127.0.0.1:")


def ask(line: str, address: str) -> Any:
    """The answer to a `curl` line of the page, from the server at `address`."""
    _, url, *options = shlex.split(line)
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert set(given) <= {"-H", "-d"}
    url = url.replace("http://127.0.0.1:8000", address)
    if "-d" not in given:
        return httpx2.get(url, timeout=PATIENCE)
    name, _, value = given["-H"].partition(": ")
    return httpx2.post(url, content=given["-d"], headers={name: value}, timeout=PATIENCE)


def shape(value: Any) -> Any:
    """The fields of a JSON value, with the types of what is in them."""
    if isinstance(value, dict):
        return {key: shape(below) for key, below in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value).__name__


def test_the_examples_of_the_page_are_answered_as_it_says(tiny_run: Path) -> None:
    trained = load_run(tiny_run, torch.device("cpu"))
    listener = process.listen("127.0.0.1", 0)
    address = process.address_of(listener)
    with process.serving(Service({"first": trained, "without": trained}), listener):
        lines = [line for line in bash_lines(PAGE) if line.startswith("curl ")]
        answers = [ask(line, address) for line in lines]
    assert [answer.status_code for answer in answers] == [200] * len(lines)
    shown = [json.loads(block) for block in blocks(PAGE, "json")]
    assert len(shown) == 2
    assert [shape(answer.json()) for answer in answers[: len(shown)]] == [shape(block) for block in shown]


@pytest.mark.slow
def test_the_benchmark_compares_batches_with_single_sentences(tiny_run: Path, tmp_path: Path) -> None:
    text = write(tmp_path / "text", "rel ibol ar.\nta kiso.\n")
    options = ["--text", text, "--clients", "1,4", "--seconds", "0.5", "--rounds", "2", "--json"]
    command = [sys.executable, "scripts/bench_serve.py", tiny_run, *options]
    done = run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    loads = json.loads(done.stdout)["loads"]
    assert [(load["clients"], load["mode"]) for load in loads] == [
        *((1, "batches"), (1, "one by one"), (4, "batches"), (4, "one by one")),
    ]
    for load in loads:
        assert load["requests_per_second"]["count"] == 2
        assert 0 < load["p50_seconds"] <= load["p99_seconds"]
        assert load["sentences_per_batch"] == 1.0 or (load["clients"], load["mode"]) == (4, "batches")


def test_the_page_lists_every_field_and_metric() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for message in (TranslateRequest, SentenceAnswer):
        for field in message.model_fields:
            assert f"`{field}`" in text, field
    for metric in re.findall(r"^# TYPE (\S+)", Metrics(lambda: 0).exposition().decode(), re.MULTILINE):
        assert metric.endswith("_created") or f"`{metric}`" in text, metric


def test_a_wrong_command_is_refused_in_one_line(tiny_run: Path) -> None:
    done = call("serve", tiny_run / "nothing", "--port", "0")
    assert done.code == 2
    assert "not a run folder" in done.complaint
    done = call("serve", tiny_run, "--port", "0", "--max-waiting", "7")
    assert (done.code, done.complaint) == (2, "seq2attn: --max-waiting 7: expected at least --max-sentences, 256")


def test_without_the_extra_it_says_what_brings_it(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "seq2attn.server.process")
    done = call("serve", tiny_run)
    assert done.code == 1
    assert done.complaint == "seq2attn: uvicorn is not installed; pip install 'seq2attn[serve]' brings it"


def test_an_unknown_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^--host a+: not an address of this machine \(.+\)$"):
        process.listen("a" * 70, 0)

    def fail(*arguments: Any, **options: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ConfigError, match=r"^--host other: not an address of this machine \(.+not known\)$"):
        process.listen("other", 0)


def test_addresses_that_others_reach_are_noticed() -> None:
    with process.listen("127.0.0.1", 0) as inside, socket.socket() as outside:
        outside.bind(("0.0.0.0", 0))  # it does not listen
        assert process.is_loopback(inside)
        assert not process.is_loopback(outside)

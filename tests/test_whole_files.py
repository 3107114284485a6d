"""Files translated by several processes: the bytes of one, after any interruption."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seq2attn.cli.translate import ModelChoice, load_translator
from seq2attn.data import workers
from seq2attn.data.workers import start_module
from seq2attn.decoding import whole_files
from seq2attn.decoding.translate import LineFormat, chunks_of
from seq2attn.decoding.whole_files import TranslatorSource, outputs_of, translate_files
from seq2attn.errors import DataError, RunError, WorkerError
from seq2attn.models import precision
from tests.command_line import Finished, call
from tests.training_samples import WORDS

LINES = [f"{first} {second}" for first in WORDS for second in WORDS[:5]]
LONG = "ba be " * 300


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of seven lines."""
    monkeypatch.setattr(whole_files, "chunks_of", lambda lines: chunks_of(lines, 7))


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a compressed, an empty and a longer file."""
    for name, lines in (("b.txt", [*LINES, LONG]), ("a.txt.gz", LINES[:10]), ("c.txt", []), (".hidden", ["x"])):
        write(tmp_path / "text" / name, lines)
    return tmp_path / "text"


def translate(run: Path, *arguments: str | Path) -> Finished:
    return call("translate", run, *arguments, "--device", "cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_number_of_processes_changes_no_byte(tiny_run: Path, folder: Path, small_parts: None) -> None:
    outs = {}
    for number in (1, 2):
        out = folder.parent / f"out{number}"
        done = translate(tiny_run, folder, "--out", out, "--nproc", str(number), "--n-best", "2")
        assert done.code == 0, done.stderr
        warning = rf"{folder}/b\.txt:{len(LINES) + 1}: too long to translate at once, translated in \d+ parts\n"
        assert len(re.findall(warning, done.stderr)) == 1
        outs[number] = contents(out)
        assert sorted(path.name for path in folder.parent.iterdir() if path.name.startswith(out.name)) == [out.name]
    assert outs[1] == outs[2]
    assert set(outs[1]) == {"a.txt", "b.txt", "c.txt"}
    assert outs[1]["c.txt"] == b""
    plain = translate(tiny_run, folder / "b.txt", "--n-best", "2").stdout
    assert outs[1]["b.txt"].decode() == plain
    assert plain.count("\n") == 2 * (len(LINES) + 1)


def test_an_interrupted_translation_continues_with_what_is_left(
    tiny_run: Path, tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, out = write(tmp_path / "text", LINES), tmp_path / "out"
    expected = translate(tiny_run, text).stdout
    source = TranslatorSource(load_translator, ModelChoice(tiny_run, "cpu"))
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start_module(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(workers, "start_module", start)
    parts = translate_files(text, out, source, LineFormat(), {}, 1)
    first = next(parts)
    started[0].kill()
    with pytest.raises(WorkerError, match=r"process 1 of 1 was killed by SIGKILL.* finished parts are kept"):
        list(parts)
    assert not out.exists()
    kept = [path for path in (tmp_path / "out.parts").iterdir() if re.fullmatch(r"out\.\d+", path.name)]
    n_parts = -(-len(LINES) // 7)
    assert first.n_lines == 7
    assert 1 <= len(kept) < n_parts
    with pytest.raises(RunError, match=r"out\.parts: has parts of other text, or of a translation by another model"):
        list(translate_files(text, out, source, LineFormat(), {"beam": 7}, 1))
    rest = list(translate_files(text, out, source, LineFormat(), {}, 1))
    assert len(rest) == n_parts - len(kept)
    assert out.read_text() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "text"]


def test_all_processes_translate_in_the_precision_measured_once(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask(*arguments: Any) -> Iterator[Any]:
        asked.extend(arguments)
        return iter(())

    monkeypatch.setattr(precision, "fastest_precision", lambda device: "bfloat16")
    monkeypatch.setattr(whole_files, "translate_files", ask)
    done = translate(tiny_run, write(tmp_path / "text", LINES), "--out", tmp_path / "out", "--precision", "auto")
    assert done.code == 0, done.stderr
    source, settings = asked[2], asked[4]
    assert source.choice.precision == "bfloat16"
    assert settings["decode"]["precision"] == "bfloat16"


def test_names_of_outputs(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert outputs_of(folder / "b.txt", out) == {folder / "b.txt": out}
    assert list(outputs_of(folder, out).values()) == [out / "a.txt", out / "b.txt", out / "c.txt"]
    write(folder / "a.txt", [])
    with pytest.raises(DataError, match=r"text: 2 files whose translation would be a\.txt"):
        outputs_of(folder, out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TEXT", "--nproc", "2"], "--nproc 2: say where the translations go with --out"),
        (["FOLDER"], "say where the translations go with --out"),
        (["--out", "OUT"], "--out: standard input cannot be read again"),
        (["TEXT", "--out", "TEXT"], "exists already; delete it, or choose another --out"),
        (["EMPTY", "--out", "OUT"], "has no file to translate"),
        (["missing", "--out", "OUT"], "missing: no such file or folder"),
        (["BAD", "--out", "OUT"], "bad:2: not valid UTF-8"),
    ],
)
def test_mistakes(tiny_run: Path, folder: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").write_bytes(b"ba\n\xff\n")
    named = {"TEXT": folder / "b.txt", "FOLDER": folder, "OUT": tmp_path / "out", "EMPTY": tmp_path / "empty"}
    named["BAD"] = tmp_path / "bad"
    done = translate(tiny_run, *(named.get(word, word) for word in arguments))
    assert done.code == 2
    assert message in done.complaint

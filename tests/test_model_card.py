"""The model card describes its run correctly, and its commands work as described."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
from pathlib import Path

import pytest

from seq2attn.config.load import dump_config, load_config
from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from seq2attn.runs.model_card import write_card
from seq2attn.training.train import train
from tests.command_line import call
from tests.training_samples import make_config, write_copy_task


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the small run after training, which tests may change."""
    left_by_others = shutil.ignore_patterns("translations", "scores.json")
    folder = RunFolder(shutil.copytree(tiny_run, tmp_path / "run", ignore=left_by_others))
    write_card(folder)
    return folder


def card(folder: RunFolder) -> str:
    """The card's text without Markdown escapes."""
    return folder.card_file.read_text(encoding="utf-8").replace("\\", "")


def commands(folder: RunFolder) -> list[list[str]]:
    lines = card(folder).splitlines()
    return [shlex.split(line)[1:] for fence, line in itertools.pairwise(lines) if fence == "```" and line]


def test_it_states_model_data_budget_and_limits(run: RunFolder) -> None:
    text, env, final = card(run), run.read_env(), read_manifest(run.final)
    for fact in (
        "# RNN, attention",
        "translates from xa to xb",
        f"| parameters | {env['parameters']:,} |",
        "| attention | general |",
        "| d_model | 16 |",
        f"| sha256 of the weights | {final['files']['model.safetensors']} |",
        "| licence | as this package |",
        f"| sha256 of the pairs after cleaning | {env['corpus_digest']} |",
        "| budget | max_steps 30 |",
        "| updates | 30 |",
        f"| final weights | {final['weights']} |",
        f"{final['validation_loss']:.3f}",
        "Do not rely on its translations",
        env["machine"],
    ):
        assert fact in text, fact
    assert "not finished yet" not in text


def test_it_follows_the_configuration_in_the_folder(run: RunFolder) -> None:
    run.config_file.write_text(dump_config(load_config(run.config_file, ["data.max_source_words=8"])), encoding="utf-8")
    write_card(run)
    assert "at most 8 words and is worse on longer ones" in card(run)


def test_evaluation_adds_its_scores_with_signature_and_interval(run: RunFolder) -> None:
    assert "Not evaluated on the test sentences yet" in card(run)
    done = call("eval", run.path, "--metric", "chrf", "--json")
    assert done.code == 0, done.stderr
    summary = json.loads(done.stdout)
    (system,) = summary["systems"]
    interval = f"{system['bleu']:.1f} ({system['bleu_low']:.1f}–{system['bleu_high']:.1f})"
    row = f"| BLEU, beam 1 | test, 500 sentences | {interval} | {summary['signature']} |"
    assert row in card(run).replace("\\", "")
    assert next(iter(summary["signatures"].values())) in card(run)
    assert "Not evaluated" not in card(run)


def test_a_repeated_evaluation_is_listed_once_and_another_beam_separately(run: RunFolder) -> None:
    for options in (["--beam", "1"], ["--beam", "1", "--bins", "0,20"], ["--beam", "2"]):
        assert call("eval", run.path, "--split", "validation", *options).code == 0
    scores = json.loads(run.scores_file.read_text(encoding="utf-8"))
    assert [score["beam_size"] for score in scores] == [1, 2]
    assert scores[0]["command"].endswith("--bins 0,20")
    assert card(run).count("| BLEU, beam") == 2


def test_a_seed_among_several_keeps_its_own_score(run: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(shutil.copytree(run.path, tmp_path / "other"))
    done = call("eval", f"both={run.path}", f"both={other.path}", "--json")
    assert done.code == 0, done.stderr
    outputs = json.loads(done.stdout)["systems"][0]["outputs"]
    scores = [json.loads(folder.scores_file.read_text(encoding="utf-8"))[0] for folder in (run, other)]
    assert [folder["value"] for folder in scores] == [folder["bleu"] for folder in outputs]
    assert [folder["low"] for folder in scores] == [None, None]


def test_its_command_reproduces_the_weights(run: RunFolder) -> None:
    evaluate, again = commands(run)
    assert evaluate == ["eval", str(run.path), "--by-length"]
    done = call(*again)
    assert done.code == 0, done.stderr
    first, second = (
        read_manifest(run_folder.final)["files"] for run_folder in (run, RunFolder(Path(f"{run.path}-again")))
    )
    assert first == second


def test_a_training_without_end_says_so_and_own_files_are_named(tmp_path: Path) -> None:
    text = write_copy_task(tmp_path / "text", 200)
    folder = RunFolder(tmp_path / "run")
    train(make_config(text, {"kind": "transformer", "n_heads": 2}, max_minutes=0.001), folder.path, "cpu", quiet=True)
    assert f"| train | {text / 'train.tsv'} |" in card(folder)
    assert folder.read_env()["corpus_digest"] in card(folder)
    assert "licence | that of the files" in card(folder)
    assert "the scores will differ" in card(folder)
    assert "not finished yet" not in card(folder)
    shutil.rmtree(folder.final)
    write_card(folder)
    assert "not finished yet" in card(folder)
    assert "| updates |" not in card(folder)


def test_a_card_that_has_not_changed_is_not_written(run: RunFolder) -> None:
    before = run.card_file.stat().st_mtime_ns
    write_card(run)
    assert run.card_file.stat().st_mtime_ns == before


@pytest.mark.parametrize("content", [b"", b"[{}]", b"{", b"\xff"])
def test_unreadable_scores_are_ignored(run: RunFolder, content: bytes) -> None:
    run.scores_file.write_bytes(content)
    write_card(run)
    assert "Not evaluated on the test sentences yet" in card(run)

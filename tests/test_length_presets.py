"""Small versions of the presets about length, end to end: one command to figures, tables and JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import call
from tests.training_samples import WORDS

pytestmark = pytest.mark.slow

TINY = (
    *("subwords.vocab_size=27", "subwords.byte_fallback=false", "model.d_model=16", "data.split_clauses=false"),
    *("train.max_minutes=", "train.max_steps=4", "train.batch_tokens=600", "train.validation_sentences=0"),
    *("decode.beam_size=1", "decode.max_length_ratio=0.05", "data.corpus="),
    *("data.source_language=fr", "data.target_language=en"),
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences of 3 to 65 words, in documents of five."""
    folder = tmp_path_factory.mktemp("text")
    draw = random.Random(5)
    for split, n in (("train", 300), ("validation", 10), ("test", 150)):
        lines = [" ".join(draw.choices(WORDS, k=draw.randint(3, 65))) for _ in range(n)]
        records = [{"source": line, "target": line, "document": f"{row // 5}"} for row, line in enumerate(lines)]
        rows = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}.jsonl").write_text(rows, encoding="utf-8")
    return folder


def reproduce(preset: str, text: Path, out: Path, *overrides: str) -> dict[str, Any]:
    settings = [*TINY, *overrides, *(f"data.{split}={text / split}.jsonl" for split in ("train", "validation", "test"))]
    settings.append(f"data.folder={text / 'data'}")
    words = [word for setting in settings for word in ("--set", setting)]
    done = call("reproduce", "--preset", preset, "--out", out, *words)
    assert done.code == 0, done.stderr
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return summary


def test_the_paper_s_figure_has_six_models_and_two_caps_and_tests_its_claims(text: Path, tmp_path: Path) -> None:
    summary = reproduce("paper", text, tmp_path)
    assert [(system["name"], system["max_source_words"]) for system in summary["systems"]] == [
        (f"{name}, {cap}", cap) for name in ("RNN, attention", "RNN, fixed context", "Transformer") for cap in (30, 50)
    ]
    assert "trained on ≤ 30 words" in (tmp_path / "curve.svg").read_text(encoding="utf-8")
    claims = {(claim["kind"], claim["system"], claim["against"]): claim for claim in summary["relations"]}
    for cap in (30, 50):
        assert ("above", f"RNN, attention, {cap}", f"RNN, fixed context, {cap}") in claims
        assert claims["past_cap", f"Transformer, {cap}", None]["beyond"] == cap
        assert ("level", f"RNN, attention, {cap}", None) in claims
    for name in ("RNN, attention", "RNN, fixed context", "Transformer"):
        assert claims["longer_cap", f"{name}, 50", f"{name}, 30"]["beyond"] == 30
    # Models trained on different text are not compared for the effect of attention.
    assert ("above", "RNN, attention, 50", "RNN, fixed context, 30") not in claims
    assert all(
        0.0 < claim["p_value"] <= 1.0 for (kind, _, _), claim in claims.items() if kind not in ("retention", "apart")
    )


def test_the_study_of_positions_goes_beyond_the_sentence(text: Path, tmp_path: Path) -> None:
    summary = reproduce("positions", text, tmp_path)
    names = ["ALiBi", "Learned", "No positions", "Rotary", "Sinusoidal"]
    assert [system["name"] for system in summary["systems"]] == names
    joined = json.loads((tmp_path / "joined.json").read_text(encoding="utf-8"))
    assert [system["name"] for system in joined["systems"]] == names
    for system in joined["systems"]:
        assert system["max_source_words"] == 30
        assert [group["size"] for group in system["by_size"]] == [1, 2, 4, 6]
        assert max(group["mean_length"] for group in system["by_length"] if group["n"]) > 120
    assert (tmp_path / "joined.png").is_file()


def test_encoders_are_compared_with_full_attention_at_each_length(text: Path, tmp_path: Path) -> None:
    lenient = ("data.confirm=100", "data.join.min_word_count=1", "data.join.min_training_word_count=1")
    lenient = (*lenient, "data.join.max_sentence_words=", "data.join.max_held_out_words=", "data.join.clauses=false")
    summary = reproduce("encoders", text, tmp_path, *lenient, "data.join.draws=20", "data.join.max_words=200")
    assert [system["name"] for system in summary["systems"]] == ["Full attention", "Linear attention", "Window of 8"]
    assert (summary["split"], summary["joined"]) == ("confirm", True)
    assert "claims" not in summary
    compared = {(row["system"], row["baseline"]) for row in summary["differences"]}
    assert compared == {(system, "Full attention") for system in ("Linear attention", "Window of 8")}
    assert len(summary["differences"]) > 4
    # Without a fixed context no claim needs the other searches.
    assert not list((tmp_path / "runs").rglob("*penalty*"))


def test_captions_are_judged_on_the_confirming_split_with_every_search(text: Path, tmp_path: Path) -> None:
    lenient = ("data.confirm=100", "data.join.min_word_count=1", "data.join.max_sentence_words=", "data.join.draws=20")
    summary = reproduce("captions", text, tmp_path, *lenient, "data.join.max_words=200")
    assert (summary["split"], summary["joined"], summary["resample"]) == ("confirm", True, "documents")
    assert [system["name"] for system in summary["systems"]] == ["RNN, attention", "RNN, fixed context", "Transformer"]
    rows = {(claim["id"], claim["system"], claim["baseline"]) for claim in summary["claims"]}
    assert ("learned", "RNN, fixed context", "RNN, attention") in rows
    assert ("bottleneck", "RNN, fixed context", "Transformer") in rows
    for search in ("greedy search", "length penalty 0", "length penalty 0.6", "length penalty 1"):
        assert ("not_search_alone", f"RNN, fixed context, {search}", "RNN, attention") in rows
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "The bottleneck with other searches" in report
    assert "The same sentences one by one" in report

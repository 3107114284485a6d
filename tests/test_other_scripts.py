"""English to Chinese and English to Arabic, from text to curve, with suitable lengths and tokenizers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.metrics import BLEU

from seq2attn.training.train import train
from tests.command_line import call
from tests.training_samples import make_config

NOUNS = [("the teacher", "老师", "المعلم"), ("the boy", "男孩", "الولد"), ("the doctor", "医生", "الطبيب")]
VERBS = [("reads", "读", "يقرأ"), ("writes", "写", "يكتب"), ("buys", "买", "يشتري")]
THINGS = [("a book", "一本书", "كتابا"), ("a letter", "一封信", "رسالة"), ("the newspaper", "报纸", "الجريدة")]
N_TEST = 150


def sentence(draw: random.Random) -> tuple[str, str, str]:
    """A sentence of one to eight clauses in English, Chinese (no spaces) and Arabic (verb first)."""
    english, chinese, arabic = [], [], []
    for _ in range(draw.randint(1, 8)):
        noun, verb, thing = draw.choice(NOUNS), draw.choice(VERBS), draw.choice(THINGS)
        english.append(f"{noun[0]} {verb[0]} {thing[0]}")
        chinese.append(f"{noun[1]}{verb[1]}{thing[1]}")
        arabic.append(f"{verb[2]} {noun[2]} {thing[2]}")
    return f"{' and '.join(english)}.", f"{',而'.join(chinese)}。", f"{' و'.join(arabic)}."


@pytest.fixture(scope="module", params=["zh", "ar"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A briefly trained run for one of the two language pairs."""
    language: str = request.param
    folder = tmp_path_factory.mktemp(language)
    draw = random.Random(2)
    for split, n in (("train", 400), ("validation", 20), ("test", N_TEST)):
        rows = [sentence(draw) for _ in range(n)]
        lines = [f"{english}\t{chinese if language == 'zh' else arabic}\n" for english, chinese, arabic in rows]
        (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    config = make_config(
        folder,
        {"kind": "rnn", "attention": "general", "cell": "gru", "d_model": 48},
        max_steps=120,
        batch_tokens=400,
    )
    data = config.data.model_copy(update={"source_language": "en", "target_language": language})
    subwords = config.subwords.model_copy(update={"vocab_size": 90})
    train(config.model_copy(update={"data": data, "subwords": subwords}), folder / "run", "cpu", quiet=True)
    return folder / "run"


def evaluate(run: Path, *options: str | Path) -> dict[str, Any]:
    done = call("eval", run, "--by-length", "--beam", "1", "--json", *options)
    assert done.code == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_the_curve_is_over_words_of_the_source_with_the_target_s_tokenizer(run: Path, tmp_path: Path) -> None:
    summary = evaluate(run, "--out", tmp_path)
    tokenizer = "zh" if run.parent.name.startswith("zh") else "13a"
    assert summary["length_unit"] == "words"
    assert f"tok:{tokenizer}|" in summary["signature"]
    sources, references = ((tmp_path / "translations" / f"{side}.txt").read_text("utf-8") for side in SIDES)
    counted = [len(line.split()) for line in sources.splitlines()]
    (system,) = summary["systems"]
    for bucket in system["buckets"]:
        end = bucket["high"] or max(counted) + 1
        assert bucket["n"] == sum(bucket["low"] <= length < end for length in counted)
    (file,) = (path for path in (tmp_path / "translations").iterdir() if path.stem not in SIDES)
    translations = file.read_text("utf-8").splitlines()
    expected = BLEU(tokenize=tokenizer).corpus_score(translations, [references.splitlines()]).score
    assert system["bleu"] == pytest.approx(expected, abs=1e-9)
    assert system["bleu"] > 1.0
    assert references.splitlines()[0] in (tmp_path / "report.md").read_text("utf-8") or counted[0] not in range(6, 13)
    assert (tmp_path / "curve.png").stat().st_size > 10_000


SIDES = ("source", "reference")


def test_the_length_unit_of_the_reference_suits_its_language(run: Path) -> None:
    summary = evaluate(run, "--length-of", "reference")
    chinese = run.parent.name.startswith("zh")
    assert summary["length_unit"] == ("characters" if chinese else "words")
    lines = (run.parent / "test.tsv").read_text("utf-8").splitlines()
    references = [line.split("\t")[1] for line in lines]
    counted = [len(reference.replace(" ", "") if chinese else reference.split()) for reference in references]
    (system,) = summary["systems"]
    assert system["buckets"][0]["n"] == sum(length < 10 for length in counted)
    assert len([bucket for bucket in system["buckets"] if bucket["n"]]) >= 3


def test_score_on_the_same_files_gives_the_same_result(run: Path, tmp_path: Path) -> None:
    language = run.parent.name[:2]
    summary = evaluate(run, "--out", tmp_path)
    source, reference = (tmp_path / "translations" / f"{side}.txt" for side in SIDES)
    (file,) = (path for path in (tmp_path / "translations").iterdir() if path.stem not in SIDES)
    done = call(
        *("score", "--source", source, "--reference", reference, "--source-language", "en"),
        *("--target-language", language, "--by-length", "--json", file),
    )
    assert done.code == 0, done.stderr
    (ours,), (theirs,) = summary["systems"], json.loads(done.stdout)["systems"]
    # Files of translations do not say which were cut off.
    assert [{key: bucket[key] for key in bucket if key != "capped"} for bucket in ours["buckets"]] == theirs["buckets"]
    assert (ours["bleu"], ours["bleu_low"]) == (theirs["bleu"], theirs["bleu_low"])

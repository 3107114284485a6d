"""The command `seq2attn score` on small files."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from seq2attn.results.summary import Summary
from tests.command_line import PROGRAM, Finished, call, write
from tests.evaluation_samples import corrupted, random_sentences

N = 240


def lines(sentences: list[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


@pytest.fixture(scope="module")
def text() -> dict[str, list[str]]:
    rng = np.random.default_rng(5)
    references = random_sentences(rng, N)
    return {
        "source": [f"{reference} and more" for reference in references],
        "reference": references,
        "other_reference": corrupted(rng, references, 0.9),
        "good": corrupted(rng, references, 0.85),
        "bad": corrupted(rng, references, 0.6),
        "bad2": corrupted(rng, references, 0.62),
        "bad3": corrupted(rng, references, 0.58),
    }


@pytest.fixture(scope="module")
def folder(text: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, sentences in text.items():
        write(folder / f"{name}.txt", lines(sentences))
    return folder


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def score(*words: str) -> Finished:
    # Few trials: their results are tested elsewhere.
    return call("score", "--source", "source.txt", "--reference", "reference.txt", "--trials", "100", *words)


def summary(*words: str) -> dict[str, Any]:
    done = score(*words, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_the_corpus_score_is_sacrebleus_for_every_metric(text: dict[str, list[str]]) -> None:
    found = summary("good.txt", "--metric", "chrf", "--metric", "chrf++", "--metric", "ter", "--tokenizer", "intl")
    (system,) = found["systems"]
    hypotheses, references = text["good"], [text["reference"]]
    assert system["bleu"] == sacrebleu.corpus_bleu(hypotheses, references, tokenize="intl").score
    expected = {
        "chrF2": sacrebleu.corpus_chrf(hypotheses, references).score,
        "chrF2++": sacrebleu.corpus_chrf(hypotheses, references, word_order=2).score,
        "TER": sacrebleu.corpus_ter(hypotheses, references).score,
    }
    assert {curve["metric"]: curve["overall"]["value"] for curve in system["beside"]} == expected
    assert "tok:intl" in found["signature"]
    assert list(found["signatures"]) == list(expected)
    for curve in system["beside"]:
        assert curve["overall"]["low"] < curve["overall"]["value"] < curve["overall"]["high"]


def test_several_references_are_used_together(text: dict[str, list[str]]) -> None:
    found = summary("good.txt", "--reference", "other_reference.txt", "--metric", "chrf")
    references = [text["reference"], text["other_reference"]]
    (system,) = found["systems"]
    assert system["bleu"] == sacrebleu.corpus_bleu(text["good"], references).score
    assert system["beside"][0]["overall"]["value"] == sacrebleu.corpus_chrf(text["good"], references).score
    assert found["signature"].startswith("nrefs:2|")


def test_buckets_are_by_source_and_few_sentences_are_not_tested(text: dict[str, list[str]]) -> None:
    found = summary("good.txt", "bad.txt", "--bins", "0,20,65,70", "--metric", "chrf")
    good = found["systems"][0]
    lengths = [len(sentence.split()) for sentence in text["source"]]
    for bucket in good["buckets"]:
        inside = [n for n, length in enumerate(lengths) if bucket["low"] <= length < (bucket["high"] or 999)]
        expected = sacrebleu.corpus_bleu([text["good"][n] for n in inside], [[text["reference"][n] for n in inside]])
        assert (bucket["n"], bucket["bleu"]) == (len(inside), expected.score)
    few = [bucket for bucket in good["buckets"] if bucket["n"] < 30]
    assert len(few) == 2
    assert all(bucket["bleu_low"] is bucket["bleu_high"] is None for bucket in few)
    assert [score["low"] is None for score in good["beside"][0]["buckets"]] == [False, False, True, True]
    compared = {(difference["low"], difference["high"]) for difference in found["differences"]}
    assert compared == {(0, None), (0, 20), (20, 65)}
    printed = score("good.txt", "bad.txt", "--bins", "0,20,65,70").stdout
    assert printed.count("n too small") == 4


@pytest.mark.parametrize(
    ("words", "unit", "expected"),
    [
        (["--length-of", "reference"], "words", lambda row: len(row["reference"].split())),
        (["--length-unit", "characters"], "characters", lambda row: len(row["source"].replace(" ", ""))),
        (["--source-language", "th"], "characters", lambda row: len(row["source"].replace(" ", ""))),
        (["--length-of", "reference", "--source-language", "th"], "words", lambda row: len(row["reference"].split())),
    ],
)
def test_lengths_are_of_the_requested_side_and_unit(
    words: list[str], unit: str, expected: Any, text: dict[str, list[str]]
) -> None:
    found = summary("good.txt", "--bins", "0,30,60", *words)
    lengths = [expected({side: text[side][n] for side in ("source", "reference")}) for n in range(N)]
    counts = np.histogram(lengths, [0, 30, 60, 10**6])[0].tolist()
    assert (found["length_unit"], [bucket["n"] for bucket in found["systems"][0]["buckets"]]) == (unit, counts)


def test_bins_of_equal_count_have_about_equal_numbers() -> None:
    counts = [bucket["n"] for bucket in summary("good.txt", "--bins", "count:4")["systems"][0]["buckets"]]
    assert len(counts) == 4
    assert all(abs(count - N / 4) < 15 for count in counts)


def test_files_of_one_name_are_seeds_of_one_system(text: dict[str, list[str]]) -> None:
    found = summary("good.txt", "weak=bad.txt", "weak=bad2.txt", "weak=bad3.txt", "--by-length")
    good, weak = found["systems"]
    alone = [sacrebleu.corpus_bleu(text[name], [text["reference"]]).score for name in ("bad", "bad2", "bad3")]
    assert [output["bleu"] for output in weak["outputs"]] == alone
    assert [output["run"] for output in weak["outputs"]] == ["bad.txt", "bad2.txt", "bad3.txt"]
    assert weak["bleu"] == pytest.approx(np.mean(alone), abs=1e-12)
    assert weak["bleu_spread"] == pytest.approx(np.std(alone, ddof=1), abs=1e-12)
    assert (good["name"], good["outputs"], good["bleu_spread"]) == ("good", [], None)
    assert all(difference["p_randomisation"] is None for difference in found["differences"])
    assert " ±" in score("good.txt", "weak=bad.txt", "weak=bad2.txt").stdout


def test_systems_are_compared_with_the_given_baseline() -> None:
    default, named = summary("good.txt", "bad.txt"), summary("good.txt", "bad.txt", "--baseline", "bad")
    (worse,), (better,) = default["differences"], named["differences"]
    assert (worse["system"], worse["baseline"], better["system"], better["baseline"]) == ("bad", "good", "good", "bad")
    assert better["value"] == -worse["value"] > 0


def test_a_slope_and_a_smoothed_curve_come_with_the_buckets() -> None:
    by_length, unbinned = summary("good.txt", "--by-length")["systems"][0], summary("good.txt")["systems"][0]
    assert by_length["slope"]["loss_low"] < by_length["slope"]["loss"] < by_length["slope"]["loss_high"]
    assert len(by_length["smoothed"]) > 40
    assert (unbinned["slope"], unbinned["smoothed"]) == (None, [])


def test_out_contains_figure_table_and_summary(tmp_path: Path) -> None:
    done = score("good.txt", "bad.txt", "--out", str(tmp_path / "result"), "--json")
    assert {path.name for path in (tmp_path / "result").iterdir()} == {
        "summary.json",
        "curve.csv",
        "curve.png",
        "curve.svg",
    }
    assert (tmp_path / "result" / "summary.json").read_text() == done.stdout
    assert Summary.from_json(done.stdout).to_json() == done.stdout
    with (tmp_path / "result" / "curve.csv").open() as file:
        assert [row["system"] for row in csv.DictReader(file)] == ["good"] * 7 + ["bad"] * 7


def test_gz_and_jsonl_give_what_plain_lines_give(text: dict[str, list[str]], tmp_path: Path) -> None:
    zipped = write(tmp_path / "good.txt.gz", gzip.compress(lines(text["good"]).encode()))
    records = "".join(f"{json.dumps([{'text': line, 'score': 0.0}])}\n" for line in text["good"])
    listed = write(tmp_path / "good.jsonl", records)
    bleu = {summary(str(file))["systems"][0]["bleu"] for file in ("good.txt", zipped, listed)}
    assert len(bleu) == 1


def test_without_a_source_lengths_are_of_the_reference() -> None:
    words = ("score", "--reference", "reference.txt", "good.txt")
    assert call(*words).code == 0
    assert call(*words, "--by-length", "--length-of", "reference").code == 0
    assert "--source FILE, or --length-of reference" in call(*words, "--by-length").complaint


def test_a_better_tokenizer_that_is_not_installed_is_named_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2attn.evaluation.tokenizers.find_spec", lambda package: None)
    done = score("good.txt", "--target-language", "ja", "--json")
    assert done.stderr == "seq2attn: scored with char; for ja-mecab, pip install 'sacrebleu[ja]'\n"
    assert "tok:char" in json.loads(done.stdout)["signature"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.txt"], "missing.txt: cannot be read"),
        (["short.txt"], "short.txt: 2 line(s) where reference.txt has 240"),
        (["good.txt", "good.txt"], "good.txt: another system is already called good.txt; give it a name"),
        (["good.txt", "--baseline", "best"], "baseline best: no such system; expected one of good"),
        (["good.txt", "--bins", "width:wide"], "bins width:wide: expected first lengths"),
        (["good.txt", "--tokenizer", "14a"], "tokenizer 14a: expected one of"),
        (["good.txt", "--by-length", "--length-unit", "subwords"], "--subwords-model FILE"),
    ],
)
def test_a_mistake_is_one_clear_line(words: list[str], message: str, folder: Path) -> None:
    write(folder / "short.txt", "one\ntwo\n")
    done = score(*words)
    assert done.code == 2
    assert message in done.complaint


def test_torch_is_never_loaded(tmp_path: Path) -> None:
    words = ["score", "--source", "source.txt", "--reference", "reference.txt", "good.txt", "bad.txt", "--by-length"]
    program = (
        f"import sys; sys.argv = {['seq2attn', *words, '--out', str(tmp_path)]!r}\n"
        "from seq2attn.cli.app import main; main()\n"
        "loaded = {'torch', 'datasets'} & set(sys.modules); sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "BLEU lost per 10 words" in done.stdout


def test_help_names_every_option() -> None:
    printed = subprocess.run([*PROGRAM, "score", "--help"], capture_output=True, text=True, check=True).stdout
    for option in ("--reference", "--by-length", "--length-unit", "--metric", "--baseline", "--resamples"):
        assert option in printed

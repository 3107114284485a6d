"""Repeated 4-grams and outputs at the length cap, against the definition in words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import dump_config, load_config
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.diagnostics import count_repeated
from seq2attn.evaluation.lengths import Bins
from seq2attn.evaluation.measure import MeasureSettings, SystemOutputs, measure
from seq2attn.evaluation.metrics import Bleu
from seq2attn.experiment.evaluate import Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.report.content import ReportContent, report_blocks
from seq2attn.report.html import page
from seq2attn.report.markdown import to_markdown
from seq2attn.report.tables import failure_table
from seq2attn.results.summary import EvaluatedText, Summary, SystemFacts
from tests.command_line import call
from tests.evaluation_samples import a_summary

CPU = torch.device("cpu")
SETTINGS = EvaluationSettings("validation", Bins((0,)), "source", beam_size=None, command="")


@given(words=st.lists(st.sampled_from("ab"), max_size=30))
def test_a_4_gram_counts_where_it_occurs_earlier_in_the_output(words: list[str]) -> None:
    ngrams = [words[start : start + 4] for start in range(len(words) - 3)]
    earlier = sum(ngram in ngrams[:place] for place, ngram in enumerate(ngrams))
    assert count_repeated([" ".join(words)], Bleu()).tolist() == [[earlier, len(ngrams)]]


def test_tokens_are_those_of_bleu() -> None:
    outputs = ["go, go, go, go.", "他来了他来了"]
    assert count_repeated(outputs, Bleu()).tolist() == [[2, 5], [0, 0]]
    assert count_repeated(outputs, Bleu("zh")).tolist() == [[2, 5], [0, 3]]
    assert count_repeated([], Bleu()).shape == (0, 2)


def a_measurement(cut_off: tuple[list[int], ...] | None) -> Summary:
    """Two seeds on three inputs: two short ones, and a long one that the first seed translates in a loop."""
    references = ["a b c d e", "f g h i", "a b c d e f g h i j k l"]
    looping = [*references[:2], "a b c d a b c d"]
    lengths = np.array([5, 4, 12])
    settings = MeasureSettings(Bins((0, 10, 20)), n_resamples=10)
    system = SystemOutputs("looping", (looping, references), cut_off)
    measurement = measure([system], [references], lengths, settings)
    return Summary.of(measurement, settings, EvaluatedText("x", "", "source", "words"), [SystemFacts(["1", "2"])])


def test_shares_are_over_all_outputs_of_a_bucket() -> None:
    short, long, empty = a_measurement(([2], [])).systems[0].buckets
    assert (short.repeated, short.capped) == (0.0, 0.0)
    # One of 5 4-grams of the first seed, none of 9 of the second; one of two outputs.
    assert (long.repeated, long.capped) == (1 / 14, 0.5)
    assert (empty.repeated, empty.capped) == (None, None)


def test_the_file_has_them_where_they_are_known() -> None:
    known, unknown = a_measurement(([2], [0])), a_measurement(None)
    for summary in (known, unknown):
        assert Summary.from_json(summary.to_json()).to_json() == summary.to_json()
        assert Summary.from_json(summary.to_json()).systems[0].buckets == summary.systems[0].buckets
    buckets = json.loads(known.to_json())["systems"][0]["buckets"]
    assert [bucket["capped"] for bucket in buckets[:2]] == [0.25, 0.5]
    assert "repeated" not in buckets[2]
    assert "capped" not in unknown.to_json()
    (system,) = known.systems
    bare = replace(system, buckets=tuple(replace(bucket, repeated=None, capped=None) for bucket in system.buckets))
    old = replace(known, systems=(bare,)).to_json()
    assert "repeated" not in old
    assert Summary.from_json(old).to_json() == old


def test_the_report_shows_what_is_known() -> None:
    known, unknown = a_measurement(([2], [])), a_measurement(None)
    table = failure_table(known)
    assert table.header == ("source words", "0–9", "10–19", "20+")
    assert table.rows == (("looping: repeated", "0.0 %", "7.1 %", "–"), ("looping: cut off", "0.0 %", "50.0 %", "–"))
    assert [row[0] for row in failure_table(unknown).rows] == ["looping: repeated"]
    title = "Repetition and cut-offs"
    for content in (ReportContent(known), ReportContent(unknown)):
        assert f"### {title}" in to_markdown(report_blocks(content, "x.png"))
        assert title in page(content)
    assert title not in to_markdown(report_blocks(ReportContent(a_summary()), "x.png"))


def test_scores_of_files_have_no_capped_outputs(tmp_path: Path) -> None:
    (tmp_path / "reference").write_text("a b c d e\n")
    (tmp_path / "output").write_text("a a a a a a\n")
    done = call("score", "--reference", tmp_path / "reference", tmp_path / "output", "--length-of=reference", "--json")
    (bucket,) = json.loads(done.stdout)["systems"][0]["buckets"]
    assert bucket["repeated"] == pytest.approx(2 / 3)
    assert "capped" not in bucket


def test_capped_outputs_are_kept_with_the_translations(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("translations"))
    # A cap of 10 subwords.
    config = load_config(run / "config.yaml", ["decode.max_length_ratio=0.001"])
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")

    def evaluated() -> tuple[Evaluation, float | None]:
        evaluation = evaluate_runs([run], SETTINGS, CPU, lambda *_: None)
        return evaluation, evaluation.summary.systems[0].buckets[0].capped

    first, capped = evaluated()
    (trained,) = first.runs.values()
    found = list(Translator(trained.model, trained.subwords, trained.config.decode).stream(first.text.sources))
    at_cap = [best.tokens == 10 for (best,) in found]
    assert capped == np.mean(at_cap) > 0
    assert evaluated()[1] == capped
    # Translations saved by an earlier version say nothing about it.
    (file,) = (run / "translations").iterdir()
    kept = json.loads(file.read_text(encoding="utf-8"))
    del kept["cut_off"]
    file.write_text(json.dumps(kept), encoding="utf-8")
    again, capped = evaluated()
    assert (again.translations, capped) == (first.translations, None)

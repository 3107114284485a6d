from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from seq2attn.errors import DataError
from seq2attn.evaluation.lengths import EVERY_LENGTH
from seq2attn.evaluation.score import Bucket, Score
from seq2attn.report.markdown import to_markdown
from seq2attn.report.tables import length_ratio_table, score_table, terminal_table, to_csv
from seq2attn.results.summary import Summary
from tests.evaluation_samples import ATTENTION, COUNTS, RETENTION, SHARE_FALL, a_bucket, a_summary, a_system

WITH_GAP = a_system("gappy", [10, 11, 12, 13, 14, 15, 16], [3, *COUNTS[1:6], 0])


def test_json_has_the_keys_that_others_rely_on() -> None:
    tree = json.loads(a_summary().to_json())
    assert {"corpus", "split", "length_of", "machine", "command", "signature", "systems"} <= set(tree)
    system = tree["systems"][0]
    expected = {"name", "run", "kind", "attention", "parameters", "bleu", "bleu_low", "bleu_high", "buckets"}
    assert expected <= set(system)
    assert list(system["buckets"][0])[:7] == ["low", "high", "n", "bleu", "bleu_low", "bleu_high", "length_ratio"]
    assert [bucket["high"] for bucket in system["buckets"]] == [10, 20, 30, 40, 50, 60, None]


def test_json_is_read_back_unchanged() -> None:
    summary = a_summary(WITH_GAP, replace(ATTENTION, max_source_words=50), claims=(SHARE_FALL, RETENTION))
    assert Summary.from_json(summary.to_json()) == summary


PUBLISHED = sorted((Path(__file__).parent.parent / "docs" / "results").glob("*/summary.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_summaries_are_read_and_written_byte_for_byte(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert Summary.from_json(text, str(path)).to_json() == text


def test_there_are_published_summaries() -> None:
    assert len(PUBLISHED) >= 7


def test_scores_of_every_metric_are_read_back_unchanged() -> None:
    chrf = {bucket.low: Score(40.0, 39.0, 41.0, bucket.n, std=0.3) for bucket in ATTENTION.buckets}
    ter = {bucket.low: Score(61.0, 60.0, 62.5, bucket.n, lower_is_better=True) for bucket in ATTENTION.buckets}

    def scored(bucket: Bucket) -> Bucket:
        return replace(bucket, scores={**bucket.scores, "chrF2": chrf[bucket.low], "TER": ter[bucket.low]})

    n = ATTENTION.overall.n
    of_all = {name: replace(score, n=n) for name, score in scored(ATTENTION.buckets[0]).scores.items()}
    system = replace(
        ATTENTION, overall=replace(ATTENTION.overall, scores=of_all), buckets=tuple(map(scored, ATTENTION.buckets))
    )
    summary = a_summary(system)
    assert summary.metrics == ["BLEU", "chrF2", "TER"]
    written = json.loads(summary.to_json())["systems"][0]["beside"]
    assert [(metric["metric"], metric["lower_is_better"]) for metric in written] == [("chrF2", False), ("TER", True)]
    assert written[0]["buckets"][0] == {"value": 40.0, "low": 39.0, "high": 41.0, "spread": 0.3}
    assert Summary.from_json(summary.to_json()) == summary


def test_unknown_keys_of_a_newer_version_are_ignored() -> None:
    tree = json.loads(a_summary().to_json()) | {"chrf": 1}
    assert Summary.from_json(json.dumps(tree)) == a_summary()


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        a_summary(replace(ATTENTION, overall=a_bucket(*EVERY_LENGTH, 3150, float("nan")))).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", r"^runs/summary\.json: the file: Invalid JSON"),
        ("{}", r"^runs/summary\.json: corpus: Field required"),
        ('{"corpus": "c", "split": "test", "length_of": "target"}', r"length_of: Input should be 'source'"),
    ],
)
def test_a_broken_summary_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Summary.from_json(text, "runs/summary.json")
    assert "\n" not in str(caught.value)


def test_csv_has_a_line_for_each_system_and_bucket() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(a_summary(WITH_GAP, ATTENTION)))))
    assert len(rows) == 14
    assert rows[0]["system"] == "gappy"
    assert (rows[6]["low"], rows[6]["high"], rows[6]["n"], rows[6]["bleu"]) == ("60", "", "0", "")
    assert float(rows[7]["bleu"]) == 17.5


def test_markdown_table_shows_the_numbers() -> None:
    lines = to_markdown([score_table(a_summary(WITH_GAP))]).splitlines()
    assert lines[0] == "| source words | sentences | gappy |"
    assert lines[3] == "| 10–19 | 640 | 11.0 (9.8–12.2) |"
    assert lines[8] == "| 60+ | 0 | – |"
    assert lines[9] == "| all | 2,923 | 15.0 (14.2–15.8) |"
    assert to_markdown([length_ratio_table(a_summary(WITH_GAP))]).splitlines()[3] == "| 10–19 | 640 | 0.97 |"


def test_terminal_table_of_three_systems_fits_80_columns() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal_table(a_summary(WITH_GAP, ATTENTION, replace(ATTENTION, name="[b]transformer"))))
    text = console.export_text()
    assert "15.0–20.0 ×0.97" in text
    assert "[b]transformer" in text


def test_the_terminal_table_explains_its_symbols() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal_table(a_summary(ATTENTION)))
    assert "×: length relative to the reference" in " ".join(console.export_text().split())


def test_a_single_bucket_is_not_listed_twice() -> None:
    everything = a_bucket(0, None, 2923, 15.0, 14.2, 15.8, 0.97)
    summary = a_summary(replace(ATTENTION, buckets=(everything,)))
    assert [row[0] for row in score_table(summary).rows] == ["all"]
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal_table(summary))
    text = console.export_text()
    assert "0+" not in text
    assert "by source words" not in text
    assert "14.2–15.8 ×0.97" in text

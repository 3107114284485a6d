"""The content of a report's page about its runs."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from seq2attn.config.load import dump_config, load_config
from seq2attn.evaluation.lengths import Bins
from seq2attn.experiment.evaluate import EvaluationSettings, evaluate_runs
from seq2attn.experiment.outputs import report_content
from seq2attn.report.content import ReportContent, ReportDetails

SETTINGS = EvaluationSettings("validation", Bins((0, 30)), "source", beam_size=None, command="seq2attn eval")


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the small run, which tests may change."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def content_of(run: Path) -> ReportContent:
    evaluation = evaluate_runs([run], SETTINGS, torch.device("cpu"), lambda *_: None)
    return report_content(evaluation, ReportDetails())


def test_a_run_is_described_with_its_numbers_digests_and_attention(run: Path) -> None:
    content = content_of(run)
    (record,) = content.runs
    assert (record.name, record.system) == ("RNN, attention", "RNN, attention")
    assert record.metrics[-1]["step"] == 30
    weights = (run / "checkpoints" / "final" / "model.safetensors").read_bytes()
    assert record.digests["weights"] == hashlib.sha256(weights).hexdigest()
    assert len(content.corpus_digest) == 64
    short, longer = content.explorations
    assert 6 <= len(short.source.split()) <= 12
    assert 18 <= len(longer.source.split()) <= 25
    assert set(short.systems[0].attention.weights) == {"cross"}


def test_sentences_translated_in_parts_have_no_attention_map(run: Path) -> None:
    config = load_config(run / "config.yaml", ["decode.max_source_tokens=4"])
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert content_of(run).explorations == []


def test_missing_metrics_are_left_out(run: Path) -> None:
    (run / "metrics.jsonl").unlink()
    assert content_of(run).runs[0].metrics == []

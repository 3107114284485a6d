"""Today's code evaluates, resumes and translates with runs trained at commit 2e39e36."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.load import load_config
from seq2attn.decoding.translate import Translator
from seq2attn.runs.folder import load_run
from seq2attn.training.train import train
from tests.command_line import call
from tests.training_samples import loss_curve, read_metrics

FIXTURE = Path(__file__).parent / "fixtures" / "run_2e39e36"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(params=EXPECTED)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model, in a folder that holds a copy of its runs."""
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)  # the runs refer to their text by relative paths
    return str(request.param)


def test_an_old_run_translates_as_it_did(name: str) -> None:
    run = load_run(Path(name, "finished"), torch.device("cpu"))
    sources = [line.split("\t")[0] for line in Path("text/test.tsv").read_text(encoding="utf-8").splitlines()]
    assert Translator(run.model, run.subwords, run.config.decode).translate(sources) == EXPECTED[name]["translations"]


def test_an_old_run_is_evaluated_to_the_same_summary(name: str) -> None:
    done = call("eval", Path(name, "finished"), "--by-length", "--out", "out")
    assert done.code == 0, done.stderr
    before, after = (json.loads(Path(path, "summary.json").read_text("utf-8")) for path in (name, "out"))
    assert before.keys() <= after.keys()
    for system, expected in zip(after["systems"], before["systems"], strict=True):
        assert expected.keys() <= system.keys()
        for key in ("bleu", "bleu_low", "bleu_high"):
            assert system[key] == pytest.approx(expected[key], rel=1e-9)
        for bucket, wanted in zip(system["buckets"], expected["buckets"], strict=True):
            assert bucket.keys() >= wanted.keys()
            scores = {key: value for key, value in wanted.items() if value is not None}
            assert {key: bucket[key] for key in scores} == pytest.approx(scores, rel=1e-9)


def test_an_old_run_resumes_as_if_uninterrupted(name: str) -> None:
    stopped = Path(name, "stopped")
    result = train(load_config(stopped / "config.yaml"), stopped, resume=True, quiet=True)
    assert result.steps == 200
    assert loss_curve(stopped) == pytest.approx(EXPECTED[name]["losses"], rel=1e-5)
    assert read_metrics(stopped)[-1] == pytest.approx(EXPECTED[name]["last"], rel=1e-5)

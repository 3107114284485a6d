"""The study of word order: losses of single sentences, reordered sources, verdicts, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import dump_config, load_config
from seq2attn.data.batch import collate
from seq2attn.device import choose_device
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.studies.losses import mean_per_token, target_tokens, text_losses
from seq2attn.studies.order import OrderStudy, shuffle
from tests.command_line import CONFIGS, call, write

SOURCES = ["noruto lipa memuta kupota Luri.", "Luri kupota.", "memuta lipa noruto, kupota Luri lipa."]
TARGETS = ["zody jaga dibygu bado Gobyvo.", "bado.", "zody jaga dibygu"]


@pytest.fixture(scope="module")
def runs(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedRun]:
    """Hardly trained transformers without positions and with sinusoidal ones."""
    folder = tmp_path_factory.mktemp("order")
    found = {}
    for scheme in ("none", "sinusoidal"):
        settings = ["model.d_model=16", "train.max_steps=6", f"model.positions={scheme}", f"name={scheme}"]
        config = load_config(CONFIGS / "smoke" / "transformer.yaml", settings)
        data = config.data.model_copy(update={"folder": str(data_folder)})
        train = config.train.model_copy(update={"validation_sentences": 0})
        file = write(folder / f"{scheme}.yaml", dump_config(config.model_copy(update={"data": data, "train": train})))
        done = call("train", file, "--run-dir", folder / scheme)
        assert done.code == 0, done.stderr
        found[scheme] = load_run(folder / scheme, choose_device("cpu"))
    return found


def quiet(name: str, finished: int, total: int) -> None:
    """Show nothing."""


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_shuffled_words_are_the_same_in_another_order(words: list[str]) -> None:
    shuffled = shuffle(words)
    assert sorted(shuffled) == sorted(words)
    assert shuffle(words) == shuffled
    assert (shuffled != words) == (len(set(words)) > 1)


@pytest.mark.parametrize("scheme", ["none", "sinusoidal"])
def test_the_loss_of_a_sentence_is_the_sum_over_its_tokens(runs: dict[str, TrainedRun], scheme: str) -> None:
    run = runs[scheme]
    expected = []
    for source, target in zip(SOURCES, TARGETS, strict=True):
        (source_ids,), (target_ids,) = run.subwords.encode_source([source]), run.subwords.encode_target([target])
        batch = collate([source_ids], [target_ids])
        with torch.inference_mode():
            logits = run.model.eval().project(run.model(batch))[0].double()
        loss = 0.0
        for row, token in zip(logits, batch.target_output[0].tolist(), strict=True):
            loss -= float(row[token] - torch.logsumexp(row, dim=0))
        expected.append(loss)
    np.testing.assert_allclose(text_losses(run, SOURCES, TARGETS), expected, rtol=1e-5)
    assert target_tokens(run, TARGETS).tolist() == [len(ids) + 1 for ids in run.subwords.encode_target(TARGETS)]


def test_the_mean_per_token_weighs_sentences_by_their_tokens() -> None:
    found = mean_per_token("a run", np.array([1.0, 9.0] * 20), np.array([1.0, 3.0] * 20))
    assert found.value == pytest.approx(2.5)
    assert found.low is not None
    assert found.high is not None
    assert 1.0 < found.low < 2.5 < found.high < 3.0


def test_only_a_model_without_positions_ignores_the_order(runs: dict[str, TrainedRun]) -> None:
    result = OrderStudy().measure(runs, "smoke", quiet)
    verdicts = {claim.claim.name: claim for claim in result.claims}
    assert list(verdicts) == ["order-free", "order-reaches", "order-is-needed"]
    assert verdicts["order-free"].verdict == "supported"
    assert verdicts["order-free"].worst.value < 1e-4
    moved = OrderStudy().measure({"sinusoidal": runs["sinusoidal"]}, "smoke", quiet)
    assert [claim.claim.name for claim in moved.claims] == ["order-reaches"]
    assert moved.claims[0].worst.value != 0.0
    rows = {(row[0], row[2]): row[3] for row in result.tables[0].rows}
    assert rows["none", "as written"] == pytest.approx(rows["none", "reversed"], abs=1e-4)
    assert rows["sinusoidal", "as written"] != rows["sinusoidal", "reversed"]


def test_examples_show_the_sentence_in_every_order(runs: dict[str, TrainedRun]) -> None:
    result = OrderStudy().measure({"none": runs["none"]}, "smoke", quiet)
    sources = {str(row[1]): str(row[2]).split() for row in result.tables[1].rows}
    assert sources["reversed"] == sources["as written"][::-1]
    assert sorted(sources["shuffled"]) == sorted(sources["as written"])
    translations = {row[3] for row in result.tables[1].rows}
    assert len(translations) == 1, "without positions every order has the same translation"


def test_the_command_measures_a_run_of_any_model(tiny_run: Path, tmp_path: Path) -> None:
    done = call("study", "order", tiny_run, "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert {row[1] for row in result["tables"][0]["rows"]} == {"recurrence"}
    assert (tmp_path / "figure.png").is_file()


@pytest.mark.slow
def test_smoke_trains_a_model_of_every_scheme(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    done = call("study", "order", "--preset", "smoke", "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    (free,) = [claim for claim in json.loads(done.stdout)["claims"] if claim["claim"]["name"] == "order-free"]
    assert free["verdict"] == "supported"

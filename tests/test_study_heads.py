"""The study of heads: learned gates, what heads look at, BLEU without heads, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import dump_config, load_config
from seq2attn.data.subwords import EOS_ID
from seq2attn.device import choose_device
from seq2attn.pruning.heads import Head, heads_of
from seq2attn.pruning.learned import hard_concrete, open_probability
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.studies.alignment.gold import synthetic_gold
from seq2attn.studies.heads import study as heads
from seq2attn.studies.heads.claims import rank_correlation
from seq2attn.studies.heads.curves import CurvePoint, Curves
from seq2attn.studies.heads.looks import RELATIONS, Looks, TextPair, read_looks
from seq2attn.studies.heads.study import HeadsStudy
from tests.command_line import CONFIGS, call, write


@pytest.fixture(scope="module")
def run_folder(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of two layers with two heads, trained for a few updates on `synthetic`."""
    folder = tmp_path_factory.mktemp("heads")
    settings = ["model.d_model=16", "model.n_heads=2", "model.n_layers=1", "train.max_minutes=", "train.max_steps=12"]
    config = load_config(CONFIGS / "smoke" / "transformer.yaml", [*settings, "decode.max_length_ratio=0.2"])
    data = config.data.model_copy(update={"folder": str(data_folder)})
    train = config.train.model_copy(update={"validation_sentences": 0})
    file = write(folder / "t.yaml", dump_config(config.model_copy(update={"data": data, "train": train})))
    done = call("train", file, "--run-dir", folder / "run")
    assert done.code == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def run(run_folder: Path) -> TrainedRun:
    return load_run(run_folder, choose_device("cpu"))


@given(log_alpha=st.floats(-4, 4), seed=st.integers(0, 1000))
def test_gates_are_open_as_often_as_their_probability_says(log_alpha: float, seed: int) -> None:
    uniform = torch.rand(4000, 1, generator=torch.Generator().manual_seed(seed)).clamp(1e-6, 1 - 1e-6)
    gates = hard_concrete(torch.tensor([log_alpha]), uniform)
    assert ((gates >= 0) & (gates <= 1)).all()
    expected = open_probability(torch.tensor([log_alpha])).item()
    assert (gates > 0).double().mean().item() == pytest.approx(expected, abs=0.05)


def test_a_gate_can_be_learned_through_its_samples() -> None:
    log_alpha = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    uniform = torch.full((1, 1), 0.5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda value: hard_concrete(value, uniform), log_alpha)


@given(
    st.lists(st.integers(0, 100), min_size=3, max_size=9, unique=True).flatmap(
        lambda first: st.tuples(st.just(first), st.permutations(first))
    )
)
def test_rank_correlation_is_pearsons_of_the_ranks(both: tuple[list[int], list[int]]) -> None:
    first, second = (np.array([values], dtype=np.float64) for values in both)
    ranks = [values[0].argsort().argsort() for values in (first, second)]
    assert rank_correlation(first, second)[0] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_looks_are_sums_over_the_maps(run: TrainedRun, data_folder: Path) -> None:
    (gold,) = synthetic_gold(str(data_folder)).first(1).pairs
    counts = np.ones(run.subwords.source_size), np.ones(run.subwords.target_size)
    looks = read_looks(run, [TextPair(gold.source, gold.target, gold)], counts)
    config = run.config.model
    assert config.kind == "transformer"
    assert looks.heads == heads_of(config)
    (source,) = run.subwords.encode_source([gold.source])
    (target,) = run.subwords.encode_target([gold.target])
    pieces = run.subwords.pieces([*target, EOS_ID], "target")
    rows = dict(zip(RELATIONS, looks.rows[0].T, strict=True))
    encoder, cross = (looks.heads.index(Head(kind, 1, 1)) for kind in ("encoder", "cross"))
    n = len(source)
    assert [rows[name][encoder] for name in ("previous", "next", "same", "boundary")] == [n - 1, n - 1, n, n]
    assert rows["aligned"][cross] == len(pieces) - 1  # every word has a link, the end of the sentence none
    assert rows["aligned"][encoder] == 0
    uniform = looks.uniform_shares()
    assert uniform[encoder, RELATIONS.index("same")] == pytest.approx(1 / n)
    shares = looks.shares()
    assert ((shares >= 0) & (shares <= 1) | np.isnan(shares)).all()
    with_tokens = [RELATIONS.index(name) for name in ("previous", "next", "same")]
    assert np.nansum(shares[encoder, with_tokens]) <= 1.2  # of different numbers of rows


def test_the_best_head_is_chosen_on_the_other_half() -> None:
    three = (Head("encoder", 1, 1), Head("encoder", 1, 2), Head("cross", 1, 1))
    weights = np.zeros((8, 3, len(RELATIONS)))
    same = RELATIONS.index("same")
    weights[0::2, 0, same], weights[1::2, 1, same] = 1.0, 0.9  # each is best on one half only
    rows = np.ones_like(weights)
    value, low, high, name = Looks(three, weights, weights, rows).best("encoder", ("same",))
    assert (value, low, high) == (0.0, 0.0, 0.0)
    assert name == "encoder layer 1 head 2 (same) / encoder layer 1 head 1 (same)"
    weights[:, 1, same] = 0.8  # chosen on the odd sentences for the even ones, as the first head is for the odd
    assert Looks(three, weights, weights, rows).best("encoder", ("same",))[0] == pytest.approx(0.4)


def test_half_of_the_heads_is_a_point_of_the_curve() -> None:
    points = tuple(CurvePoint("cross", number, None, 6) for number in range(7))
    curves = Curves(points, np.zeros(7), np.zeros((7, 3)), ())
    assert curves.at_half("cross") == 3


def test_the_command_measures_a_run(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_QUICK", heads._SMOKE)
    done = call("study", "heads", run_folder, "--json", "--out", tmp_path)
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    tables = {table["name"]: table for table in result["tables"]}
    assert len(tables["importance"]["rows"]) == 6
    # In each kind from all heads to none, and together from all to one in each attention.
    removed = {(row[1], row[2]) for row in tables["curves"]["rows"]}
    assert removed >= {(kind, number) for kind in ("encoder", "causal", "cross") for number in (0, 1, 2)}
    assert {("all", 0), ("all", 3)} <= removed
    assert len(tables["looks"]["rows"]) == 6 + 3
    names = [claim["claim"]["name"] for claim in result["claims"]]
    assert names == [claim.name for claim in HeadsStudy.claims if claim.name != "one-is-not-enough"]
    assert (tmp_path / "figure.png").is_file()


def test_an_rnn_has_no_heads(tiny_run: Path, tmp_path: Path) -> None:
    done = call("study", "heads", tiny_run, "--out", tmp_path)
    assert (done.code, "an RNN has no heads; give a transformer" in done.complaint) == (2, True)


def test_both_presets_differ_in_their_number_of_heads_only() -> None:
    for preset in ("smoke", "quick"):
        many, one = (config.model_dump() for config in HeadsStudy().configs(preset).values())
        assert (many["model"].pop("n_heads"), one["model"].pop("n_heads")) == (4, 1)
        assert many.pop("name") != one.pop("name")
        assert many == one

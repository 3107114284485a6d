"""The study of distance: gradients by source position, distances, the pronoun, verdicts, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.config.schema import SubwordsConfig
from seq2attn.data.batch import collate
from seq2attn.data.subwords import Subwords
from seq2attn.device import choose_device
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.folder import RunFolder, TrainedRun, load_run
from seq2attn.studies.distance.claims import MeasuredRun, judge
from seq2attn.studies.distance.coreference import SENTENCES, Look, coreference, why_no_pronoun
from seq2attn.studies.distance.gradients import (
    FARTHEST,
    Profile,
    depths,
    diagonal,
    distances,
    profile,
    relative,
    source_gradients,
    sums_by,
)
from seq2attn.studies.distance.study import DistanceStudy
from tests.command_line import call
from tests.conftest import make_batch, make_model
from tests.training_samples import make_config

UNTIED: dict[str, ModelConfig] = {
    "fixed": RnnConfig(attention="none", cell="gru", d_model=12, tie_embeddings=False),
    "additive": RnnConfig(attention="additive", cell="lstm", d_model=12, tie_embeddings=False),
    "feeding": RnnConfig(attention="general", cell="gru", d_model=12, input_feeding=True, tie_embeddings=False),
    "transformer": TransformerConfig(d_model=12, n_heads=3, n_layers=2, tie_embeddings=False),
    "alibi": TransformerConfig(d_model=12, n_heads=3, positions="alibi", tie_embeddings=False),
}


@pytest.mark.parametrize("name", UNTIED)
def test_gradients_by_source_position_are_those_of_the_embedding(name: str) -> None:
    """Where every source token occurs once, the gradient at its vector is that at its row of the table."""
    model = make_model(UNTIED[name])
    batch = collate([[7, 9, 4, 3], [5, 3]], [[6, 4, 8], [9, 9]])
    found = source_gradients(model, batch)
    assert [matrix.shape for matrix in found] == [(4, 4), (3, 2)]
    for sentence, matrix in enumerate(found):
        ids = batch.source_ids[sentence].tolist()
        for position in range(len(matrix)):
            logits = model.project(model(batch))[sentence, position]
            loss = -logits.log_softmax(dim=-1)[batch.target_output[sentence, position]]
            (table,) = torch.autograd.grad(loss, model.embeddings.source.weight)
            for source in range(matrix.shape[1]):
                expected = table[ids[source]].norm().item() / model.embeddings.source.scale
                assert matrix[position, source] == pytest.approx(expected, rel=1e-9)


def test_encoding_the_vectors_is_encoding_the_tokens(model: Seq2Seq) -> None:
    batch = make_batch([5, 3], [4, 2])
    by_tokens = model.encode(batch.source_ids, batch.source_valid)
    by_vectors = model.encode_embedded(model.embeddings.source(batch.source_ids), batch.source_valid)
    torch.testing.assert_close(by_tokens.states, by_vectors.states)
    hidden = [F.softmax(model.start(memory).memory.states, dim=-1) for memory in (by_tokens, by_vectors)]
    torch.testing.assert_close(*hidden)


MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 40)).flatmap(
    lambda shape: st.tuples(st.just(shape), st.integers(0, 1000), st.sets(st.integers(0, shape[1] - 1)))
)


@given(MATRICES)
def test_profiles_are_loops_over_their_equations(drawn: tuple[tuple[int, int], int, set[int]]) -> None:
    shape, seed, linked = drawn
    norms = np.random.default_rng(seed).uniform(0.1, 1.0, shape)
    aligned = np.zeros(shape)
    aligned[:, list(linked)] = 1.0
    found = profile([norms], [aligned])
    nearby, depth, total = np.zeros((FARTHEST + 1, 2)), np.zeros((FARTHEST + 1, 2)), 0.0
    for row in norms.tolist():
        mean = sum(row) / len(row)
        total += sum(value * value for value in row) ** 0.5
        for place, value in enumerate(row):
            depth[min(place, len(row) - 1 - place, FARTHEST)] += value / mean, 1
            if linked:
                nearby[min(FARTHEST, *(abs(place - link) for link in linked), FARTHEST)] += value / mean, 1
    np.testing.assert_allclose(found.nearby[0], nearby)
    np.testing.assert_allclose(found.depth[0], depth)
    np.testing.assert_allclose(found.norms, [[total, shape[0]]])
    assert found.source_lengths.tolist() == [shape[1]]
    assert found.long(shape[1] + 1).norms.shape == (0, 2)


def test_distances_by_hand() -> None:
    aligned = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=np.float64)
    assert distances(aligned).tolist() == [[1, 0, 1, 1, 0], [-1] * 5, [0, 1, 2, 3, 4]]
    assert depths(2, 5).tolist() == [[0, 1, 2, 1, 0]] * 2
    assert diagonal(3, 5).argmax(axis=1).tolist() == [0, 2, 4]
    assert diagonal(1, 4).argmax(axis=1).tolist() == [0]
    assert relative(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.5, 1.5], [0.0, 0.0]]
    assert sums_by(np.array([[0, -1, 40]]), np.array([[2.0, 5.0, 7.0]]))[[0, FARTHEST]].tolist() == [[2, 1], [7, 1]]


def a_profile(middle: float, aligned: float) -> Profile:
    """Twelve long sentences with this gradient in the middle (1 at the ends) and at the aligned word."""
    nearby, depth = np.ones((12, FARTHEST + 1, 2)), np.ones((12, FARTHEST + 1, 2))
    depth[:, 10:, 0], nearby[:, 0, 0] = middle, aligned
    return Profile(nearby, depth, np.ones((12, 2)), np.full(12, 40))


def a_run(name: str, before: Profile, after: Profile, is_aligned: bool = True) -> MeasuredRun:
    return MeasuredRun(name, name != "fixed", is_aligned, before, after, np.ones(12), np.ones(12))


def test_claims_follow_from_the_profiles() -> None:
    fixed = a_run("fixed", a_profile(0.1, 1.0), a_profile(0.6, 1.5))
    attention = a_run("attention", a_profile(0.9, 1.0), a_profile(0.9, 6.0))
    found = {claim.claim.name: claim for claim in judge([fixed, attention])}
    assert {name: claim.verdict for name, claim in found.items()} == {
        "fades": "supported",
        "still-fades": "not_supported",
        "reaches": "supported",
        "finds": "supported",
        "spreads": "supported",
    }
    assert found["fades"].worst.value == pytest.approx(0.1)
    assert found["finds"].worst.value == pytest.approx(6.0)
    unknown = replace(attention, is_aligned=False)
    assert [claim.claim.name for claim in judge([unknown])] == ["reaches"]


def test_few_or_no_long_sentences_leave_a_claim_inconclusive() -> None:
    short = replace(a_profile(0.1, 1.0), source_lengths=np.array([40] * 5 + [10] * 7))
    few, none = (
        next(judge([a_run("fixed", found, found)])) for found in (short, replace(short, source_lengths=np.full(12, 10)))
    )
    assert (few.verdict, none.verdict) == ("inconclusive", "inconclusive")
    assert few.worst.value == pytest.approx(0.1)


def a_translator(source: str, target: str, model: dict[str, Any], folder: Path) -> TrainedRun:
    """An untrained run between two languages, whose subwords come from the sentences of the pronoun."""
    lines = [sentence for pair in SENTENCES.values() for sentence in (pair.tired, pair.wide)] * 20
    pairs = Dataset.from_dict({"source": lines, "target": lines})
    subwords = Subwords.train(pairs, SubwordsConfig(vocab_size=120, byte_fallback=False))
    config = make_config(folder, model, max_steps=1)
    languages = {"source_language": source, "target_language": target}
    config = config.model_copy(update={"data": config.data.model_copy(update=languages)})
    built = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint).eval()
    return TrainedRun(RunFolder(folder), config, subwords, built, {})


SMALL_TRANSFORMER = {"kind": "transformer", "n_heads": 2, "n_layers": 2}


@pytest.mark.parametrize(
    ("source", "target", "kind"), [("en", "fr", "encoder"), ("fr", "en", "cross"), ("de", "en", "cross")]
)
def test_the_pronoun_is_read_from_every_head(source: str, target: str, kind: str, tmp_path: Path) -> None:
    run = a_translator(source, target, SMALL_TRANSFORMER, tmp_path)
    assert why_no_pronoun(run) is None
    looks = coreference("a run", run)
    assert [(look.kind, look.layer, look.head) for look in looks] == [
        (kind, layer, head) for layer in (1, 2) for head in (1, 2)
    ]
    for look in looks:
        for weights in (look.tired, look.wide):
            assert min(weights) > 0
            assert sum(weights) < 1
    assert looks[0].tired != looks[0].wide


@pytest.mark.parametrize(
    ("source", "target", "model", "reason"),
    [
        ("fr", "en", {"kind": "rnn", "attention": "none"}, "no attention"),
        ("en", "fr", {"kind": "rnn"}, "encoder has no attention"),
        ("xa", "xb", SMALL_TRANSFORMER, "from xa to xb"),
        ("fr", "de", SMALL_TRANSFORMER, "from fr to de"),
    ],
)
def test_runs_without_the_pronoun_say_why(
    source: str, target: str, model: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    assert reason in (why_no_pronoun(a_translator(source, target, model, tmp_path)) or "")


def test_a_head_follows_if_both_looks_do() -> None:
    assert Look("r", "cross", 1, 1, (0.4, 0.2), (0.1, 0.3)).follows
    assert not Look("r", "cross", 1, 1, (0.4, 0.2), (0.3, 0.1)).follows


def test_the_command_measures_a_run_of_any_model(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2attn.studies.distance.study._SENTENCES", {"smoke": 2, "quick": 2})
    done = call("study", "distance", tiny_run, "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert [claim["claim"]["name"] for claim in result["claims"]] == ["reaches", "finds"]
    assert [table["name"] for table in result["tables"]] == ["summary", "nearby", "depth"]
    assert any("from xa to xb" in note for note in result["notes"])
    assert (tmp_path / "figure.png").is_file()
    monkeypatch.setattr("seq2attn.studies.distance.study._MOST_WORDS", 0)
    run = load_run(tiny_run, choose_device("cpu"))
    assert DistanceStudy().why_not(run) == "its test text has no source of at most 0 words"

"""The study of weights and effects: drops against loops over their definition, agreement of ranks, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seq2attn.attention.drops import measure_drops
from seq2attn.data.batch import collate
from seq2attn.data.subwords import BOS_ID, EOS_ID
from seq2attn.device import choose_device
from seq2attn.models.attention import MultiHeadAttention, Scope
from seq2attn.models.rnn import RnnSeq2Seq
from seq2attn.models.seq2seq import AttentionMaps, Memory, Seq2Seq
from seq2attn.models.transformer import DecoderLayer, TransformerSeq2Seq
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.studies.effects import study as effects_study
from seq2attn.studies.effects.agreement import kendall, ratio
from seq2attn.studies.effects.measure import measure_run, measure_sentence
from seq2attn.studies.effects.study import EffectsStudy
from tests.command_line import call, train_tiny
from tests.conftest import MODELS, make_model

SOURCE, WORD_OF, WRITTEN = [5, 9, 14, 7, 11, EOS_ID], (0, 0, 1, 2, 2), [6, 12, 8, EOS_ID]
N_WORDS = 3
WORDS = [tuple(place for place, word in enumerate(WORD_OF) if word == chosen) for chosen in range(N_WORDS)]


def quiet(name: str, finished: int, total: int) -> None:
    """Show nothing."""


@torch.no_grad()
def test_forbidden_looks_are_a_loop_over_the_equation() -> None:
    """A softmax over the allowed keys alone, for each head by itself."""
    torch.manual_seed(3)
    attention = MultiHeadAttention(12, 3).double().eval()
    inputs, states = torch.randn(1, 2, 12).double(), torch.randn(1, 5, 12).double()
    keys, values = attention.keys_and_values(states)
    visible = torch.ones(1, 3, 1, 5, dtype=torch.bool)
    visible[0, 1, 0, [0, 3]] = visible[0, 2, 0, 4] = False
    query = attention.query_projection(inputs).unflatten(-1, (3, 4))[0]
    contexts = torch.zeros(2, 12, dtype=torch.float64)
    for row in range(2):
        for head in range(3):
            allowed = [place for place in range(5) if visible[0, head, 0, place]]
            scores = [float(query[row, head] @ keys[0, head, place]) / math.sqrt(4) for place in allowed]
            total = sum(map(math.exp, scores))
            for place, score in zip(allowed, scores, strict=True):
                contexts[row, 4 * head : 4 * head + 4] += math.exp(score) / total * values[0, head, place]
    found = attention(inputs, keys, values, Scope(visible=visible))
    torch.testing.assert_close(found[0], attention.output_projection(contexts))


@pytest.mark.parametrize("name", ["transformer_pre", "transformer_alibi", "transformer_pruned"])
def test_drops_of_a_transformer_are_those_of_masked_rows(name: str) -> None:
    """Every drop: the whole sentence again, with one look masked in one row of one head, layer or the model."""
    model = make_model(MODELS[name])
    assert isinstance(model, TransformerSeq2Seq)
    cross = [layer.cross_attention for layer in model.decoder if isinstance(layer, DecoderLayer)]
    n_heads = [attention.n_heads for attention in cross]
    drops = measure_drops(model, SOURCE, WRITTEN, WORD_OF, n_heads)
    every = {(layer, head) for layer, n in enumerate(n_heads) for head in range(n)}
    for row in range(len(WRITTEN)):
        for word, places in enumerate(WORDS):

            def without(heads: set[tuple[int, int]], row: int = row, places: tuple[int, ...] = places) -> float:
                with masked(cross, heads, row, places):
                    return log_probability(model, row)

            clean = log_probability(model, row)
            assert drops.every_look[row, word] == pytest.approx(clean - without(every), abs=1e-10)
            for layer, n in enumerate(n_heads):
                alone = {(layer, head) for head in range(n)}
                assert drops.layers[layer][row, word] == pytest.approx(clean - without(alone), abs=1e-10)
                for head in range(n):
                    expected = clean - without({(layer, head)})
                    assert drops.heads[layer][head, row, word] == pytest.approx(expected, abs=1e-10)


@contextmanager
def masked(
    attentions: list[MultiHeadAttention], heads: set[tuple[int, int]], row: int, places: tuple[int, ...]
) -> Iterator[None]:
    """Within it, `heads` of (layer, head) do not see `places` in one row."""
    before = [attention.forward for attention in attentions]
    for layer, attention in enumerate(attentions):
        visible = torch.ones(1, attention.n_heads, len(WRITTEN), len(SOURCE), dtype=torch.bool)
        for head in (head for other, head in heads if other == layer):
            visible[0, head, row, list(places)] = False
        attention.forward = forward_within(before[layer], visible)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for attention, forward in zip(attentions, before, strict=True):
            attention.forward = forward  # type: ignore[method-assign]


def forward_within(forward: Callable[..., Tensor], visible: Tensor) -> Callable[..., Tensor]:
    def limited(inputs: Tensor, keys: Tensor, values: Tensor, scope: Scope, maps: list[Tensor] | None = None) -> Tensor:
        return forward(inputs, keys, values, Scope(visible=visible), maps=maps)

    return limited


@torch.no_grad()
def log_probability(model: Seq2Seq, row: int, source: list[int] = SOURCE) -> float:
    """Of one token of `WRITTEN`, given those before it; maps keep the RNN in its stepwise loop."""
    hidden = model(collate([source], [WRITTEN[:-1]]), AttentionMaps())
    return float(model.project(hidden)[0, row].log_softmax(-1)[WRITTEN[row]])


@pytest.mark.parametrize("name", ["additive_gru", "general_lstm_feeding"])
def test_drops_of_an_rnn_are_those_of_one_masked_step(name: str) -> None:
    model = make_model(MODELS[name])
    assert isinstance(model, RnnSeq2Seq)
    drops = measure_drops(model, SOURCE, WRITTEN, WORD_OF, [1])
    forward = model.context.forward
    for row in range(len(WRITTEN)):
        for word, places in enumerate(WORDS):
            steps = iter(range(len(WRITTEN)))

            def at_step(
                query: Tensor,
                memory: Memory,
                row: int = row,
                places: tuple[int, ...] = places,
                steps: Iterator[int] = steps,
            ) -> tuple[Tensor, Tensor | None]:
                valid = memory.source_valid.clone()
                valid[:, list(places)] &= next(steps) != row
                return forward(query, replace(memory, source_valid=valid))

            clean = log_probability(model, row)
            model.context.forward = at_step  # type: ignore[method-assign]
            expected = clean - log_probability(model, row)
            model.context.forward = forward  # type: ignore[method-assign]
            assert drops.every_look[row, word] == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(drops.layers[0], drops.every_look)
    np.testing.assert_allclose(drops.heads[0][0], drops.every_look)


@pytest.mark.parametrize("name", ["additive_gru", "transformer_pre"])
def test_a_word_left_out_is_a_shorter_source(name: str) -> None:
    model = make_model(MODELS[name])
    n_heads = [1] if name == "additive_gru" else [3, 3]
    drops = measure_drops(model, SOURCE, WRITTEN, WORD_OF, n_heads)
    for row in range(len(WRITTEN)):
        for word, places in enumerate(WORDS):
            shorter = [token for place, token in enumerate(SOURCE) if place not in places]
            expected = log_probability(model, row) - log_probability(model, row, shorter)
            assert drops.left_out[row, word] == pytest.approx(expected, abs=1e-10)


def test_a_translation_that_was_cut_off_has_no_end() -> None:
    model = make_model(MODELS["additive_gru"])
    whole = measure_drops(model, SOURCE, WRITTEN, WORD_OF, [1])
    cut = measure_drops(model, SOURCE, WRITTEN[:-1], WORD_OF, [1])
    np.testing.assert_allclose(cut.every_look, whole.every_look[:-1])
    np.testing.assert_allclose(cut.left_out, whole.left_out[:-1])


def test_a_selected_memory_keeps_its_forbidden_looks() -> None:
    model = make_model(MODELS["transformer_pre"])
    memory = model.encode(torch.tensor([SOURCE] * 2), torch.ones(2, len(SOURCE), dtype=torch.bool))
    looks = torch.rand(2, 3, len(SOURCE)) > 0.5
    chosen = replace(memory, visible=(looks, ~looks)).select(torch.tensor([1, 0, 1]))
    for layer, expected in enumerate((looks, ~looks)):
        assert torch.equal(chosen.visible_to(layer)[:, :, 0], expected[[1, 0, 1]])
    state = model.start(replace(memory, visible=(looks, ~looks)))
    after = model.advance(torch.tensor([BOS_ID] * 2), state)[1]
    assert after.memory.visible == state.memory.visible


def test_agreement_of_ranks_is_a_loop_over_pairs() -> None:
    generator = np.random.default_rng(7)
    weights, drops = generator.integers(0, 4, (6, 5)).astype(float), generator.normal(size=(6, 5))
    found = kendall(weights, drops)
    for row in range(6):
        signs = [
            np.sign(weights[row, one] - weights[row, other]) * np.sign(drops[row, one] - drops[row, other])
            for one, other in combinations(range(5), 2)
        ]
        assert found.tau[row] == pytest.approx(sum(signs) / 10)
    assert kendall(drops, 2 * drops).tau == pytest.approx(np.ones(6))
    assert kendall(drops, -drops).tau == pytest.approx(-np.ones(6))
    assert kendall(drops, np.exp(drops)).same_largest.tolist() == [1.0] * 6


def test_means_are_over_written_words_not_over_sentences() -> None:
    found = ratio("a run", np.array([1.0, 6.0] * 10), np.array([2.0, 8.0] * 10))
    assert found.value == pytest.approx(0.7)
    assert found.low is not None
    assert found.high is not None
    assert 0.5 <= found.low < 0.7 < found.high <= 0.75


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> TrainedRun:
    return load_run(tiny_run, choose_device("cpu"))


def test_words_have_the_sums_of_their_subwords(run: TrainedRun) -> None:
    model = run.model.double()
    (source,) = run.subwords.encode_source(["noruto lipa memuta."])
    (written,) = run.subwords.encode_target(["zody jaga dibygu."])
    found = measure_sentence(model, run, source, [*written, EOS_ID])
    assert found.source == ("noruto", "lipa", "memuta", ".")
    assert found.written == ("zody", "jaga", "dibygu", ".")
    assert [reading.name for reading in found.readings] == ["the only one"]
    assert found.readings[0].weights.shape == found.every_look.shape == found.left_out.shape == (4, 4)
    assert (found.readings[0].weights.sum(axis=1) < 1.0).all(), "the end of the sentence has weight, too"
    np.testing.assert_array_equal(found.readings[0].own_look, found.every_look)
    # The drop of all words is that of all subwords but the end.
    word_of = [word for word, count in enumerate(_subwords_of(run, found.source)) for _ in range(count)]
    drops = measure_drops(model, source, [*written, EOS_ID], word_of, [1])
    np.testing.assert_allclose(found.every_look.sum(axis=0), drops.every_look[:-1].sum(axis=0), atol=1e-9)
    nothing = measure_sentence(model, run, source, [EOS_ID])
    assert (nothing.written, nothing.every_look.shape) == ((), (0, 4))


def _subwords_of(run: TrainedRun, words: tuple[str, ...]) -> list[int]:
    (whole,) = run.subwords.encode_source(["noruto lipa memuta."])
    pieces = run.subwords.pieces(whole[:-1], "source")
    counts, spelled = [0] * len(words), ""
    for piece in pieces:
        spelled += piece.replace("\N{LOWER ONE EIGHTH BLOCK}", "")
        ends = np.cumsum([len(word) for word in words])
        counts[int(np.searchsorted(ends, len(spelled)))] += 1
    return counts


def test_a_run_is_measured_on_its_own_translations(run: TrainedRun) -> None:
    found = measure_run("a run", run, 3, True, quiet)
    assert found.tau.shape == found.same_largest.shape == (3, 1, 3)
    assert (np.abs(found.tau.sum(axis=1)) <= found.n_words[:, None]).all()
    # An RNN has one attention: to forbid its look is to forbid every look.
    np.testing.assert_array_equal(found.tau[..., 0], found.tau[..., 1])


def test_the_command_measures_a_run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(effects_study._SENTENCES, "quick", 4)
    done = call("study", "weights-and-effects", tiny_run, "--json", "--out", tmp_path)
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    names = [claim["claim"]["name"] for claim in result["claims"]]
    assert names == ["tells-look", "tells-word", "largest", "look-is-not-word"]
    assert {table["name"] for table in result["tables"]} == {"summary", "agreement", "example"}
    assert (tmp_path / "figure.png").is_file()


def test_a_fixed_context_has_no_weights(data_folder: Path, tmp_path: Path) -> None:
    fixed = train_tiny(tmp_path / "fixed", data_folder, "--set", "model.attention=none")
    done = call("study", "weights-and-effects", fixed, "--out", tmp_path / "out")
    assert (done.code, "a fixed context has no attention weights" in done.complaint) == (2, True)


def test_both_presets_are_valid_configurations() -> None:
    for preset in ("smoke", "quick"):
        configs = EffectsStudy().configs(preset)
        assert [config.model.kind for config in configs.values()] == ["rnn", "transformer"]

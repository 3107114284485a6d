"""Models in a browser compute, search and translate as they do in Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.config.schema import DecodeConfig, SubwordsConfig
from seq2attn.data.batch import collate
from seq2attn.data.subwords import BOS_ID, EOS_ID, Subwords
from seq2attn.decoding.translate import Translator
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import Memory, Seq2Seq
from seq2attn.play.model import browser_model
from seq2attn.play.weights import Precision, as_stored, pack, quantise
from seq2attn.runs.folder import RunFolder, TrainedRun
from tests.conftest import MODELS
from tests.engine import INSTALLED, PLACES, needs_some_engine, run_engine
from tests.training_samples import WORDS, make_config

pytestmark = needs_some_engine

# Widths of 10 and 6 cannot be multiplied four numbers at a time.
KINDS: dict[str, ModelConfig] = {
    **{name: model for name, model in MODELS.items() if name not in ("transformer_window", "transformer_linear")},
    "additive_gru_mean": RnnConfig(attention="additive", cell="gru", d_model=10, summary="mean"),
    "dot_gru_deep_feeding": RnnConfig(attention="dot", cell="gru", d_model=16, n_layers=3, input_feeding=True),
    "general_gru": RnnConfig(attention="general", cell="gru", d_model=12, tie_embeddings=False),
    "scaled_dot_lstm_feeding": RnnConfig(attention="scaled_dot", cell="lstm", d_model=12, input_feeding=True),
    "transformer_post_rotary": TransformerConfig(d_model=12, n_heads=2, n_layers=3, norm="post", positions="rotary"),
    "transformer_post_alibi": TransformerConfig(d_model=10, n_heads=5, d_ff=6, norm="post", positions="alibi"),
    "transformer_post_bag": TransformerConfig(d_model=12, n_heads=1, norm="post", positions="none"),
    "transformer_pre_learned": TransformerConfig(d_model=12, n_heads=2, positions="learned", max_positions=14),
}
SEARCHES = [
    {"beamSize": 1, "lengthPenalty": 1.0, "nBest": 1},
    {"beamSize": 4, "lengthPenalty": 0.6, "nBest": 4},
    {"beamSize": 2, "lengthPenalty": 1.0, "nBest": 3},
]
FORBIDDEN = [0, 2]
TEXTS = ["ba be bi", "", "ga  go? é\n", "ba be bi bo " * 5]


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    draw = random.Random(3)
    lines = [" ".join(draw.choices(WORDS, k=5)) for _ in range(200)]
    return Subwords.train(Dataset.from_dict({"source": lines, "target": lines}), SubwordsConfig(vocab_size=285))


def a_run(config: ModelConfig, subwords: Subwords, folder: Path) -> TrainedRun:
    """A run with random weights, sharper than those of training's beginning, so that lengths vary."""
    torch.manual_seed(5)
    model = build_model(config, subwords.source_size, subwords.target_size, subwords.joint).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.output_bias[EOS_ID] = 2.0
        model.output_weight.mul_(3.0)
    settings = make_config(folder, {"kind": config.kind}, max_steps=1)
    settings = settings.model_copy(
        update={"model": config, "decode": DecodeConfig(max_length_ratio=0.5, max_source_tokens=20)}
    )
    return TrainedRun(RunFolder(folder), settings, subwords, model, {})


def sources(count: int = 4) -> list[list[int]]:
    draw = random.Random(4)
    return [[*(draw.randrange(4, 285) for _ in range(draw.randint(1, 7))), EOS_ID] for _ in range(count)]


def targets(count: int = 4) -> list[list[int]]:
    draw = random.Random(6)
    return [[draw.randrange(4, 285) for _ in range(draw.randint(3, 6))] for _ in range(count)]


PROGRAM = """
return data.cases.map(({ model, sources, targets, searches, options, texts }) => {
  const { weights, ...description } = model;
  return [false, true].map((plain) => {
    const translator = new seq2attn.Translator(description, seq2attn.bytesOf(weights), plain);
    const control = new seq2attn.Control(options);
    const list = (value) => {
      if (value instanceof Float32Array) return Array.from(value);
      if (Array.isArray(value)) return value.map(list);
      return Array.from({ length: value.rows }, (_, row) => Array.from(value.row(row)));
    };
    return {
      simd: Boolean(translator.model.embeddings.output.kernel),
      forced: sources.map((source, index) => {
        const memory = translator.model.encode(source, control);
        let state = translator.model.start(memory);
        const logits = [], maps = [];
        for (const token of targets[index]) {
          const next = translator.model.advance([token], state, memory, control);
          state = next.state;
          logits.push(Array.from(next.logits.row(0)));
          maps.push({ cross: list(next.maps[0].cross), decoder: list(next.maps[0].decoder) });
        }
        return { logits, maps, encoder: list(memory.maps) };
      }),
      found: searches.map((search) => sources.map((source) => {
        const memory = translator.model.encode(source, control);
        return seq2attn.finish(translator.search(memory, search, control))
          .map(({ tokens, logProbability, score, finished, nodes }) => (
            { tokens, logProbability, score, finished, written: nodes.map(({ token }) => token) }));
      })),
      translations: texts.map((text) => translator.translate(text, { ...options, nBest: 2 })
        .map(({ text, score, finished, parts }) => ({ text, score, finished, parts: parts.length }))),
    };
  });
});
"""


def case(run: TrainedRun, **more: Any) -> dict[str, Any]:
    return {
        "model": browser_model(run, "float32").as_json(),
        "sources": sources(),
        "targets": [[BOS_ID, *target] for target in targets()],
        "searches": SEARCHES,
        "options": {},
        "texts": [],
    } | more


def expected_search(run: TrainedRun, search: dict[str, Any]) -> list[list[dict[str, Any]]]:
    settings = run.config.decode.model_copy(
        update={"beam_size": search["beamSize"], "length_penalty": search["lengthPenalty"]}
    )
    # One by one, as in the browser.
    return [
        [
            {
                "tokens": found.token_ids,
                "logProbability": pytest.approx(found.log_probability, abs=1e-3),
                "score": pytest.approx(found.score, abs=1e-4),
                "finished": found.finished,
                "written": [*found.token_ids, *[EOS_ID] * found.finished],
            }
            for found in Translator(run.model, run.subwords, settings).search([source], search["nBest"])[0]
        ]
        for source in sources()
    ]


def assert_close(found: Any, expected: Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float32), expected, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def kinds(subwords: Subwords, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[TrainedRun, dict[str, Any]]]:
    """A run of each kind, and what it finds in Python."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [a_run(config, subwords, folder) for config in KINDS.values()]
    return [
        (run, {"found": [expected_search(run, search) for search in SEARCHES], "translations": translations(run)})
        for run in runs
    ]


def translations(run: TrainedRun) -> list[list[dict[str, Any]]]:
    translated = Translator(run.model, run.subwords, run.config.decode).stream(TEXTS, n_best=2)
    return [
        [
            {
                "text": best.text,
                "score": pytest.approx(best.score, abs=1e-4),
                "finished": best.finished,
                "parts": best.parts if text else 0,
            }
            for best in of_text
        ]
        for text, of_text in zip(TEXTS, translated, strict=True)
    ]


@pytest.mark.parametrize("place", PLACES)
def test_every_kind_computes_and_searches_as_in_python(
    place: str, kinds: list[tuple[TrainedRun, dict[str, Any]]], tmp_path: Path
) -> None:
    found = run_engine(place, PROGRAM, {"cases": [case(run, texts=TEXTS) for run, _ in kinds]}, tmp_path)
    lengths = set()
    for (run, expected), with_and_without_simd in zip(kinds, found, strict=True):
        assert [results.pop("simd") for results in with_and_without_simd] == [run.config.model.d_model % 4 == 0, False]
        for results in with_and_without_simd:
            assert_forced_like_python(run.model, results.pop("forced"))
            assert results == expected
            lengths |= {(len(best["tokens"]), best["finished"]) for (best, *_) in results["found"][0]}
    assert len(lengths) > 8


@torch.no_grad()
def assert_forced_like_python(model: Seq2Seq, results: list[dict[str, Any]]) -> None:
    for source, target, result in zip(sources(), targets(), results, strict=True):
        batch = collate([source], [target])
        assert_close(result["logits"], model.project(model(batch))[0])
        maps = model.attention_maps(batch)
        assert len(result["encoder"]) == len(maps.encoder)
        for heads, layer in zip(result["encoder"], maps.encoder, strict=True):
            assert_close(heads, layer[0])
        for position, of_position in enumerate(result["maps"]):
            assert len(of_position["cross"]) == len(maps.cross)
            for heads, layer in zip(of_position["cross"], maps.cross, strict=True):
                assert_close(heads, layer[0, :, position])
            for heads, layer in zip(of_position["decoder"], maps.decoder, strict=True):
                assert_close(heads, layer[0, :, position, : position + 1])


GATED = ["transformer_pre", "transformer_post", "transformer_rotary"]


@contextmanager
def gates(model: Seq2Seq) -> Iterator[dict[str, list[list[float]]]]:
    """Random gates on every attention of `model`, of which some are 0; by kind, layer and head."""
    draw = random.Random(7)
    found: dict[str, list[list[float]]] = {"encoder": [], "cross": [], "decoder": []}
    gated = [module for module in model.named_modules() if isinstance(module[1], MultiHeadAttention)]
    for name, module in gated:
        assert isinstance(module, MultiHeadAttention)
        factors = [draw.choice([0.0, 0.5, 1.0, 1.5]) for _ in range(module.n_heads)]
        module.gate = torch.tensor(factors)
        kind = "cross" if name.endswith("cross_attention") else name.partition(".")[0]
        found[kind].append(factors)
    yield found
    for _, module in gated:
        module.gate = None


def test_gates_are_those_of_python(subwords: Subwords, tmp_path: Path) -> None:
    for run in (a_run(KINDS[name], subwords, tmp_path) for name in GATED):
        ungated = case(run)
        before = forced_logits(run.model)
        with gates(run.model) as factors:
            from_page, stored = ungated | {"options": {"gates": factors}}, case(run)
            assert not torch.allclose(forced_logits(run.model), before, atol=1e-2)
            for both in run_engine(INSTALLED[0], PROGRAM, {"cases": [from_page, stored]}, tmp_path):
                for results in both:
                    assert_forced_like_python(run.model, results["forced"])
                    assert results["found"] == [expected_search(run, search) for search in SEARCHES]


@torch.no_grad()
def forced_logits(model: Seq2Seq) -> Tensor:
    """(tokens, vocab_size) of all pairs."""
    found = [model.project(model(collate([s], [t])))[0] for s, t in zip(sources(), targets(), strict=True)]
    return torch.cat(found)


@pytest.mark.parametrize("name", ["additive_gru", "general_lstm_feeding", "transformer_pre", "transformer_alibi"])
def test_forbidden_looks_are_those_of_a_position_that_is_not_valid(
    name: str, subwords: Subwords, tmp_path: Path
) -> None:
    run = a_run(KINDS[name], subwords, tmp_path)
    long = [index for index, source in enumerate(sources()) if len(source) > max(FORBIDDEN) + 1]
    asked = {"sources": [sources()[index] for index in long], "options": {"forbidden": FORBIDDEN}, "searches": []}
    forced = [[BOS_ID, *targets()[index]] for index in long]
    ((results, _),) = run_engine(INSTALLED[0], PROGRAM, {"cases": [case(run, **asked, targets=forced)]}, tmp_path)
    assert len(long) > 1
    for source, target, result in zip(asked["sources"], forced, results["forced"], strict=True):
        assert_close(result["logits"], logits_without(run.model, source, target))
        for of_position in result["maps"]:
            for weights in (weights for layer in of_position["cross"] for weights in layer):
                assert [weights[position] for position in FORBIDDEN] == [0, 0]
                assert sum(weights) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def logits_without(model: Seq2Seq, source: Any, target: list[int]) -> Tensor:
    """Logits (target_len, vocab_size) where the decoder may not attend to the positions `FORBIDDEN`."""
    ids, valid = torch.tensor([source]), torch.ones(1, len(source), dtype=torch.bool)
    memory: Memory = model.encode(ids, valid)
    visible = valid.clone()
    visible[:, FORBIDDEN] = False
    state, rows = model.start(replace(memory, source_valid=visible)), []
    for token in target:
        logits, state = model.advance(torch.tensor([token]), state)
        rows.append(logits[0])
    return torch.stack(rows)


def test_a_sentence_with_every_look_forbidden_is_an_error(subwords: Subwords, tmp_path: Path) -> None:
    model = browser_model(a_run(KINDS["additive_gru"], subwords, tmp_path), "float32").as_json()
    program = """
      const translator = new seq2attn.Translator(data, seq2attn.bytesOf(data.weights));
      try { translator.translate("ba", { forbidden: Array.from({ length: 9 }, (_, index) => index) }); }
      catch (error) { return [error.name, error.message]; }
    """
    assert run_engine(INSTALLED[0], program, model, tmp_path) == [
        "RangeError",
        "every position of the source is forbidden; allow at least one",
    ]


@pytest.mark.parametrize("name", ["additive_lstm_deep", "transformer_bag"])
def test_low_precision_reads_back_within_its_bound(name: str, subwords: Subwords, tmp_path: Path) -> None:
    run = a_run(KINDS[name], subwords, tmp_path)
    program = """
      return data.map(({ weights, ...description }) => {
        const { model } = new seq2attn.Translator(description, seq2attn.bytesOf(weights));
        const { source, output } = model.embeddings;
        return [source, output].map((matrix) => Array.from(matrix.data));
      });
    """
    halves, levels = run_engine(
        INSTALLED[0], program, [browser_model(run, precision).as_json() for precision in ("float16", "int8")], tmp_path
    )
    for weight, half, level in zip(
        (run.model.embeddings.source.weight, run.model.output_weight), halves, levels, strict=True
    ):
        matrix = weight.detach()
        stored: list[tuple[Any, Precision]] = [(half, "float16"), (level, "int8")]
        for found, precision in stored:
            assert torch.equal(torch.tensor(found).view_as(matrix), torch.tensor(as_stored(matrix.numpy(), precision)))
        assert torch.equal(torch.tensor(half).view_as(matrix), matrix.half().float())
        bound = matrix.abs().amax(dim=1, keepdim=True) / 127 / 2 * 1.0001
        assert ((torch.tensor(level).view_as(matrix) - matrix).abs() <= bound).all()


def test_rows_of_zeros_and_one_large_value_are_quantised() -> None:
    levels, scales = quantise(torch.tensor([[0.0, 0.0], [-254.0, 1.0], [1e-30, 0.0]]).numpy())
    assert levels.tolist() == [[0, 0], [-127, 0], [127, 0]]
    assert scales.tolist() == pytest.approx([0.0, 2.0, 1e-30 / 127])


def test_tied_weights_are_stored_once_and_blobs_are_small() -> None:
    weight, other = torch.randn(10, 7), torch.randn(10, 7)
    apart = pack({"a": weight, "b": other}, "float32")
    tied = pack({"a": weight, "b": weight}, "float32")
    assert tied.tensors["a"] == tied.tensors["b"]
    assert (len(apart.bytes), len(tied.bytes)) == (560, 280)
    assert len(pack({"a": weight}, "float16").bytes) == 140
    assert len(pack({"a": weight}, "int8").bytes) == 72 + 40

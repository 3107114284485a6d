"""Gates of heads, importance of heads, and runs without some of their heads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from seq2attn.config.models import KeptHeads, TransformerConfig
from seq2attn.data.batch import Batch, pad_sources
from seq2attn.data.subwords import Subwords
from seq2attn.decoding.search import beam_search
from seq2attn.decoding.translate import Translator
from seq2attn.errors import ConfigError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import KINDS, Head, gated, heads_of, keep_heads, open_gates, weights_without_heads
from seq2attn.pruning.importance import (
    Importance,
    ablation_importance,
    gradient_importance,
    normalised,
    removals,
)
from seq2attn.runs.checkpoint import set_weights, weights_of
from seq2attn.runs.folder import load_run
from seq2attn.training.loss import sentence_losses
from seq2attn.training.train import train
from tests.command_line import call, write
from tests.conftest import make_batch, make_model
from tests.training_samples import make_config, write_copy_task

CPU = torch.device("cpu")

POSITIONS = ("sinusoidal", "rotary", "alibi")
SMALL = {"d_model": 12, "n_heads": 3, "n_layers": 2}


def a_transformer(config: TransformerConfig) -> TransformerSeq2Seq:
    model = make_model(config)
    assert isinstance(model, TransformerSeq2Seq)
    return model


def pruned(model: Seq2Seq, before: TransformerConfig, after: TransformerConfig) -> TransformerSeq2Seq:
    smaller = a_transformer(after)
    set_weights(smaller, weights_without_heads(weights_of(model), before, after), "pruned")
    return smaller


def subsets(heads: list[Head]) -> st.SearchStrategy[set[Head]]:
    """Some heads, at least one in each attention."""
    places = {(head.kind, head.layer) for head in heads}
    one_each = [
        st.sets(st.sampled_from([head for head in heads if (head.kind, head.layer) == place]), min_size=1)
        for place in sorted(places)
    ]
    return st.tuples(*one_each).map(lambda parts: set().union(*parts))


@given(data=st.data(), positions=st.sampled_from(POSITIONS))
def test_a_pruned_model_computes_what_the_gated_one_does(data: st.DataObject, positions: Any) -> None:
    config = TransformerConfig(**SMALL, positions=positions)
    model, heads, batch = a_transformer(config), heads_of(config), make_batch([5, 3], [4, 6])
    kept = data.draw(subsets(list(heads)))
    smaller = pruned(model, config, keep_heads(config, kept))
    gates = open_gates(heads, set(heads) - kept).double()
    with gated(model, gates):
        expected = model(batch)
    torch.testing.assert_close(smaller(batch), expected, rtol=0, atol=1e-12)
    assert heads_of(keep_heads(config, kept)) == tuple(head for head in heads if head in kept)
    n_removed = len(heads) - len(kept)
    # Query, key and value of a head have d_head rows of d_model weights and a bias; the output d_head columns.
    assert model.count_parameters() - smaller.count_parameters() == n_removed * 4 * (3 * 13 + 12)


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_pruned_model_can_be_pruned_again(positions: Any) -> None:
    config = TransformerConfig(**SMALL, positions=positions)
    model, batch = a_transformer(config), make_batch([5, 3], [4, 6])
    once = keep_heads(config, [head for head in heads_of(config) if head.number != 2])
    twice = keep_heads(once, [head for head in heads_of(once) if head != Head("cross", 2, 1)])
    in_two_steps = pruned(pruned(model, config, once), once, twice)
    torch.testing.assert_close(in_two_steps(batch), pruned(model, config, twice)(batch), rtol=0, atol=1e-12)


def without_head(attention: MultiHeadAttention, head: int) -> Tensor:
    """The output projection of `attention` that ignores the context of `head`, from 0."""
    weight = attention.output_projection.weight.detach().clone()
    weight.unflatten(1, (attention.n_heads, -1))[:, head] = 0.0
    return weight


def test_a_closed_gate_is_an_explicitly_masked_head() -> None:
    config = TransformerConfig(**SMALL)
    model, batch, heads = a_transformer(config), make_batch([5, 3], [4, 6]), heads_of(config)
    untouched = model(batch)
    for head in heads:
        layer = (model.encoder if head.kind == "encoder" else model.decoder)[head.layer - 1]
        attention = layer.cross_attention if head.kind == "cross" else layer.self_attention
        assert isinstance(attention, MultiHeadAttention)
        before = attention.output_projection.weight.data
        with gated(model, open_gates(heads, {head}).double()):
            found = model(batch)
        attention.output_projection.weight.data = without_head(attention, head.number - 1)
        torch.testing.assert_close(found, model(batch), rtol=0, atol=1e-12)
        assert not torch.allclose(found, untouched)
        attention.output_projection.weight.data = before


def test_gates_of_each_sentence_are_those_of_the_sentence_alone() -> None:
    config = TransformerConfig(**SMALL)
    model, batch = a_transformer(config), make_batch([5, 5], [6, 6])
    gates = torch.rand(2, len(heads_of(config)), dtype=torch.float64)
    with gated(model, gates):
        together = model(batch)
    for row in range(2):
        with gated(model, gates[row]):
            torch.testing.assert_close(model(batch)[row], together[row], rtol=0, atol=1e-12)
    assert all(module.gate is None for module in model.modules() if isinstance(module, MultiHeadAttention))


def test_beam_search_of_a_pruned_model_finds_what_the_gated_one_does() -> None:
    config = TransformerConfig(**SMALL, positions="alibi")
    model, heads = a_transformer(config), heads_of(config)
    kept = {head for head in heads if head.number == head.layer}
    smaller = pruned(model, config, keep_heads(config, kept))
    sources = [[7, 9, 5, 3], [11, 4, 3]]

    def search(searched: Seq2Seq) -> list[Any]:
        with torch.inference_mode():
            memory = searched.encode(*pad_sources(sources))
            return beam_search(searched, memory, [8, 8], 3, 1.0, 3)

    with gated(model, open_gates(heads, set(heads) - kept).double()):
        expected = search(model)
    for found, wanted in zip(search(smaller), expected, strict=True):
        assert [hypothesis.token_ids for hypothesis in found] == [hypothesis.token_ids for hypothesis in wanted]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([one.score for one in wanted], abs=1e-9)


def test_an_attention_keeps_at_least_one_head() -> None:
    config = TransformerConfig(**SMALL)
    kept = [head for head in heads_of(config) if (head.kind, head.layer) != ("cross", 2)]
    with pytest.raises(ConfigError, match="cross attention, layer 2: keep at least one head"):
        keep_heads(config, kept)


@pytest.mark.parametrize(
    ("encoder", "found"),
    [
        ([[1]], "kept_heads.encoder must have a list for each of 2 layers"),
        (
            [[1], []],
            r"kept_heads.encoder: expected ascending heads from 1 to 3, at least one in each layer, found \[\]",
        ),
        ([[1], [2, 1]], "ascending"),
        ([[1], [1, 1]], "ascending"),
        ([[1], [4]], "from 1 to 3"),
        ([[1], [0]], "greater than 0"),
    ],
)
def test_kept_heads_that_do_not_exist_are_refused(encoder: list[list[int]], found: str) -> None:
    every = [[1, 2, 3], [1, 2, 3]]
    with pytest.raises(ValidationError, match=found):
        TransformerConfig(**SMALL, kept_heads=KeptHeads(encoder=encoder, decoder=every, cross=every))


def test_settings_of_a_run_with_all_heads_are_those_of_earlier_versions() -> None:
    assert "kept_heads" not in TransformerConfig(**SMALL).model_dump()
    kept = {kind: [[1], [2]] for kind in KINDS}
    assert TransformerConfig(**SMALL, kept_heads=kept).model_dump(exclude={"dropout"})["kept_heads"] == kept


def slowly_measured(model: TransformerSeq2Seq, batches: list[Batch]) -> Tensor:
    """(sentences, heads) |∂loss/∂gate|, a forward and backward pass for each sentence alone."""
    rows = []
    for batch in batches:
        for row in range(len(batch.source_ids)):
            alone = Batch(*(field[row : row + 1] for field in tensors_of(batch)), target_tokens=0)
            gates = torch.ones(18, dtype=torch.float64, requires_grad=True)
            with gated(model, gates):
                log_p = model.project(model(alone)).log_softmax(-1)[0]
            real = [place for place, token in enumerate(alone.target_output[0].tolist()) if token != 0]
            loss = -sum(log_p[place, alone.target_output[0, place]] for place in real)
            rows.append(torch.autograd.grad(loss, gates)[0].abs())
    return torch.stack(rows)


def tensors_of(batch: Batch) -> tuple[Tensor, ...]:
    return batch.source_ids, batch.source_valid, batch.target_input, batch.target_output


def test_importance_by_gradient_is_that_of_each_sentence_alone() -> None:
    config = TransformerConfig(**SMALL)
    model, batches = a_transformer(config), [make_batch([5, 3], [4, 6]), make_batch([4], [2], seed=1)]
    found = gradient_importance(model, config, batches)
    np.testing.assert_allclose(found.nats, slowly_measured(model, batches).numpy(), atol=1e-10)
    assert found.tokens.tolist() == [5, 7, 3]
    np.testing.assert_allclose(found.per_token(), found.nats.sum(axis=0) / 15)


def test_importance_by_ablation_is_the_rise_of_the_loss() -> None:
    config = TransformerConfig(**SMALL)
    model, batch = a_transformer(config), make_batch([5, 3], [4, 6])
    found = ablation_importance(model, config, [batch])
    for index, head in enumerate(found.heads):
        kept = [other for other in found.heads if other != head]
        rise = sentence_losses(pruned(model, config, keep_heads(config, kept)), batch) - sentence_losses(model, batch)
        np.testing.assert_allclose(found.nats[:, index], rise.detach().numpy(), atol=1e-10)


def test_importance_is_normalised_in_each_attention() -> None:
    heads = heads_of(TransformerConfig(**SMALL))
    values = np.random.default_rng(1).random((4, len(heads)))
    found = normalised(values, heads)
    np.testing.assert_allclose((found.reshape(4, 6, 3) ** 2).sum(axis=-1), 1.0)
    assert (normalised(np.zeros(len(heads)), heads) == 0.0).all()


def test_resamples_of_importance_are_centred_on_it() -> None:
    nats, tokens = np.random.default_rng(1).random((400, 2)), np.full(400, 5.0)
    importance = Importance((Head("cross", 1, 1), Head("cross", 1, 2)), nats, tokens)
    resampled = importance.resampled(500)
    assert resampled.shape == (500, 2)
    np.testing.assert_allclose(resampled.mean(axis=0), importance.per_token(), rtol=0.01)
    np.testing.assert_allclose(resampled.std(axis=0), nats.std(axis=0) / 20 / 5, rtol=0.15)


@pytest.mark.parametrize("keep_one", [True, False])
def test_heads_go_one_by_one_the_least_important_first(keep_one: bool) -> None:
    config = TransformerConfig(**SMALL)
    model, batches, heads = a_transformer(config), [make_batch([5, 3], [4, 6])], heads_of(config)
    order = list(removals(model, config, batches, heads, keep_one))
    assert len(set(order)) == len(order) == (12 if keep_one else 18)
    first = normalised(gradient_importance(model, config, batches).per_token(), heads)
    assert order[0] == heads[int(first.argmin())]
    assert {head.kind for head in removals(model, config, batches, heads[6:12], keep_one)} == {"decoder"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer that has partly learned to copy."""
    text = write_copy_task(tmp_path_factory.mktemp("text"), pairs=1500)
    folder = tmp_path_factory.mktemp("trained") / "run"
    model = {"kind": "transformer", "n_heads": 4, "n_layers": 2, "d_model": 32}
    config = make_config(text, model, max_steps=60, batch_tokens=200, learning_rate=0.005)
    train(config, folder, "cpu", quiet=True)
    return folder


@pytest.fixture(scope="module")
def pruned_run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned") / "run"
    done = call("prune", trained, "--heads", "10", "--out", folder)
    assert done.code == 0, done.stderr
    assert done.stdout.endswith(f"{folder}\n")
    return folder


def test_a_pruned_run_translates_as_the_gated_one_did(trained: Path, pruned_run: Path) -> None:
    before, after = (load_run(path, CPU) for path in (trained, pruned_run))
    config = before.config.model
    assert isinstance(before.model, TransformerSeq2Seq)
    assert isinstance(config, TransformerConfig)
    assert isinstance(after.config.model, TransformerConfig)
    heads, kept = heads_of(config), heads_of(after.config.model)
    assert len(kept) == 10
    assert after.config.name == "copy, 10 of 24 heads"
    lines = ["ba be bi", "go ga", "do di de da"]
    sources = before.subwords.encode_source(lines)
    with gated(before.model, open_gates(heads, set(heads) - set(kept))):
        expected = Translator(before.model, before.subwords, before.config.decode).search(sources)
    found = Translator(after.model, after.subwords, after.config.decode).search(sources)
    assert [best[0].token_ids for best in found] == [best[0].token_ids for best in expected]
    assert [best[0].score for best in found] == pytest.approx([best[0].score for best in expected], abs=1e-5)


def test_a_pruned_run_serves_every_command(pruned_run: Path, trained: Path, tmp_path: Path) -> None:
    assert call("eval", pruned_run, trained, "--out", tmp_path / "eval").code == 0
    write(tmp_path / "in.txt", "ba be bi\n")
    assert call("translate", pruned_run, tmp_path / "in.txt").code == 0
    done = call("attention", pruned_run, "--source", "ba be bi", "--json")
    assert done.code == 0, done.stderr
    kept = load_run(pruned_run, CPU).config.model.model_dump()["kept_heads"]
    assert call("attention", pruned_run, "--source", "ba be bi", "--out", tmp_path / "page.html").code == 0
    (system,) = json.loads(done.stdout)["systems"]
    for kind, layers in kept.items():
        for layer, heads in enumerate(layers, start=1):
            shown = [m["head"] for m in system["maps"] if (m["kind"], m["layer"]) == (kind, layer) and m["head"]]
            assert shown == list(heads), "heads keep their numbers"
    compared = call("compare", trained, pruned_run)
    assert compared.code == 0
    assert "kept_heads" in compared.stdout
    assert call("runs", pruned_run.parent).code == 0
    card = (pruned_run / "README.md").read_text(encoding="utf-8")
    assert f"seq2attn prune {trained} --heads 10 --out" in card
    exported = call("export", pruned_run, "--to", "ctranslate2", "--out", tmp_path / "exported")
    assert (exported.code, "its heads were pruned" in exported.complaint) == (2, True)


def test_training_starts_from_a_pruned_run(pruned_run: Path, trained: Path, tmp_path: Path) -> None:
    options = ["--set", "train.max_steps=3", "--set", "train.learning_rate=0.00001", "--start-from", pruned_run]
    first = validation_loss(pruned_run)
    done = call("train", pruned_run / "config.yaml", *options, "--run-dir", tmp_path / "further")
    assert done.code == 0, done.stderr
    assert validation_loss(tmp_path / "further") == pytest.approx(first, abs=0.01)
    assert (tmp_path / "further" / "README.md").read_text(encoding="utf-8").count(f"--start-from {pruned_run}") == 1
    digests = [Subwords.load(path).digest for path in (tmp_path / "further", pruned_run)]
    assert digests[0] == digests[1]
    done = call("train", trained / "config.yaml", *options, "--run-dir", tmp_path / "other")
    assert done.code == 2
    assert f"--start-from {pruned_run}: has another model: model.kept_heads was" in done.complaint
    assert not (tmp_path / "other" / "config.yaml").exists()


def test_a_run_stopped_before_its_first_checkpoint_starts_from_there_again(pruned_run: Path, tmp_path: Path) -> None:
    settings = ["--set", "train.max_steps=2", "--set", "train.checkpoint_every_steps=1"]
    runs = [tmp_path / name for name in ("whole", "stopped")]
    for run in runs:
        options = [*settings, "--start-from", pruned_run, "--run-dir", run]
        assert call("train", pruned_run / "config.yaml", *options).code == 0
    shutil.rmtree(runs[1] / "checkpoints")
    assert call("train", pruned_run / "config.yaml", *settings, "--run-dir", runs[1], "--resume").code == 0
    assert validation_loss(runs[0]) == validation_loss(runs[1])


def validation_loss(run: Path) -> float:
    return float(load_run(run, CPU).about["validation_loss"])


def test_heads_go_while_bleu_stays(trained: Path, tmp_path: Path) -> None:
    done = call("prune", trained, "--keep-bleu", "0.5", "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["validation_bleu"]["after"] >= 0.5 * result["validation_bleu"]["before"]
    assert result["heads"]["before"] == 24
    assert sum(map(len, result["kept_heads"].values())) == result["heads"]["after"] <= 24


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], "give either --heads N or --keep-bleu SHARE"),
        (["--heads", "8", "--keep-bleu", "0.9"], "give either --heads N or --keep-bleu SHARE"),
        (["--heads", "5"], "--heads 5: expected 6 to 24"),
        (["--heads", "25"], "--heads 25: expected 6 to 24"),
    ],
)
def test_impossible_numbers_are_refused(trained: Path, tmp_path: Path, options: list[str], found: str) -> None:
    done = call("prune", trained, *options, "--out", tmp_path / "run")
    assert (done.code, found in done.complaint) == (2, True)
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_only_transformers_are_pruned_and_no_run_is_overwritten(tiny_run: Path, trained: Path, tmp_path: Path) -> None:
    done = call("prune", tiny_run, "--heads", "2", "--out", tmp_path / "run")
    assert (done.code, "only a transformer has heads to remove" in done.complaint) == (2, True)
    done = call("prune", trained, "--heads", "8", "--out", trained)
    assert (done.code, "already holds a run" in done.complaint) == (2, True)

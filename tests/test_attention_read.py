"""Attention weights read from models."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from seq2attn.attention.maps import Choice, SentenceAttention
from seq2attn.attention.read import read_attention
from seq2attn.config.models import ModelConfig
from seq2attn.config.schema import SubwordsConfig
from seq2attn.data.batch import collate, pad_sources
from seq2attn.data.subwords import EOS_ID, Subwords
from seq2attn.decoding.search import greedy_search
from seq2attn.models.seq2seq import Seq2Seq
from tests.conftest import MODELS, make_model
from tests.training_samples import WORDS, write_copy_task

SENTENCES = ["go", "ba be bi bo da", "ga ge"]
WITH_ATTENTION = [name for name, config in MODELS.items() if config.attention != "none"]


@pytest.fixture(scope="module")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    folder: Path = write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)
    rows = [line.split("\t") for line in (folder / "train.tsv").read_text().splitlines()]
    pairs = datasets.Dataset.from_dict({"source": [row[0] for row in rows], "target": [row[1] for row in rows]})
    return Subwords.train(pairs, SubwordsConfig(vocab_size=27, byte_fallback=False))


def a_model(config: ModelConfig, subwords: Subwords) -> Seq2Seq:
    return make_model(config, source_vocab_size=subwords.source_size, target_vocab_size=subwords.target_size)


def greedy(model: Seq2Seq, sources: list[list[int]], longest: int) -> list[list[int]]:
    """The model's greedy output, with EOS if it ends."""
    with torch.inference_mode():
        hypotheses = greedy_search(model, model.encode(*pad_sources(sources)), [longest] * len(sources))
    return [
        [*hypothesis.token_ids, EOS_ID] if hypothesis.finished else hypothesis.token_ids for hypothesis in hypotheses
    ]


def assert_same(actual: SentenceAttention, expected: SentenceAttention) -> None:
    assert (actual.source, actual.written, actual.read) == (expected.source, expected.written, expected.read)
    assert actual.weights.keys() == expected.weights.keys()
    for kind, weights in actual.weights.items():
        for layer, expected_layer in zip(weights, expected.weights[kind], strict=True):
            np.testing.assert_allclose(layer, expected_layer, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_padded_batch_gives_the_weights_of_single_sentences(name: str, subwords: Subwords) -> None:
    model = a_model(MODELS[name], subwords)
    sources = subwords.encode_source(SENTENCES)
    written = [[*ids, EOS_ID] for ids in subwords.encode_target(list(reversed(SENTENCES)))]
    together = read_attention(model, subwords, sources, written)
    for source, target, found in zip(sources, written, together, strict=True):
        assert_same(found, read_attention(model, subwords, [source], [target])[0])
        assert len(found.source.subwords) == len(source)
        assert len(found.written.subwords) == len(found.read.subwords) == len(target)


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_those_of_the_model_and_every_row_sums_to_one(name: str, subwords: Subwords) -> None:
    model = a_model(MODELS[name], subwords)
    (source,), (target,) = subwords.encode_source(["ba be bi"]), subwords.encode_target(["do di"])
    (found,) = read_attention(model, subwords, [source], [[*target, EOS_ID]])
    maps = model.attention_maps(collate([source], [target]))
    for kind in ("cross", "encoder", "decoder"):
        layers = getattr(maps, kind)
        assert (kind in found.weights) == bool(layers)
        for layer, weights in enumerate(layers):
            np.testing.assert_allclose(found.weights[kind][layer], weights[0].detach().numpy(), atol=1e-12)
    for kind, weights in found.weights.items():
        for layer in weights:
            np.testing.assert_allclose(layer.sum(axis=-1), 1.0)
        merged = found.map(Choice(kind), as_subwords=False)
        assert merged is not None
        np.testing.assert_allclose(merged.weights.sum(axis=-1), 1.0)


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_forcing_a_models_own_output_gives_its_weights_while_writing(name: str, subwords: Subwords) -> None:
    """A model sees only its earlier words: the rows of each prefix equal those of the full output."""
    model = a_model(MODELS[name], subwords)
    (source,) = subwords.encode_source(["ba be bi"])
    (written,) = greedy(model, [source], longest=7)
    (full,) = read_attention(model, subwords, [source], [written])
    assert len(written) > 1
    for length in range(1, len(written) + 1):
        (prefix,) = read_attention(model, subwords, [source], [written[:length]])
        for layer, whole in zip(prefix.weights["cross"], full.weights["cross"], strict=True):
            np.testing.assert_allclose(layer, whole[:, :length], atol=1e-12)


def test_a_translation_that_was_cut_off_has_no_end_token(subwords: Subwords) -> None:
    (source,) = subwords.encode_source([WORDS[0]])
    (target,) = subwords.encode_target(["do di"])
    model = a_model(MODELS["transformer_pre"], subwords)
    (cut,), (ended,) = (read_attention(model, subwords, [source], [ids]) for ids in (target, [*target, EOS_ID]))
    assert ended.written.words == ("do", "di", "⟨end⟩")
    assert cut.written.words == ("do", "di")
    assert cut.read.words == ("⟨start⟩", "do")
    assert cut.weights["decoder"][0].shape[1:] == (2, 2)

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2attn.config.models import TransformerConfig
from seq2attn.config.schema import DecodeConfig, SubwordsConfig
from seq2attn.data.batch import pad_sources
from seq2attn.data.subwords import EOS_ID, Subwords
from seq2attn.decoding.search import Hypothesis, greedy_search
from seq2attn.decoding.translate import Translation, Translator
from seq2attn.models.seq2seq import Seq2Seq
from tests.conftest import MODELS, make_model
from tests.training_samples import WORDS, write_copy_task

SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), max_size=12)


@pytest.fixture(scope="module")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    folder: Path = write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)
    rows = [line.split("\t") for line in (folder / "train.tsv").read_text().splitlines()]
    pairs = datasets.Dataset.from_dict({"source": [row[0] for row in rows], "target": [row[1] for row in rows]})
    return Subwords.train(pairs, SubwordsConfig(vocab_size=27, byte_fallback=False))


@pytest.fixture(scope="module")
def untrained(subwords: Subwords) -> Seq2Seq:
    """Random weights give each source its own translation; in float64 no two candidates are nearly equal."""
    model = make_model(
        MODELS["additive_gru"], source_vocab_size=subwords.source_size, target_vocab_size=subwords.target_size
    )
    with torch.no_grad():
        model.output_weight.mul_(4.0)
    return model


def make_translator(model: Seq2Seq, subwords: Subwords, **decode: float | str) -> Translator:
    return Translator(model, subwords, DecodeConfig.model_validate({"beam_size": 3, "batch_tokens": 60} | decode))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentences=SENTENCES, beam_size=st.sampled_from([1, 3]))
def test_a_translation_does_not_depend_on_other_sentences(
    sentences: list[str], beam_size: int, untrained: Seq2Seq, subwords: Subwords
) -> None:
    translator = make_translator(untrained, subwords, beam_size=beam_size)
    assert translator.translate(sentences) == [translator.translate([sentence])[0] for sentence in sentences]


def test_the_sentences_of_these_tests_have_different_translations(untrained: Seq2Seq, subwords: Subwords) -> None:
    """Otherwise the tests could not detect a wrong order."""
    assert len(set(make_translator(untrained, subwords).translate(WORDS))) > len(WORDS) // 2


def test_large_batches_are_translated_in_the_precision_of_the_settings(untrained: Seq2Seq, subwords: Subwords) -> None:
    model, sentences = copy.deepcopy(untrained).float(), [" ".join(WORDS[i : i + 4]) for i in range(6)] * 12
    found = {
        precision: make_translator(model, subwords, batch_tokens=12_000, precision=precision).translate_fully(sentences)
        for precision in ("float32", "bfloat16")
    }
    scores = {precision: [translation.score for translation in of_it] for precision, of_it in found.items()}
    assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.1)
    assert scores["bfloat16"] != scores["float32"]


def test_lines_without_a_word_stay_empty_and_in_place(untrained: Seq2Seq, subwords: Subwords) -> None:
    translator = make_translator(untrained, subwords)
    found = translator.translate(["", "ba be", "  \t", "\u00a0", "go"])
    assert [bool(text) for text in found] == [False, True, False, False, True]
    assert list(translator.stream([""], n_best=3)) == [[Translation("", 0.0, 0.0, 0, True)]]
    assert translator.translate([]) == []


def test_n_best_is_sorted_and_begins_with_the_best(untrained: Seq2Seq, subwords: Subwords) -> None:
    translator = make_translator(untrained, subwords, beam_size=4)
    sentences = ["ba be bi", "go", "do di da de"]
    for translations, best in zip(translator.stream(sentences, 4), translator.translate(sentences), strict=True):
        scores = [translation.score for translation in translations]
        assert len(translations) == 4
        assert scores == sorted(scores, reverse=True)
        assert translations[0].text == best
        for translation in translations:
            length = translation.tokens + translation.finished
            assert translation.score == pytest.approx(translation.log_probability / length)


def test_more_translations_than_the_beam_size_widen_the_beam(untrained: Seq2Seq, subwords: Subwords) -> None:
    (translations,) = make_translator(untrained, subwords, beam_size=1).stream(["ba be"], n_best=5)
    assert len(translations) == 5


@pytest.mark.parametrize("read_ahead", [1, 2, 5, 100])
def test_a_stream_in_chunks_gives_the_same_translations(
    read_ahead: int, untrained: Seq2Seq, subwords: Subwords
) -> None:
    translator = make_translator(untrained, subwords)
    sentences = ["ba be bi bo", "", "go", "do di", "ga ge gi", "ba"]
    at_once = list(translator.stream(sentences, n_best=2))
    chunks = list(translator.stream(iter(sentences), n_best=2, read_ahead=read_ahead))
    assert [[translation.text for translation in best] for best in chunks] == [
        [translation.text for translation in best] for best in at_once
    ]


def test_a_stream_answers_before_its_input_ends(untrained: Seq2Seq, subwords: Subwords) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "ba be"

    stream = make_translator(untrained, subwords).stream(endless(), read_ahead=2)
    assert [next(stream)[0].tokens > 0 for _ in range(5)] == [True] * 5


def test_a_beam_of_one_is_greedy_search(untrained: Seq2Seq, subwords: Subwords) -> None:
    sentences = ["ba be bi", "go"]
    limits = [int(2.0 * 4) + 10, int(2.0 * 2) + 10]
    with torch.inference_mode():
        memory = untrained.encode(*pad_sources(subwords.encode_source(sentences)))
        expected = greedy_search(untrained, memory, limits)
    found = list(make_translator(untrained, subwords, beam_size=1).stream(sentences))
    for (translation,), hypothesis in zip(found, expected, strict=True):
        assert translation.text == subwords.decode_target([hypothesis.token_ids])[0]
        assert translation.tokens == len(hypothesis.token_ids)
        assert translation.log_probability == pytest.approx(hypothesis.log_probability)


def test_an_endless_translation_ends_at_its_limit_and_says_so(untrained: Seq2Seq, subwords: Subwords) -> None:
    model = make_model(
        MODELS["additive_gru"], source_vocab_size=subwords.source_size, target_vocab_size=subwords.target_size
    )
    with torch.no_grad():
        model.output_bias[3] = -1e9
    translator = make_translator(model, subwords, max_length_ratio=1.5)
    for sentence, words in (("go", 1), ("ba be bi", 3)):
        (translation,) = next(translator.stream([sentence]))
        assert not translation.finished
        assert translation.tokens == int(1.5 * (words + 1)) + 10


def test_every_batch_reports_its_sentences_and_stays_within_the_budget(untrained: Seq2Seq, subwords: Subwords) -> None:
    sizes: list[int] = []
    sentences = ["ba"] * 7 + ["ba be bi bo da"] * 5
    make_translator(untrained, subwords, beam_size=2, batch_tokens=24).translate(sentences, done=sizes.append)
    # 6 subwords times a beam of 2 fit twice into 24; 2 subwords times 2 fit six times.
    assert sum(sizes) == len(sentences)
    assert sizes[:2] == [2, 2]
    assert max(sizes) <= 6


def test_learned_positions_cut_a_translation_off_where_they_end(subwords: Subwords) -> None:
    config = TransformerConfig(d_model=12, n_heads=2, positions="learned", max_positions=9)
    sizes = {"source_vocab_size": subwords.source_size, "target_vocab_size": subwords.target_size}
    model = make_model(config, torch.float32, **sizes)
    with torch.no_grad():
        model.output_bias[EOS_ID] = -1e9
    for beam_size in (1, 3):
        (found,) = make_translator(model, subwords, beam_size=beam_size).stream([WORDS[0]])
        assert (next(iter(found)).tokens, next(iter(found)).finished) == (9, False)


def test_a_line_that_is_too_long_is_translated_in_parts(untrained: Seq2Seq, subwords: Subwords) -> None:
    long_line = " ".join(WORDS[number % 7] for number in range(50))
    translator = make_translator(untrained, subwords, max_source_tokens=8)
    finished: list[int] = []
    found = translator.translate(["ba", long_line, "be"], finished.append)
    assert sum(finished) == 3
    # Seven words and EOS are eight subwords.
    pieces = [" ".join(long_line.split()[start : start + 7]) for start in range(0, 50, 7)]
    assert found == [
        translator.translate(["ba"])[0],
        " ".join(translator.translate(pieces)),
        *translator.translate(["be"]),
    ]
    ((best, second), *_) = translator.stream([long_line], n_best=2)
    assert best.parts == second.parts == len(pieces)
    assert best.score >= second.score


def test_long_sentences_do_not_exceed_the_positions(subwords: Subwords) -> None:
    sizes = {"source_vocab_size": subwords.source_size, "target_vocab_size": subwords.target_size}
    config = TransformerConfig(d_model=12, n_heads=2, positions="learned", max_positions=16)
    translator = make_translator(make_model(config, **sizes), subwords)
    (line,) = translator.stream([" ".join(WORDS * 20)])
    assert line[0].parts == 240 // 15


def test_read_ahead_is_also_limited_by_length(untrained: Seq2Seq, subwords: Subwords) -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        for _ in range(20):
            read += 1
            yield "ba " * 300_000

    translator = make_translator(untrained, subwords, beam_size=1, max_length_ratio=0.01)
    translator.search = lambda sources, n_best=1: [[Hypothesis([], 0.0, 0.0, True)] for _ in sources]  # type: ignore[method-assign]
    next(iter(translator.stream(lines())))
    assert read < 5


@pytest.mark.parametrize("threads", [4], indirect=True)
@pytest.mark.parametrize("beam_size", [1, 3])
def test_batches_side_by_side_give_the_same_translations(
    beam_size: int, threads: int, untrained: Seq2Seq, subwords: Subwords
) -> None:
    translator = make_translator(untrained, subwords, beam_size=beam_size, batch_tokens=6 * beam_size)
    counts: list[int] = []
    side_by_side = translator.translate(WORDS * 2, counts.append)
    assert len(counts) >= 8
    assert sum(counts) == len(WORDS * 2)
    torch.set_num_threads(1)
    assert translator.translate(WORDS * 2) == side_by_side

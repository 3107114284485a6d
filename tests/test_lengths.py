from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation.lengths import (
    DEFAULT_BINS,
    Bins,
    EqualCount,
    EqualWidth,
    Lengths,
    length_unit,
    parse_binning,
    sentence_lengths,
)
from tests.command_line import write

LENGTHS = st.lists(st.integers(0, 120), min_size=1).map(np.array)
EDGES = st.sets(st.integers(1, 100), max_size=8).map(lambda edges: (0, *sorted(edges)))


@given(edges=EDGES, lengths=LENGTHS)
def test_a_range_includes_the_lengths_of_its_bucket(edges: tuple[int, ...], lengths: Lengths) -> None:
    bins = Bins(edges)
    for place, span in enumerate(bins.ranges()):
        assert span.includes(lengths).tolist() == (bins.assign(lengths) == place).tolist()


@given(edges=EDGES, lengths=st.lists(st.integers(0, 120), min_size=1))
def test_every_length_lies_in_exactly_one_bucket(edges: tuple[int, ...], lengths: list[int]) -> None:
    bins = Bins(edges)
    for length, place in zip(lengths, bins.assign(np.array(lengths)), strict=True):
        inside = [low <= length and (high is None or length < high) for low, high in bins.ranges()]
        assert inside.count(True) == 1
        assert inside[place]


def test_ten_words_are_in_the_second_default_bucket() -> None:
    assert DEFAULT_BINS.assign(np.array([0, 9, 10, 19, 20, 59, 60, 500])).tolist() == [0, 0, 1, 1, 2, 5, 6, 6]


@given(edges=EDGES)
def test_bins_survive_a_round_trip_through_text(edges: tuple[int, ...]) -> None:
    assert parse_binning(str(Bins(edges))) == Bins(edges)


@pytest.mark.parametrize(
    "text", ["", "ten", "0,10,10", "0,20,10", "5,10", "-1,10", "0;10", "0,1.5", "width:0", "count:many", "10:2"]
)
def test_wrong_bins_are_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected .* as in 0,10,20,30,40,50,60") as caught:
        parse_binning(text)
    assert "\n" not in str(caught.value)


def test_lengths_are_words_or_characters_without_white_space() -> None:
    assert sentence_lengths(["", "  one  two\u00a0three ", "don't stop"], "words").tolist() == [0, 3, 2]
    assert sentence_lengths(["我 爱你。", ""], length_unit("zh")).tolist() == [4, 0]
    assert length_unit("fr") == "words"


@given(lengths=LENGTHS, width=st.integers(1, 40))
def test_bins_of_equal_width_reach_to_the_longest_sentence(lengths: np.ndarray, width: int) -> None:
    bins = EqualWidth(width).fit(lengths)
    assert {high - low for low, high in bins.ranges() if high is not None} <= {width}
    assert bins.edges[-1] <= lengths.max() < bins.edges[-1] + width


@given(lengths=LENGTHS, n_bins=st.integers(1, 9))
def test_bins_of_equal_count_differ_by_no_more_than_the_sentences_of_one_length(
    lengths: np.ndarray, n_bins: int
) -> None:
    bins = EqualCount(n_bins).fit(lengths)
    counts = np.bincount(bins.assign(lengths), minlength=len(bins.edges))
    assert len(counts) <= n_bins
    assert counts.all()
    most_alike = np.bincount(lengths).max()
    assert counts.max() <= len(lengths) / n_bins + most_alike + 1


def test_bins_without_sentences_are_a_single_bucket() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert EqualWidth(10).fit(nothing) == EqualCount(3).fit(nothing) == Bins((0,))


@pytest.mark.parametrize(
    ("text", "binning"),
    [("0,15,30", Bins((0, 15, 30))), ("width:5", EqualWidth(5)), ("count:7", EqualCount(7)), ("0", Bins((0,)))],
)
def test_the_three_ways_of_giving_bins(text: str, binning: object) -> None:
    assert parse_binning(text) == binning


def test_subwords_are_those_of_the_given_model(tmp_path: Path) -> None:
    texts = ["ba be bi", "", "bo bu da de di"]
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=trained, vocab_size=16, hard_vocab_limit=False, minloglevel=2
    )
    model = write(tmp_path / "subwords.model", trained.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    counted = sentence_lengths(texts, "subwords", model).tolist()
    assert counted == [len(processor.encode(text)) for text in texts]
    assert counted[1] == 0 < counted[0] < counted[2]


def test_subwords_without_their_model_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--subwords-model FILE"):
        sentence_lengths(["a"], "subwords")
    with pytest.raises(DataError, match="not a SentencePiece model"):
        sentence_lengths(["a"], "subwords", write(tmp_path / "other", "no model"))
    with pytest.raises(DataError, match="cannot be read"):
        sentence_lengths(["a"], "subwords", tmp_path / "missing")

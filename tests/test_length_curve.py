from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.errors import ConfigError
from seq2attn.evaluation.bleu import sentence_statistics
from seq2attn.evaluation.length_curve import (
    DEFAULT_BINS,
    Bins,
    Bucket,
    length_curve,
    length_unit,
    sentence_lengths,
)
from tests.evaluation_samples import corrupted, random_sentences

EDGES = st.sets(st.integers(1, 100), max_size=8).map(lambda edges: (0, *sorted(edges)))


@given(edges=EDGES, lengths=st.lists(st.integers(0, 120), min_size=1))
def test_every_length_lies_in_its_one_bucket(edges: tuple[int, ...], lengths: list[int]) -> None:
    bins = Bins(edges)
    for length, place in zip(lengths, bins.assign(np.array(lengths)), strict=True):
        inside = [low <= length and (high is None or length < high) for low, high in bins.ranges()]
        assert inside.count(True) == 1
        assert inside[place]


def test_ten_words_are_in_the_second_default_bucket() -> None:
    assert DEFAULT_BINS.assign(np.array([0, 9, 10, 19, 20, 59, 60, 500])).tolist() == [0, 0, 1, 1, 2, 5, 6, 6]


@given(edges=EDGES)
def test_bins_are_read_as_they_are_written(edges: tuple[int, ...]) -> None:
    assert Bins.parse(str(Bins(edges))) == Bins(edges)


@pytest.mark.parametrize("text", ["", "ten", "0,10,10", "0,20,10", "5,10", "-1,10", "0;10", "0,1.5"])
def test_wrong_bins_are_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected whole numbers .* as in 0,10,20,30,40,50,60") as caught:
        Bins.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("low", "high", "label"), [(0, 10, "0–9"), (10, 20, "10–19"), (60, None, "60+"), (3, 4, "3")])
def test_labels_do_not_overlap(low: int, high: int | None, label: str) -> None:
    assert Bucket(low, high, 0, None, None, None, None).label == label


def test_lengths_are_words_or_characters_without_white_space() -> None:
    assert sentence_lengths(["", "  one  two\u00a0three ", "don't stop"], "words").tolist() == [0, 3, 2]
    assert sentence_lengths(["我 爱你。", ""], length_unit("zh")).tolist() == [4, 0]
    assert length_unit("fr") == "words"


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[str]]:
    """300 translations and their references."""
    rng = np.random.default_rng(7)
    references = random_sentences(rng, 300)
    return corrupted(rng, references, 0.8), references


def test_each_bucket_is_the_corpus_bleu_of_its_sentences(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    lengths = sentence_lengths(references, "words")
    curve = length_curve(sentence_statistics(hypotheses, references), lengths, DEFAULT_BINS)
    assert sum(bucket.n for bucket in curve.buckets) == curve.overall.n == 300
    for bucket in curve.buckets:
        chosen = [i for i, n in enumerate(lengths) if n >= bucket.low and (bucket.high is None or n < bucket.high)]
        expected = sacrebleu.corpus_bleu([hypotheses[i] for i in chosen], [[references[i] for i in chosen]])
        assert (bucket.n, bucket.bleu) == (len(chosen), expected.score)
        assert bucket.length_ratio == expected.sys_len / expected.ref_len
        assert bucket.bleu_low is not None
        assert bucket.bleu_high is not None
        assert bucket.bleu_low < expected.score < bucket.bleu_high


def test_one_bucket_over_everything_is_sacrebleus_corpus_bleu(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    statistics = sentence_statistics(hypotheses, references)
    curve = length_curve(statistics, sentence_lengths(references, "words"), Bins((0,)))
    assert curve.buckets == (curve.overall,)
    assert curve.overall.bleu == sacrebleu.corpus_bleu(hypotheses, [references]).score


def test_interval_agrees_with_sacrebleus_own_bootstrap(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    theirs = sacrebleu.BLEU().corpus_score(hypotheses, [references], n_bootstrap=1000)
    ours = length_curve(sentence_statistics(hypotheses, references), np.zeros(300, np.int64), Bins((0,))).overall
    assert ours.bleu_low == pytest.approx(theirs._mean - theirs._ci, abs=0.15 * theirs._ci)
    assert ours.bleu_high == pytest.approx(theirs._mean + theirs._ci, abs=0.15 * theirs._ci)


def test_the_same_input_gives_the_same_curve(corpus: tuple[list[str], list[str]]) -> None:
    statistics = sentence_statistics(*corpus)
    lengths = sentence_lengths(corpus[1], "words")
    assert length_curve(statistics, lengths, DEFAULT_BINS) == length_curve(statistics, lengths, DEFAULT_BINS)


def test_empty_buckets_and_empty_translations_have_no_nan() -> None:
    statistics = sentence_statistics(["", "a b c d e"], ["x y", "a b c d e"])
    curve = length_curve(statistics, np.array([2, 5]), Bins((0, 3, 6)))
    nothing_said, right, empty = curve.buckets
    assert (nothing_said.bleu, nothing_said.bleu_low, nothing_said.bleu_high) == (0.0, 0.0, 0.0)
    assert nothing_said.length_ratio == 0.0
    assert right.bleu == pytest.approx(100.0)
    assert empty == Bucket(6, None, 0, None, None, None, None)


def test_references_without_words_have_no_length_ratio() -> None:
    overall = length_curve(sentence_statistics(["a"], [""]), np.array([1]), DEFAULT_BINS).overall
    assert (overall.n, overall.bleu, overall.length_ratio) == (1, 0.0, None)


def test_few_sentences_are_marked() -> None:
    assert [Bucket(0, 1, n, 1.0, 1.0, 1.0, 1.0).has_few_sentences for n in (29, 30)] == [True, False]

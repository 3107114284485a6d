from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from seq2attn.evaluation.lengths import DEFAULT_BINS, Bins, Lengths, sentence_lengths
from seq2attn.evaluation.measure import MeasuredSystem
from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.score import Bucket, Score
from tests.evaluation_samples import corrupted, measured_system, random_sentences


@pytest.mark.parametrize(("low", "high", "label"), [(0, 10, "0–9"), (10, 20, "10–19"), (60, None, "60+"), (3, 4, "3")])
def test_labels_do_not_overlap(low: int, high: int | None, label: str) -> None:
    assert Bucket(low, high, 0, {}).label == label


def curve_of(
    hypotheses: list[str], references: list[str], lengths: Lengths | None = None, bins: Bins = DEFAULT_BINS
) -> MeasuredSystem:
    (statistics,) = Bleu().statistics([hypotheses], [references])
    return measured_system(statistics, sentence_lengths(references, "words") if lengths is None else lengths, bins)


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[str]]:
    """300 translations and their references."""
    rng = np.random.default_rng(7)
    references = random_sentences(rng, 300)
    return corrupted(rng, references, 0.8), references


def test_each_bucket_is_the_corpus_bleu_of_its_sentences(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    lengths = sentence_lengths(references, "words")
    curve = curve_of(hypotheses, references)
    assert sum(bucket.n for bucket in curve.buckets) == curve.overall.n == 300
    for bucket in curve.buckets:
        chosen = [i for i, n in enumerate(lengths) if n >= bucket.low and (bucket.high is None or n < bucket.high)]
        expected = sacrebleu.corpus_bleu([hypotheses[i] for i in chosen], [[references[i] for i in chosen]])
        assert bucket.bleu is not None
        assert (bucket.n, bucket.bleu.n, bucket.bleu.value) == (len(chosen), len(chosen), expected.score)
        assert bucket.length_ratio == expected.sys_len / expected.ref_len
        assert bucket.bleu.low is not None
        assert bucket.bleu.high is not None
        assert bucket.bleu.low < expected.score < bucket.bleu.high


def test_one_bucket_over_everything_is_sacrebleus_corpus_bleu(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    curve = curve_of(hypotheses, references, bins=Bins((0,)))
    assert curve.buckets == (curve.overall,)
    assert curve.overall.bleu is not None
    assert curve.overall.bleu.value == sacrebleu.corpus_bleu(hypotheses, [references]).score


def test_interval_agrees_with_sacrebleus_own_bootstrap(corpus: tuple[list[str], list[str]]) -> None:
    hypotheses, references = corpus
    theirs = sacrebleu.BLEU().corpus_score(hypotheses, [references], n_bootstrap=1000)
    ours = curve_of(hypotheses, references, bins=Bins((0,))).overall.bleu
    assert ours is not None
    assert ours.low == pytest.approx(theirs._mean - theirs._ci, abs=0.15 * theirs._ci)
    assert ours.high == pytest.approx(theirs._mean + theirs._ci, abs=0.15 * theirs._ci)


def test_the_same_input_gives_the_same_curve(corpus: tuple[list[str], list[str]]) -> None:
    first, second = curve_of(*corpus), curve_of(*corpus)
    assert (first.overall, first.buckets) == (second.overall, second.buckets)


def test_empty_buckets_and_empty_translations_have_no_nan() -> None:
    curve = curve_of(["", "a b c d e"], ["x y", "a b c d e"], bins=Bins((0, 3, 6)))
    nothing_said, right, empty = curve.buckets
    assert nothing_said.bleu == Score(0.0, None, None, 1)
    assert nothing_said.length_ratio == 0.0
    assert right.bleu is not None
    assert right.bleu.value == pytest.approx(100.0)
    assert empty == Bucket(6, None, 0, {})


def test_references_without_words_have_no_length_ratio() -> None:
    overall = curve_of(["a"], [""]).overall
    assert (overall.n, overall.bleu, overall.length_ratio) == (1, Score(0.0, None, None, 1), None)


def test_few_sentences_are_marked() -> None:
    assert [Bucket(0, 1, n, {}).enough for n in (29, 30)] == [False, True]
    assert [Score(1.0, 1.0, 1.0, n).enough for n in (29, 30)] == [False, True]


def test_few_sentences_claim_no_interval() -> None:
    few, enough = (Score(20.0, 18.0, 22.0, n) for n in (29, 30))
    assert (few.value, few.low, few.high) == (20.0, None, None)
    assert (enough.low, enough.high) == (18.0, 22.0)

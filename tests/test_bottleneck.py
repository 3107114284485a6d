"""The verdicts on the bottleneck for simulated systems: supported, not supported and inconclusive cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seq2attn.evaluation.differences import holm
from seq2attn.evaluation.lengths import Range
from seq2attn.evaluation.metrics import Bleu, Chrf, Statistics
from seq2attn.evaluation.resampling import SEED, resample_sums
from seq2attn.results.bottleneck import (
    BottleneckClaim,
    ClusterBootstrap,
    LengthOutputs,
    _corrected,
    claimed_ranges,
    judge,
    overall_verdict,
)

RANGES = [Range(low, low + 10) for low in range(0, 60, 10)] + [Range(60, None)]
N_CLUSTERS, PER_CLUSTER = 60, 18
CLUSTERS = np.repeat(np.arange(N_CLUSTERS), PER_CLUSTER)
LENGTHS = np.tile(np.linspace(5, 64, PER_CLUSTER).astype(int), N_CLUSTERS)
SCALES = ["bleu", "log_bleu", "chrf"]

Quality = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def linear(short: float, long: float) -> Quality:
    """The probability that a word is right, linear in the length from 5 to 64 words."""
    return lambda lengths: short + (long - short) * (lengths - 5) / 59


def make_up(name: str, quality: Quality, seeds: int = 1, seed: int = 0, cluster_std: float = 0.0) -> LengthOutputs:
    """A system whose words are right at random; `cluster_std`: std of the quality between clusters."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0, cluster_std, N_CLUSTERS)[CLUSTERS]
    chance = np.clip(quality(LENGTHS) + common, 0.02, 0.98)
    words = [bleu_columns(ngrams(LENGTHS, chance, 4, rng)) for _ in range(seeds)]
    characters = [chrf_columns(ngrams(5 * LENGTHS, chance, 6, rng)) for _ in range(seeds)]
    return LengthOutputs(name, np.stack(words), np.stack(characters))


def ngrams(
    lengths: NDArray[np.int64], chance: NDArray[np.float64], orders: int, rng: np.random.Generator
) -> Statistics:
    """Counts of n-grams for each order, then of the matched ones, `(n_inputs, 2 * orders)`."""
    totals = np.stack([np.maximum(lengths - order, 0) for order in range(orders)], axis=1)
    matched = rng.binomial(totals, np.stack([chance ** (order + 1) for order in range(orders)], axis=1))
    return np.concatenate([totals, matched], axis=1).astype(np.float64)


def bleu_columns(counts: Statistics) -> Statistics:
    totals, matched = counts[:, :4], counts[:, 4:]
    return np.concatenate([totals[:, :1], totals[:, :1], matched, totals], axis=1)


def chrf_columns(counts: Statistics) -> Statistics:
    totals, matched = counts[:, :6], counts[:, 6:]
    return np.stack([totals, totals, matched], axis=2).reshape(len(counts), 18)


FIXED = make_up("fixed", linear(0.75, 0.35), seed=1)
ATTENTION = make_up("attention", linear(0.78, 0.74), seed=2)
TRANSFORMER = make_up("transformer", linear(0.77, 0.75), seed=3)


def verdicts(claims: tuple[BottleneckClaim, ...], claim: str) -> list[str]:
    return [row.verdict for row in claims if row.id == claim]


def judged(fixed: LengthOutputs, *attending: LengthOutputs) -> tuple[BottleneckClaim, ...]:
    return judge(fixed, attending, {}, LENGTHS, CLUSTERS, RANGES, n_resamples=2000)


def test_a_bottleneck_is_supported_on_all_scales() -> None:
    claims = judged(FIXED, ATTENTION, TRANSFORMER)
    assert [(row.id, row.scale, row.system, row.baseline) for row in claims] == [
        ("learned", None, "fixed", "attention"),
        *(("bottleneck", scale, "fixed", "attention") for scale in SCALES),
        *(("bottleneck", scale, "fixed", "transformer") for scale in SCALES),
        ("retention", None, "attention", None),
        ("retention", None, "transformer", None),
    ]
    assert {row.verdict for row in claims} == {"supported"}
    assert overall_verdict(claims, "bottleneck") == "supported"
    for row in claims:
        assert row.low <= row.estimate <= row.high


def test_the_estimate_is_that_of_the_scores() -> None:
    short, long = LENGTHS < 10, LENGTHS >= 60

    def fall(metric: Bleu | Chrf, statistics: Statistics) -> tuple[float, float]:
        return metric.score(statistics[0, short].sum(axis=0)), metric.score(statistics[0, long].sum(axis=0))

    by_scale = {row.scale: row.estimate for row in judged(FIXED, ATTENTION) if row.id == "bottleneck"}
    ours, theirs = fall(Bleu(), FIXED.bleu), fall(Bleu(), ATTENTION.bleu)
    assert by_scale["bleu"] == pytest.approx((ours[0] - ours[1]) - (theirs[0] - theirs[1]))
    assert by_scale["log_bleu"] == pytest.approx(np.log(ours[0] / ours[1]) - np.log(theirs[0] / theirs[1]))
    ours, theirs = fall(Chrf(), FIXED.chrf), fall(Chrf(), ATTENTION.chrf)
    assert by_scale["chrf"] == pytest.approx((ours[0] - ours[1]) - (theirs[0] - theirs[1]))


def test_a_falling_share_with_equal_falls_in_points_is_no_bottleneck() -> None:
    """Two curves that fall by equally many points: only the lower one's relative loss is larger."""
    lower = make_up("fixed", linear(0.70, 0.52), seed=1)
    upper = make_up("attention", linear(0.80, 0.70), seed=2)
    claims = judged(lower, upper)
    by_scale = {row.scale: row for row in claims if row.id == "bottleneck"}
    assert by_scale["log_bleu"].estimate > 0
    assert by_scale["bleu"].verdict != "supported"
    assert overall_verdict(claims, "bottleneck") != "supported"


def test_claims_are_inconclusive_if_the_baseline_has_not_learned() -> None:
    claims = judged(make_up("fixed", linear(0.55, 0.20), seed=1), ATTENTION)
    assert verdicts(claims, "learned") == ["not_supported"]
    assert verdicts(claims, "bottleneck") == ["inconclusive"] * 3


def test_nothing_is_concluded_of_models_without_a_right_word() -> None:
    bleu, chrf = FIXED.bleu.copy(), FIXED.chrf.copy()
    bleu[..., 2:6], chrf[..., 2::3] = 0.0, 0.0
    claims = judged(LengthOutputs("fixed", bleu, chrf), LengthOutputs("attention", bleu, chrf))
    assert set(verdicts(claims, "bottleneck")) == {"inconclusive"}
    (on_log_scale,) = (row for row in claims if row.scale == "log_bleu")
    assert on_log_scale.estimate is on_log_scale.low is on_log_scale.high is None


def test_the_claim_is_not_supported_if_attention_loses_more() -> None:
    claims = judged(make_up("fixed", linear(0.78, 0.74), seed=1), make_up("attention", linear(0.80, 0.40), seed=2))
    assert verdicts(claims, "bottleneck") == ["not_supported"] * 3
    assert overall_verdict(claims, "bottleneck") == "not_supported"


@pytest.mark.parametrize(("long", "expected"), [(0.79, "supported"), (0.73, "inconclusive"), (0.70, "not_supported")])
def test_retention_is_judged_by_the_limits_of_its_interval(long: float, expected: str) -> None:
    noisy = make_up("attention", linear(0.80, long), seed=5, cluster_std=0.03)
    (row,) = [row for row in judged(FIXED, noisy) if row.id == "retention"]
    assert row.verdict == expected
    assert {"supported": row.low >= 0.85, "not_supported": row.high < 0.85}.get(expected, row.low < 0.85 <= row.high)


def test_other_searches_have_separate_claims() -> None:
    searches = {"greedy": (FIXED, [ATTENTION]), "length penalty 0": (FIXED, [make_up("attention", linear(0.8, 0.3))])}
    claims = judge(FIXED, [ATTENTION], searches, LENGTHS, CLUSTERS, RANGES, n_resamples=2000)
    rows = [row for row in claims if row.id == "not_search_alone"]
    assert [row.system for row in rows] == ["fixed, greedy"] * 3 + ["fixed, length penalty 0"] * 3
    assert overall_verdict(rows[:3], "not_search_alone") == "supported"
    assert overall_verdict(claims, "not_search_alone") != "supported"


def test_p_values_are_corrected_for_the_claims_and_not_for_their_tests() -> None:
    """A claim asks for all its tests together, so more scales, models or searches make it harder by themselves."""
    alone = [row.p for row in judged(FIXED, ATTENTION, TRANSFORMER) if row.id == "bottleneck"]
    assert alone == [pytest.approx(1 / 2001)] * 6
    searches = {"greedy": (FIXED, [ATTENTION]), "length penalty 0": (FIXED, [ATTENTION])}
    both = judge(FIXED, [ATTENTION], searches, LENGTHS, CLUSTERS, RANGES, n_resamples=2000)
    assert [row.p for row in both if row.p is not None] == [pytest.approx(2 / 2001)] * 9


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@given(P_VALUES, P_VALUES)
def test_the_largest_p_value_of_each_claim_is_corrected_by_holm(bottleneck: list[float], search: list[float]) -> None:
    tests = [("bottleneck", p) for p in bottleneck] + [("not_search_alone", p) for p in search]
    corrected = _corrected(tests)
    largest = [max(corrected[: len(bottleneck)]), max(corrected[len(bottleneck) :])]
    assert largest == pytest.approx(holm([max(bottleneck), max(search)]))
    assert all(p <= after <= 1 for (_, p), after in zip(tests, corrected, strict=True))


def test_ranges_with_few_inputs_are_left_out() -> None:
    lengths = np.concatenate([LENGTHS, np.full(99, 75)])
    assert claimed_ranges(lengths, [Range(0, 10), Range(60, 70), Range(70, None)]) == [Range(0, 10), Range(60, 70)]
    assert judge(FIXED, [ATTENTION], {}, LENGTHS, CLUSTERS, [Range(0, 10)], n_resamples=10) == ()


def test_a_resample_contains_the_drawn_clusters_with_all_their_inputs() -> None:
    bootstrap = ClusterBootstrap(CLUSTERS, 3)
    chosen = LENGTHS >= 60
    scores = bootstrap.scores(Bleu(), FIXED.bleu, chosen, 0)
    # How often each cluster is drawn.
    drawn = resample_sums(np.eye(N_CLUSTERS), 3, np.random.default_rng(SEED))
    for counts, score in zip(drawn, scores, strict=True):
        assert counts.sum() == N_CLUSTERS
        rows = np.repeat(np.arange(len(CLUSTERS)), counts[CLUSTERS].astype(int))
        assert score == pytest.approx(Bleu().score(FIXED.bleu[0][rows[chosen[rows]]].sum(axis=0)))


def test_several_seeds_widen_the_interval_when_trainings_differ() -> None:
    near = make_up("fixed", linear(0.75, 0.35), seeds=3, seed=1)
    apart = LengthOutputs("fixed", near.bleu.copy(), near.chrf)
    apart.bleu[0, :, 2:6] *= 0.8
    width = [
        row.high - row.low
        for system in (near, apart)
        for row in judged(system, ATTENTION)
        if row.scale == "bleu" and row.id == "bottleneck"
    ]
    assert width[1] > 2 * width[0]


@pytest.mark.slow
def test_intervals_by_document_cover_where_those_by_sentence_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 simulated test sets in which all sentences of a document are easy or hard together."""
    long, metric = LENGTHS >= 30, Bleu()

    def sampled(number: int) -> Statistics:
        return make_up("x", linear(0.6, 0.6), seed=number, cluster_std=0.08).bleu

    truth = float(np.mean([metric.score(sampled(number)[0, long].sum(axis=0)) for number in range(3000)]))
    hits = {"document": 0, "sentence": 0}
    for number in range(1000):
        statistics = sampled(10_000 + number)
        for unit, clusters in (("document", CLUSTERS), ("sentence", np.arange(len(CLUSTERS)))):
            bootstrap = ClusterBootstrap(clusters, 400, seed=number)
            low, high = bootstrap.interval(bootstrap.scores(metric, statistics, long, 0))
            hits[unit] += low <= truth <= high
    coverage = ", ".join(f"{count / 10:.1f} % by {unit}" for unit, count in hits.items())
    with capsys.disabled():
        print(f"\ncoverage of 95 % intervals: {coverage}")
    assert 920 <= hits["document"] <= 970
    assert hits["sentence"] < 750

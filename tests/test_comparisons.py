from __future__ import annotations

import numpy as np
import pytest

from seq2attn.evaluation.comparisons import bleu_difference, retention, share_fall
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import Bootstrap, StatisticsTable, percentile_interval
from tests.evaluation_samples import random_statistics

SHORT = np.arange(120) < 60
LONG = ~SHORT
LENGTHS = np.where(SHORT, 15, 50)


def bleu(statistics: Statistics, group: np.ndarray) -> float:
    return Bleu().score(statistics[0][group].sum(axis=0))


def _two_systems(rng: np.random.Generator, ours_long: float) -> tuple[Statistics, Statistics]:
    """Two systems on 60 short and 60 long sentences; they differ only in the first one's quality on the long ones."""
    ours = random_statistics(rng, LENGTHS, np.where(SHORT, 0.7, ours_long))
    return ours[None], random_statistics(rng, LENGTHS, 0.7)[None]


def test_a_false_fall_is_significant_at_the_rate_of_the_level() -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(200):
        measured = share_fall(*_two_systems(rng, ours_long=0.7), SHORT, LONG, n_resamples=300)
        assert measured is not None
        p_values.append(measured.p_value)
    # Binomial with mean 10 and std 3.1; the bootstrap is slightly anticonservative with so few sentences.
    assert 1 <= sum(p < 0.05 for p in p_values if p is not None) <= 22
    assert 60 <= sum(p < 0.5 for p in p_values if p is not None) <= 140


def test_a_true_fall_is_detected_with_its_size() -> None:
    ours, theirs = _two_systems(np.random.default_rng(5), ours_long=0.6)
    measured = share_fall(ours, theirs, SHORT, LONG)
    assert measured is not None
    assert measured.first == bleu(ours, SHORT) / bleu(theirs, SHORT)
    assert measured.second == bleu(ours, LONG) / bleu(theirs, LONG)
    assert measured.value == measured.second - measured.first
    assert measured.low < measured.value < measured.high < 0
    assert measured.p_value == 1 / 10_001


def test_the_same_system_twice_differs_in_no_resample() -> None:
    system = random_statistics(np.random.default_rng(6), LENGTHS, 0.7)[None]
    difference, fall = bleu_difference(system, system), share_fall(system, system, SHORT, LONG)
    for measured in (difference, fall):
        assert measured is not None
        assert (measured.value, measured.low, measured.high, measured.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_detects_a_small_difference_despite_overlapping_intervals() -> None:
    rng = np.random.default_rng(7)
    baseline = random_statistics(rng, np.full(200, 20), rng.uniform(0.3, 0.95, 200))
    better = baseline.copy()
    better[::4, 2] = np.minimum(better[::4, 2] + 1, 20)
    measured = bleu_difference(better[None], baseline[None])
    assert measured is not None
    assert measured.p_value is not None
    assert measured.p_value < 0.01
    ours, theirs = (
        percentile_interval(Bootstrap(StatisticsTable(Bleu(), [statistics[None]]), 1000).scores(np.full(200, True))[0])
        for statistics in (better, baseline)
    )
    assert ours[0] < theirs[1]


def test_the_difference_has_a_direction() -> None:
    ours, theirs = _two_systems(np.random.default_rng(8), ours_long=0.6)
    worse, better = bleu_difference(ours, theirs), bleu_difference(theirs, ours)
    assert worse is not None
    assert better is not None
    assert (worse.first, worse.second) == (better.second, better.first)
    assert worse.p_value == 1.0
    assert better.p_value == 1 / 10_001


def test_retention_is_a_ratio_with_an_interval_and_without_a_claim() -> None:
    ours, _ = _two_systems(np.random.default_rng(9), ours_long=0.6)
    measured = retention(ours, SHORT, LONG)
    assert measured is not None
    assert measured.value == bleu(ours, LONG) / bleu(ours, SHORT)
    assert measured.low < measured.value < measured.high
    assert measured.p_value is None


def test_groups_without_sentences_or_without_any_bleu_are_not_compared() -> None:
    system = random_statistics(np.random.default_rng(10), LENGTHS, 0.7)[None]
    nobody = np.zeros(120, dtype=np.bool_)
    wrong = system.copy()
    wrong[:, SHORT, 2:6] = 0
    assert share_fall(system, system, SHORT, nobody) is None
    assert share_fall(system, wrong, SHORT, LONG) is None
    assert retention(system, nobody, LONG) is None
    assert retention(wrong, SHORT, LONG) is None
    assert bleu_difference(system[:, nobody], system[:, nobody]) is None


def test_a_resample_without_a_ratio_counts_against_the_claim() -> None:
    """One short sentence of three has the baseline's only match; (2/3)^3 of the resamples miss it."""
    short = np.array([True, True, True, False, False, False])
    baseline = random_statistics(np.random.default_rng(11), np.full(6, 20), 0.9)[None]
    baseline[:, :2, 2:6] = 0
    system = random_statistics(np.random.default_rng(12), np.full(6, 20), 0.9)[None]
    system[:, ~short, 2:6] = 0
    measured = share_fall(system, baseline, short, ~short)
    assert measured is not None
    assert measured.p_value == pytest.approx((2 / 3) ** 3, abs=0.02)

"""Simulations of the coverage of intervals and of the false positive rate of tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seq2attn.evaluation.differences import find_differences
from seq2attn.evaluation.lengths import EVERY_LENGTH, Bins, Lengths
from seq2attn.evaluation.measure import MeasureSettings, measure_tables
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import Bootstrap, Clusters, StatisticsTable, expanded_interval
from tests.evaluation_samples import random_statistics

BLEU = Bleu()
N_SAMPLES = 2_000
N_RESAMPLES = 500

Draw = Callable[[np.random.Generator, int], Statistics]


def draw_lengths(rng: np.random.Generator, n: int) -> Lengths:
    return rng.integers(5, 60, n)


def draw(rng: np.random.Generator, n: int) -> Statistics:
    """One output: easy and hard sentences of many lengths."""
    lengths = draw_lengths(rng, n)
    return random_statistics(rng, lengths, rng.uniform(0.4, 0.95, n))


def draw_seeds(rng: np.random.Generator, n: int, n_seeds: int, std: float) -> Statistics:
    """Outputs of trainings of varying quality, on sentences that are equally hard for all of them."""
    lengths, ease = draw_lengths(rng, n), rng.uniform(0.4, 0.95, n)
    offsets = rng.normal(0.0, std, n_seeds)
    return np.stack([random_statistics(rng, lengths, np.clip(ease + offset, 0.0, 1.0)) for offset in offsets])


def coverage(truth: float, n: int, sample: Callable[[np.random.Generator], Statistics]) -> float:
    """The rate at which intervals contain `truth`."""
    rng = np.random.default_rng(n)
    everything = np.full(n, True)
    covered = 0
    for number in range(N_SAMPLES):
        resampled = Bootstrap(StatisticsTable(BLEU, [sample(rng)]), N_RESAMPLES, seed=number).scores(everything)[0]
        low, high = expanded_interval(resampled, n)
        covered += low <= truth <= high
    return covered / N_SAMPLES


def true_bleu() -> float:
    return BLEU.score(draw(np.random.default_rng(0), 400_000).sum(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 500])
def test_intervals_cover_the_true_bleu_at_their_level(n: int) -> None:
    rate = coverage(true_bleu(), n, lambda rng: draw(rng, n)[None])
    print(f"{n} sentences: {rate:.1%} covered")
    assert 0.93 <= rate <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("std", [0.005, 0.02])
@pytest.mark.parametrize(("n_seeds", "highest"), [(2, 0.995), (3, 0.975), (5, 0.975), (10, 0.975)])
def test_intervals_over_seeds_cover_the_mean_of_all_trainings(n_seeds: int, highest: float, std: float) -> None:
    """Trainings that vary less than samples of sentences (std 0.7 BLEU), and trainings that vary more (2.8).

    With two trainings the interval is too wide: the sampling noise of each output's sentences counts twice.
    """
    rng = np.random.default_rng(0)
    truth = float(np.mean([BLEU.score(draw_seeds(rng, 20_000, 1, std)[0].sum(axis=0)) for _ in range(400)]))
    rate = coverage(truth, 400, lambda rng: draw_seeds(rng, 400, n_seeds, std))
    print(f"{n_seeds} seeds, std {std}: {rate:.1%} covered")
    assert 0.93 <= rate <= highest


def draw_documents(rng: np.random.Generator, n_documents: int) -> tuple[Statistics, Clusters]:
    """One output of documents of 5 to 35 sentences, which are easier or harder together."""
    clusters = np.repeat(np.arange(n_documents), rng.integers(5, 36, n_documents))
    ease = rng.normal(0.7, 0.08, n_documents)[clusters] + rng.uniform(-0.15, 0.15, len(clusters))
    return random_statistics(rng, draw_lengths(rng, len(clusters)), np.clip(ease, 0.05, 0.98)), clusters


@pytest.mark.slow
@pytest.mark.parametrize(("n_documents", "lowest"), [(15, 0.91), (25, 0.93), (50, 0.93)])
def test_intervals_over_documents_cover_where_those_over_sentences_do_not(n_documents: int, lowest: float) -> None:
    """With few documents of unequal size they cover a little less."""
    rng = np.random.default_rng(0)
    truth = BLEU.score(draw_documents(rng, 20_000)[0].sum(axis=0))
    covered = {"documents": 0, "sentences": 0}
    for number in range(N_SAMPLES):
        statistics, clusters = draw_documents(rng, n_documents)
        everything = np.full(len(clusters), True)
        for unit, units in (("documents", clusters), ("sentences", None)):
            table = StatisticsTable(BLEU, [statistics[None]], units)
            resampled = Bootstrap(table, N_RESAMPLES, seed=number).scores(everything)[0]
            low, high = expanded_interval(resampled, table.n_units(everything))
            covered[unit] += low <= truth <= high
    rates = {unit: number / N_SAMPLES for unit, number in covered.items()}
    print(f"{n_documents} documents: " + ", ".join(f"{rate:.1%} covered by {unit}" for unit, rate in rates.items()))
    assert lowest <= rates["documents"] <= 0.97
    assert rates["sentences"] < 0.8


@pytest.mark.slow
def test_the_slope_of_a_system_without_a_fall_covers_zero() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    lengths = np.repeat([8, 15, 25, 35, 45], [80, 150, 120, 60, 40])
    settings = MeasureSettings(Bins((0, 10, 20, 30, 40)), n_resamples=N_RESAMPLES)
    # Long sentences match n-grams at the same rate as short ones, and there is no brevity penalty.
    for _ in range(N_SAMPLES):
        statistics = random_statistics(rng, lengths, 0.7)
        (system,) = measure_tables(["one"], [StatisticsTable(BLEU, [statistics[None]])], lengths, settings).systems
        assert system.slope is not None
        covered += system.slope.loss_low <= 0.0 <= system.slope.loss_high
    print(f"slope: {covered / N_SAMPLES:.1%} covered")
    assert 0.93 <= covered / N_SAMPLES <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 500])
def test_equally_good_systems_differ_significantly_at_the_rate_of_the_level(n: int) -> None:
    rng = np.random.default_rng(n)
    significant = {"bootstrap": 0, "randomisation": 0}
    for number in range(N_SAMPLES):
        lengths, ease = draw_lengths(rng, n), rng.uniform(0.4, 0.95, n)
        table = StatisticsTable(BLEU, [random_statistics(rng, lengths, ease)[None] for _ in range(2)])
        (difference,) = find_differences(
            table, ["a", "b"], 0, [(EVERY_LENGTH, np.full(n, True))], N_RESAMPLES, seed=number
        )
        assert difference.p_randomisation is not None
        significant["bootstrap"] += difference.p_bootstrap <= 0.05
        significant["randomisation"] += difference.p_randomisation <= 0.05
    rates = {test: count / N_SAMPLES for test, count in significant.items()}
    print(f"{n} sentences: " + ", ".join(f"{test} {rate:.1%}" for test, rate in rates.items()))
    assert 0.03 <= rates["randomisation"] <= 0.07
    # The bootstrap is slightly anticonservative with few sentences.
    assert 0.03 <= rates["bootstrap"] <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("std", [0.005, 0.02])
def test_equally_good_systems_of_three_seeds_differ_no_more_often_than_the_level(std: float) -> None:
    """Two systems with the same std between trainings; estimating each std separately makes the test conservative."""
    rng = np.random.default_rng(4)
    n, significant = 400, 0
    for number in range(N_SAMPLES):
        outputs = draw_seeds(rng, n, 6, std)
        table = StatisticsTable(BLEU, [outputs[:3], outputs[3:]])
        (difference,) = find_differences(
            table, ["a", "b"], 0, [(EVERY_LENGTH, np.full(n, True))], N_RESAMPLES, seed=number
        )
        significant += difference.p_bootstrap <= 0.05
    print(f"three seeds, std {std}: {significant / N_SAMPLES:.1%} significant")
    assert 0 < significant <= 0.06 * N_SAMPLES


@pytest.mark.slow
def test_the_familywise_error_rate_of_all_shown_differences_is_at_most_the_level() -> None:
    rng = np.random.default_rng(2)
    lengths = np.repeat([5, 15, 25, 35, 45], 60)
    groups = [(EVERY_LENGTH, np.full(300, True))]
    groups += [
        (span, Bins((0, 10, 20, 30, 40)).assign(lengths) == place)
        for place, span in enumerate(Bins((0, 10, 20, 30, 40)).ranges())
    ]
    raw, corrected = 0, 0
    samples = N_SAMPLES // 2
    for number in range(samples):
        table = StatisticsTable(BLEU, [random_statistics(rng, lengths, 0.7)[None] for _ in range(4)])
        differences = find_differences(table, list("abcd"), 0, groups, N_RESAMPLES, seed=number)
        raw += any((difference.p_randomisation or 0.0) <= 0.05 for difference in differences)
        corrected += any((difference.p_randomisation_corrected or 0.0) <= 0.05 for difference in differences)
    print(f"one or more of 18 differences: {raw / samples:.1%} uncorrected, {corrected / samples:.1%} corrected")
    assert raw / samples > 0.3
    assert corrected / samples <= 0.07

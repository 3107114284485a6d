"""Whether intervals cover, and tests find nothing where nothing is, as often as they say: by simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seq2attn.evaluation.differences import find_differences
from seq2attn.evaluation.lengths import EVERY_LENGTH, Bins, Lengths
from seq2attn.evaluation.measure import MeasureSettings, measure_tables
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import Bootstrap, StatisticsTable, expanded_interval
from tests.evaluation_samples import random_statistics

BLEU = Bleu()
N_SAMPLES = 2_000
N_RESAMPLES = 500

Draw = Callable[[np.random.Generator, int], Statistics]


def draw_lengths(rng: np.random.Generator, n: int) -> Lengths:
    return rng.integers(5, 60, n)


def draw(rng: np.random.Generator, n: int) -> Statistics:
    """One output: sentences of many lengths, easy and hard ones."""
    lengths = draw_lengths(rng, n)
    return random_statistics(rng, lengths, rng.uniform(0.4, 0.95, n))


def draw_seeds(rng: np.random.Generator, n: int, n_seeds: int, spread: float) -> Statistics:
    """Outputs of trainings that came out differently well, on sentences that are as hard for all of them."""
    lengths, ease = draw_lengths(rng, n), rng.uniform(0.4, 0.95, n)
    better = rng.normal(0.0, spread, n_seeds)
    return np.stack([random_statistics(rng, lengths, np.clip(ease + one, 0.0, 1.0)) for one in better])


def coverage(truth: float, n: int, sample: Callable[[np.random.Generator], Statistics]) -> float:
    """The share of samples whose interval holds `truth`."""
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
def test_intervals_cover_the_true_bleu_as_often_as_they_say(n: int) -> None:
    share = coverage(true_bleu(), n, lambda rng: draw(rng, n)[None])
    print(f"{n} sentences: {share:.1%} covered")
    assert 0.93 <= share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.005, 0.02])
@pytest.mark.parametrize(("n_seeds", "most"), [(2, 0.995), (3, 0.975), (5, 0.975), (10, 0.975)])
def test_intervals_over_seeds_cover_the_mean_of_all_trainings(n_seeds: int, most: float, spread: float) -> None:
    """Where trainings differ less than samples of sentences do (a spread of 0.7 BLEU), and where they do more (2.8).

    Two trainings have an interval that is rather too wide: what chance does to one output's sentences counts twice.
    """
    rng = np.random.default_rng(0)
    truth = float(np.mean([BLEU.score(draw_seeds(rng, 20_000, 1, spread)[0].sum(axis=0)) for _ in range(400)]))
    share = coverage(truth, 400, lambda rng: draw_seeds(rng, 400, n_seeds, spread))
    print(f"{n_seeds} seeds that spread by {spread}: {share:.1%} covered")
    assert 0.93 <= share <= most


@pytest.mark.slow
def test_the_slope_of_a_system_without_a_fall_covers_nought() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    lengths = np.repeat([8, 15, 25, 35, 45], [80, 150, 120, 60, 40])
    settings = MeasureSettings(Bins((0, 10, 20, 30, 40)), n_resamples=N_RESAMPLES)
    # Long sentences have as many n-grams matched as short ones, whose brevity costs nothing here.
    for _ in range(N_SAMPLES):
        statistics = random_statistics(rng, lengths, 0.7)
        (system,) = measure_tables(["one"], [StatisticsTable(BLEU, [statistics[None]])], lengths, settings).systems
        assert system.slope is not None
        covered += system.slope.loss_low <= 0.0 <= system.slope.loss_high
    print(f"slope: {covered / N_SAMPLES:.1%} covered")
    assert 0.93 <= covered / N_SAMPLES <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 500])
def test_equally_good_systems_differ_as_often_as_the_level_allows(n: int) -> None:
    rng = np.random.default_rng(n)
    found = {"bootstrap": 0, "randomisation": 0}
    for number in range(N_SAMPLES):
        lengths, ease = draw_lengths(rng, n), rng.uniform(0.4, 0.95, n)
        table = StatisticsTable(BLEU, [random_statistics(rng, lengths, ease)[None] for _ in range(2)])
        (one,) = find_differences(table, ["a", "b"], 0, [(EVERY_LENGTH, np.full(n, True))], N_RESAMPLES, seed=number)
        assert one.p_randomisation is not None
        found["bootstrap"] += one.p_bootstrap <= 0.05
        found["randomisation"] += one.p_randomisation <= 0.05
    shares = {test: count / N_SAMPLES for test, count in found.items()}
    print(f"{n} sentences: " + ", ".join(f"{test} {share:.1%}" for test, share in shares.items()))
    assert 0.03 <= shares["randomisation"] <= 0.07
    # A little too bold on few sentences, as every bootstrap is.
    assert 0.03 <= shares["bootstrap"] <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.005, 0.02])
def test_equally_good_systems_of_three_seeds_differ_no_oftener_than_the_level_allows(spread: float) -> None:
    """Two systems whose trainings spread alike; that each spread is unknown by itself makes the test too careful."""
    rng = np.random.default_rng(4)
    n, found = 400, 0
    for number in range(N_SAMPLES):
        outputs = draw_seeds(rng, n, 6, spread)
        table = StatisticsTable(BLEU, [outputs[:3], outputs[3:]])
        (one,) = find_differences(table, ["a", "b"], 0, [(EVERY_LENGTH, np.full(n, True))], N_RESAMPLES, seed=number)
        found += one.p_bootstrap <= 0.05
    print(f"three seeds that spread by {spread}: {found / N_SAMPLES:.1%} found")
    assert 0 < found <= 0.06 * N_SAMPLES


@pytest.mark.slow
def test_among_all_differences_that_are_shown_one_is_false_no_oftener_than_the_level() -> None:
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
        found = find_differences(table, list("abcd"), 0, groups, N_RESAMPLES, seed=number)
        raw += any((one.p_randomisation or 0.0) <= 0.05 for one in found)
        corrected += any((one.p_randomisation_corrected or 0.0) <= 0.05 for one in found)
    print(f"one or more of 18 differences: {raw / samples:.1%} uncorrected, {corrected / samples:.1%} corrected")
    assert raw / samples > 0.3
    assert corrected / samples <= 0.07

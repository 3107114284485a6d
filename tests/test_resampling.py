from __future__ import annotations

import numpy as np
import pytest

from seq2attn.evaluation import resampling
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import (
    Bootstrap,
    StatisticsTable,
    expanded_interval,
    halves_sums,
    percentile_interval,
    resample_sums,
    weigh_outputs,
)
from tests.evaluation_samples import random_statistics


def test_a_resample_draws_as_many_sentences_as_there_are() -> None:
    statistics = np.column_stack([np.ones(50), np.arange(50.0)])
    sums = resample_sums(statistics, 400, np.random.default_rng(0))
    assert (sums[:, 0] == 50).all()
    # The standard error of a resample's mean is sqrt(variance / n); over 400 resamples it is a 20th of that.
    standard_error = statistics[:, 1].std() / np.sqrt(50)
    assert abs(sums[:, 1].mean() / 50 - 24.5) < 4 * standard_error / 20
    assert sums[:, 1].std() / 50 == pytest.approx(standard_error, rel=0.15)


def test_a_half_contains_each_sentence_by_an_independent_coin() -> None:
    sums = halves_sums(np.eye(9), 2000, np.random.default_rng(0))
    assert set(np.unique(sums)) == {0.0, 1.0}
    # Rates of heads within five standard errors, and no correlated coins.
    assert abs(sums.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)
    assert abs(np.corrcoef(sums.T) - np.eye(9)).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("sums_of", [resample_sums, halves_sums])
def test_memory_is_bounded_whatever_the_number_of_resamples(monkeypatch: pytest.MonkeyPatch, sums_of) -> None:  # type: ignore[no-untyped-def]
    statistics = np.column_stack([np.ones(40), np.arange(40.0)])
    # Eight rows at a time use complete words of random bits, so the random stream is the same.
    monkeypatch.setattr(resampling, "_CHUNK_BYTES", 8 * 40 * 8)
    in_chunks = sums_of(statistics, 32, np.random.default_rng(2))
    monkeypatch.undo()
    np.testing.assert_array_equal(in_chunks, sums_of(statistics, 32, np.random.default_rng(2)))


def test_percentiles_ignore_undefined_scores() -> None:
    assert percentile_interval(np.array([*range(201), np.nan])) == pytest.approx((5.0, 195.0))


@pytest.mark.parametrize(("n", "t"), [(10, 2.2622), (30, 2.0452), (100, 1.9842), (10**6, 1.95997)])
def test_few_sentences_widen_an_interval_as_students_t_does(n: int, t: float) -> None:
    """For a normal distribution, the ends are sqrt(n / (n - 1)) times the quantile of Student's t (from tables)."""
    normal = np.random.default_rng(0).standard_normal(2_000_000)
    low, high = expanded_interval(normal, n)
    assert (low, high) == pytest.approx((-t * np.sqrt(n / (n - 1)), t * np.sqrt(n / (n - 1))), abs=0.02)


def test_the_interval_of_one_sentence_covers_all_resamples() -> None:
    assert expanded_interval(np.array([1.0, 2.0, 3.0]), 1) == (1.0, 3.0)


def test_a_table_keeps_the_outputs_of_its_systems_separate() -> None:
    rng = np.random.default_rng(1)
    lengths = np.full(60, 20)
    systems = [np.stack([random_statistics(rng, lengths, 0.7) for _ in range(n)]) for n in (2, 1, 3)]
    table = StatisticsTable(Bleu(), systems)
    group = np.arange(60) < 40
    for place, system in enumerate(systems):
        np.testing.assert_array_equal(table.statistics(place), system)
        expected = [Bleu().score(output[group].sum(axis=0)) for output in system]
        assert table.output_scores(group)[place].tolist() == expected


def test_every_system_gets_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    system = random_statistics(rng, np.full(50, 20), 0.7)
    twice = Bootstrap(StatisticsTable(Bleu(), [system[None], system[None]]), 100).scores(np.full(50, True))
    np.testing.assert_array_equal(twice[0], twice[1])


@pytest.mark.parametrize(("n_outputs", "t"), [(2, 12.706), (3, 4.3027), (5, 2.7764), (10, 2.2622)])
def test_the_weighted_mean_over_outputs_follows_students_t(n_outputs: int, t: float) -> None:
    """Half of the central 95 % is t (from tables) times the standard error of the mean."""
    scores = np.random.default_rng(1).normal(30.0, 2.0, n_outputs)
    weights = weigh_outputs(n_outputs, 1_000_000, np.random.default_rng(0))
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-6)
    low, high = np.quantile(scores @ weights, [0.025, 0.975])
    standard_error = scores.std(ddof=1) / np.sqrt(n_outputs)
    assert (low, high) == pytest.approx(
        (scores.mean() - t * standard_error, scores.mean() + t * standard_error), abs=0.02 * t * standard_error
    )


def test_a_single_output_has_weight_one() -> None:
    assert (weigh_outputs(1, 5, np.random.default_rng(0)) == np.ones((1, 5))).all()


def test_seeds_and_sentences_add_their_variances() -> None:
    """Outputs that differ by a fixed amount on every sentence; for 12 outputs Student's t has the variance 11 / 9."""
    rng = np.random.default_rng(3)
    base = random_statistics(rng, np.full(400, 20), 0.7)
    outputs = np.stack([base] * 12)
    for place in range(12):
        outputs[place, :, 2] = np.minimum(outputs[place, :, 2] + place % 4, 20)
    everything = np.full(400, True)
    bleu = StatisticsTable(Bleu(), [outputs]).output_scores(everything)[0]
    alone = Bootstrap(StatisticsTable(Bleu(), [base[None]]), 10_000).scores(everything)[0]
    together = Bootstrap(StatisticsTable(Bleu(), [outputs]), 10_000).scores(everything)[0]
    expected = alone.var() + bleu.var(ddof=1) / 12 * 11 / 9
    assert together.var() == pytest.approx(expected, rel=0.1)
    assert together.mean() == pytest.approx(bleu.mean(), abs=0.1)


def _right_and_wrong() -> tuple[Statistics, Statistics]:
    """Two outputs for 20 sentences: one entirely right, one entirely wrong."""
    right = random_statistics(np.random.default_rng(4), np.full(20, 20), 1.0)
    wrong = right.copy()
    wrong[:, 2:6] = 0
    return right, wrong


def test_outputs_have_the_same_weights_for_all_lengths() -> None:
    bootstrap = Bootstrap(StatisticsTable(Bleu(), [np.stack(_right_and_wrong())]), 200)
    first, second = (bootstrap.scores(np.arange(20) // 10 == half)[0] for half in (0, 1))
    np.testing.assert_allclose(first, second)
    assert 60 < np.count_nonzero(first > 50) < 140


def test_systems_have_separate_weights_unless_they_are_the_same_trainings() -> None:
    right, wrong = _right_and_wrong()
    # What one training gets right the other gets wrong: with the same weights the two means add up to 100.
    table = StatisticsTable(Bleu(), [np.stack([right, wrong]), np.stack([wrong, right])])
    everything = np.full(20, True)
    separate = Bootstrap(table, 200).scores(everything)
    together = Bootstrap(table, 200, same_trainings=True).scores(everything)
    within = (together > 0).all(axis=0)
    assert within.any()
    np.testing.assert_allclose(together.sum(axis=0)[within], 100.0)
    assert abs(np.corrcoef(separate)[0, 1]) < 0.5


def test_no_weight_gives_a_negative_score() -> None:
    scores = Bootstrap(StatisticsTable(Bleu(), [np.stack(_right_and_wrong())]), 1000).scores(np.full(20, True))
    assert scores.min() == 0.0

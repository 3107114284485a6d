from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.evaluation.differences import Difference, find_differences, holm
from seq2attn.evaluation.lengths import EVERY_LENGTH, Range
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import StatisticsTable
from tests.evaluation_samples import random_statistics

LENGTHS = np.full(120, 20)
EVERYTHING = np.full(120, True)


def find(*systems: Statistics, baseline: int = 0, n_trials: int = 400, seed: int = 1) -> tuple[Difference, ...]:
    names = [f"system {place}" for place in range(len(systems))]
    return find_differences(
        StatisticsTable(Bleu(), systems), names, baseline, [(EVERY_LENGTH, EVERYTHING)], n_trials, seed
    )


def output(quality: float, seed: int) -> Statistics:
    return random_statistics(np.random.default_rng(seed), LENGTHS, quality)


@given(p_values=st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_step_down_procedure_of_the_paper(p_values: list[float]) -> None:
    """The paper's procedure: reject the smallest while it is at most level / (number of hypotheses left)."""
    corrected = holm(p_values)
    for level in (0.01, 0.05, 0.5):
        rejected: set[int] = set()
        for rank, place in enumerate(np.argsort(p_values, kind="stable")):
            if (len(p_values) - rank) * p_values[place] > level:
                break
            rejected.add(int(place))
        assert {place for place, p in enumerate(corrected) if p <= level} == rejected


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [([], []), ([0.02], [0.02]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.9, 0.8], [1, 1])],
)
def test_holm_on_paper(p_values: Sequence[float], expected: Sequence[float]) -> None:
    assert holm(p_values) == pytest.approx(expected)


def test_the_same_output_twice_never_differs() -> None:
    system = output(0.7, 1)[None]
    (found,) = find(system, system)
    assert (found.value, found.value_low, found.value_high) == (0.0, 0.0, 0.0)
    assert (found.p_bootstrap, found.p_randomisation) == (1.0, 1.0)


def test_both_tests_detect_a_difference_with_its_sign_and_size() -> None:
    worse, better = output(0.65, 1)[None], output(0.75, 2)[None]
    (up,), (down,) = find(worse, better), find(better, worse)
    assert up.value == Bleu().score(better[0].sum(axis=0)) - Bleu().score(worse[0].sum(axis=0)) == -down.value
    assert 0 < up.value_low < up.value < up.value_high
    assert up.p_bootstrap == up.p_randomisation == down.p_bootstrap == 1 / 401


def test_randomisation_on_few_sentences_agrees_with_counting_all_swaps() -> None:
    """Ten sentences can be swapped in 1,024 ways; the p-value is the proportion with at least this difference."""
    group = np.arange(120) < 10
    first, second = output(0.6, 3), output(0.75, 4)
    bleu = Bleu()
    observed = abs(bleu.score(first[group].sum(axis=0)) - bleu.score(second[group].sum(axis=0)))
    extreme = 0
    for way in range(1024):
        swapped = (way >> np.arange(10) & 1).astype(bool)[:, None]
        left_score, right_score = (
            bleu.score(np.where(swapped, left[group], right[group]).sum(axis=0))
            for left, right in ((first, second), (second, first))
        )
        extreme += abs(left_score - right_score) >= observed - 1e-9
    table = StatisticsTable(bleu, [first[None], second[None]])
    (found,) = find_differences(table, ["a", "b"], 0, [(Range(0, 10), group)], 20_000, 1)
    assert found.n == 10
    assert found.p_randomisation == pytest.approx(extreme / 1024, abs=0.015)


def test_p_values_are_corrected_over_systems_and_buckets() -> None:
    table = StatisticsTable(Bleu(), [output(quality, seed)[None] for seed, quality in enumerate((0.7, 0.72, 0.75))])
    groups = [(EVERY_LENGTH, EVERYTHING), (Range(0, 10), np.arange(120) < 60), (Range(10, None), np.arange(120) >= 60)]
    found = find_differences(table, ["a", "b", "c"], 0, groups, 300, 1)
    assert [(difference.system, difference.low, difference.high, difference.n) for difference in found] == [
        (name, span.low, span.high, int(group.sum())) for span, group in groups for name in ("b", "c")
    ]
    assert [difference.p_bootstrap_corrected for difference in found] == holm(
        [difference.p_bootstrap for difference in found]
    )
    p_values = [difference.p_randomisation for difference in found if difference.p_randomisation is not None]
    assert [difference.p_randomisation_corrected for difference in found] == holm(p_values)


def test_the_baseline_is_any_of_the_systems() -> None:
    systems = [output(quality, seed)[None] for seed, quality in enumerate((0.7, 0.75))]
    (found,) = find(*systems, baseline=1)
    assert (found.system, found.baseline) == ("system 0", "system 1")
    assert found.value < 0


def test_several_outputs_are_resampled_but_not_swapped() -> None:
    one, three = output(0.7, 1)[None], np.stack([output(0.72, seed) for seed in (2, 3, 4)])
    by_one, by_three = find(one, three, output(0.75, 5)[None])
    assert (by_one.p_randomisation, by_one.p_randomisation_corrected) == (None, None)
    assert by_one.p_bootstrap < 1
    assert by_three.p_randomisation is not None
    assert all(found.p_randomisation is None for found in find(three, one))


def test_variation_between_seeds_makes_a_difference_less_certain() -> None:
    baseline = output(0.7, 1)[None]
    similar = np.stack([output(0.73, seed) for seed in (2, 3, 4)])
    varied = np.stack([output(quality, seed) for seed, quality in ((2, 0.63), (3, 0.73), (4, 0.83))])
    (sure,), (unsure,) = find(baseline, similar), find(baseline, varied)
    assert unsure.value_high - unsure.value_low > 2 * (sure.value_high - sure.value_low)
    assert unsure.p_bootstrap > 0.05 > sure.p_bootstrap

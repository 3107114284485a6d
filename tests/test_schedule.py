from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.schema import TrainConfig
from seq2attn.training.schedule import Spent, learning_rate, progress

PEAK = 0.002


def make_config(**settings: Any) -> TrainConfig:
    return TrainConfig(**({"max_steps": 1000, "learning_rate": PEAK, "warmup_steps": 100} | settings))


@pytest.mark.parametrize(
    ("decay", "step", "share", "expected"),
    [
        ("none", 1, 0.0, PEAK / 100),
        ("none", 50, 0.05, PEAK / 2),
        # A budget so short that a fifth of it is less than the warm-up.
        ("none", 5, 0.1, PEAK / 2),
        ("none", 5, 0.2, PEAK),
        ("none", 100, 0.9, PEAK),
        ("none", 900, 0.9, PEAK),
        ("linear", 100, 0.0, PEAK),
        ("linear", 250, 0.25, PEAK * 0.75),
        ("linear", 50, 0.1, PEAK / 2 * 0.9),
        ("linear", 1000, 1.0, 0.0),
        ("cosine", 100, 0.0, PEAK),
        ("cosine", 500, 0.5, PEAK / 2),
        ("cosine", 250, 0.25, PEAK * 0.8535533905932737),
        ("cosine", 1000, 1.0, 0.0),
        ("inverse_sqrt", 50, 0.1, PEAK / 2),
        ("inverse_sqrt", 100, 0.1, PEAK),
        ("inverse_sqrt", 400, 0.4, PEAK / 2),
        ("inverse_sqrt", 10_000, 1.0, PEAK / 10),
    ],
)
def test_learning_rate_by_hand(decay: str, step: int, share: float, expected: float) -> None:
    assert learning_rate(step, share, make_config(decay=decay)) == pytest.approx(expected)


@pytest.mark.parametrize("decay", ["linear", "cosine", "inverse_sqrt", "none"])
def test_without_warm_up_the_first_update_has_the_peak(decay: str) -> None:
    assert learning_rate(1, 0.0, make_config(decay=decay, warmup_steps=0)) == PEAK


@pytest.mark.parametrize("decay", ["linear", "cosine", "inverse_sqrt", "none"])
def test_it_rises_through_warm_up_and_never_after(decay: str) -> None:
    # A budget so long that the decay cannot exceed the warm-up.
    config = make_config(decay=decay, max_steps=20_000)
    rates = [learning_rate(step, (step - 1) / 20_000, config) for step in range(1, 20_001)]
    assert all(before < after for before, after in pairwise(rates[:100]))
    assert all(before >= after for before, after in pairwise(rates[99:]))
    assert all(0.0 < rate <= PEAK for rate in rates)


@given(
    steps=st.integers(0, 2000),
    epochs=st.floats(0, 20, allow_nan=False),
    seconds=st.floats(0, 1200, allow_nan=False),
)
def test_progress_is_the_largest_fraction_and_at_most_one(steps: int, epochs: float, seconds: float) -> None:
    config = make_config(max_steps=1000, max_epochs=10, max_minutes=10.0)
    shares = (steps / 1000, epochs / 10, seconds / 600)
    assert progress(Spent(steps, epochs, seconds), config) == min(1.0, max(shares))


@pytest.mark.parametrize(
    ("budget", "expected"),
    [({"max_steps": 100}, 0.5), ({"max_steps": None, "max_epochs": 4}, 0.25), ({"max_steps": 1, "max_minutes": 9}, 1)],
)
def test_a_missing_budget_does_not_count(budget: dict[str, Any], expected: float) -> None:
    assert progress(Spent(steps=50, epochs=1.0, seconds=60.0), make_config(**budget)) == expected

from __future__ import annotations

import math

import pytest

from seq2attn.config.schema import TrainConfig
from seq2attn.training.guard import Guard

VOCAB_SIZE = 1000
GUESSING = math.log(VOCAB_SIZE)


def make_guard(**settings: int) -> Guard:
    return Guard(TrainConfig.model_validate({"max_steps": 9, "warmup_steps": 0} | settings), VOCAB_SIZE)


def test_failures_count_in_a_row_alone() -> None:
    guard = make_guard(max_failed_updates=3)
    for step, loss in enumerate([None, None, 5.0, None, None], start=1):
        guard.note(step, loss, was_split=False)
        assert guard.reason_to_stop("trouble") is None
    guard.note(6, 5.0, was_split=True)
    assert (
        guard.reason_to_stop("update 6: it was split")
        == "3 updates in a row failed; the last was update 6: it was split"
    )
    assert guard.figures() == {"updates/skipped": 4.0, "updates/split": 1.0}
    assert guard.reason_to_stop(None) is None, "a run that is resumed gets as many tries"


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([GUESSING + 0.01] * 100, True),
        ([GUESSING + 0.01] * 99, False),
        ([GUESSING - 0.01] * 500, False),
        ([*[9.0] * 99, GUESSING - 0.01, *[9.0] * 99], False),
        # A skipped update has no loss, and says nothing about it.
        ([*[9.0] * 50, None, *[9.0] * 50], True),
    ],
)
def test_a_loss_worse_than_guessing_is_borne_for_a_while(losses: list[float | None], stops: bool) -> None:
    guard = make_guard()
    for step, loss in enumerate(losses, start=1):
        guard.note(step, loss, was_split=False)
    assert (guard.reason_to_stop(None) is not None) is stops


def test_warm_up_is_not_judged() -> None:
    guard = make_guard(warmup_steps=200)
    for step in range(1, 300):
        guard.note(step, 50.0, was_split=False)
        assert guard.reason_to_stop(None) is None
    guard.note(300, 50.0, was_split=False)
    assert "uniform guess, 6.91" in str(guard.reason_to_stop(None))


def test_the_counts_come_back() -> None:
    guard, other = make_guard(), make_guard()
    for step, loss in enumerate([None, 50.0, None], start=1):
        guard.note(step, loss, was_split=True)
    other.load_state_dict(guard.state_dict())
    assert other == guard != make_guard()

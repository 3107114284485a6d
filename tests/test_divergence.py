from __future__ import annotations

import math

import pytest

from seq2attn.config.schema import TrainConfig
from seq2attn.training.divergence import DivergenceMonitor

VOCAB_SIZE = 1000
GUESSING = math.log(VOCAB_SIZE)


def make_monitor(**settings: int) -> DivergenceMonitor:
    return DivergenceMonitor(TrainConfig.model_validate({"max_steps": 9, "warmup_steps": 0} | settings), VOCAB_SIZE)


def test_only_consecutive_failures_count() -> None:
    monitor = make_monitor(max_failed_updates=3)
    for step, loss in enumerate([None, None, 5.0, None, None], start=1):
        monitor.record(step, loss, was_split=False)
        assert monitor.reason_to_stop("failure") is None
    monitor.record(6, 5.0, was_split=True)
    assert (
        monitor.reason_to_stop("update 6: it was split")
        == "3 updates in a row failed; the last was update 6: it was split"
    )
    assert monitor.metrics() == {"updates/skipped": 4.0, "updates/split": 1.0}
    assert monitor.reason_to_stop(None) is None, "a resumed run gets the same number of tries"


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([GUESSING + 0.01] * 100, True),
        ([GUESSING + 0.01] * 99, False),
        ([GUESSING - 0.01] * 500, False),
        ([*[9.0] * 99, GUESSING - 0.01, *[9.0] * 99], False),
        # A skipped update has no loss and does not count.
        ([*[9.0] * 50, None, *[9.0] * 50], True),
    ],
)
def test_a_hundred_losses_in_a_row_worse_than_guessing_stop_it(losses: list[float | None], stops: bool) -> None:
    monitor = make_monitor()
    for step, loss in enumerate(losses, start=1):
        monitor.record(step, loss, was_split=False)
    assert (monitor.reason_to_stop(None) is not None) is stops


def test_warm_up_is_not_judged() -> None:
    monitor = make_monitor(warmup_steps=200)
    for step in range(1, 300):
        monitor.record(step, 50.0, was_split=False)
        assert monitor.reason_to_stop(None) is None
    monitor.record(300, 50.0, was_split=False)
    assert "uniform guess, 6.91" in str(monitor.reason_to_stop(None))


def test_the_counts_are_restored() -> None:
    monitor, other = make_monitor(), make_monitor()
    for step, loss in enumerate([None, 50.0, None], start=1):
        monitor.record(step, loss, was_split=True)
    other.load_state_dict(monitor.state_dict())
    assert other == monitor != make_monitor()

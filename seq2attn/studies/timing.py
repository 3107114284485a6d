"""Times that are to be compared: measured in turns, with medians, exponents and intervals over rounds"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.benchmark.machine import synchronize
from seq2attn.evaluation.resampling import N_RESAMPLES, SEED, expanded_interval
from seq2attn.results.study import Estimate
from seq2attn.studies.study import Progress

Values = NDArray[np.float64]

# A single call that is shorter is repeated, because of the clock and of interruptions.
_SHORTEST_SECONDS = 0.02

_Key = TypeVar("_Key", bound=Hashable)


class TimedCall:
    """A call that is measured again and again."""

    def __init__(self, call: Callable[[], object], device: torch.device) -> None:
        """`call` does its work on `device`."""
        self._call, self._device = call, device
        self._repeats = 1

    def warm_up(self) -> float:
        """Call it twice, choose how often a measurement repeats it, and return the seconds of the second time."""
        self._call()
        seconds = self.seconds()
        self._repeats = repeats_of(seconds)
        return seconds

    def seconds(self) -> float:
        """Seconds of one call: the mean over the repetitions of one measurement."""
        synchronize(self._device)
        started = time.perf_counter()
        for _ in range(self._repeats):
            self._call()
        synchronize(self._device)
        return (time.perf_counter() - started) / self._repeats


def repeats_of(seconds: float) -> int:
    """How often a call of so many seconds is repeated for one measurement."""
    return max(1, math.ceil(_SHORTEST_SECONDS / seconds))


def measure_in_turns(
    measures: Mapping[_Key, Callable[[], float]], n_rounds: int, progress: Progress
) -> dict[_Key, Values]:
    """(n_rounds,) results of each of `measures`, which are called in turn, every other round in reverse.

    So a machine that becomes slower affects all of them alike.
    """
    found: dict[_Key, list[float]] = {key: [] for key in measures}
    for number in range(n_rounds):
        for key in list(measures) if number % 2 == 0 else list(measures)[::-1]:
            found[key].append(measures[key]())
        progress("rounds", number + 1, n_rounds)
    return {key: np.array(values) for key, values in found.items()}


def affordable_rounds(first_round_seconds: float, most: int, fewest: int, budget_seconds: float) -> int:
    """As many rounds as fit into `budget_seconds`, from `fewest` to `most`."""
    return min(most, max(fewest, int(budget_seconds / max(first_round_seconds, 1e-9))))


def resampled_medians(rounds: Values) -> Values:
    """Medians (n_resamples, …) of `rounds` (n_rounds, …) over resamples of rounds, the same ones in every call."""
    drawn = np.random.default_rng(SEED).integers(len(rounds), size=(N_RESAMPLES, len(rounds)))
    medians: Values = np.median(rounds[drawn], axis=1)
    return medians


def estimate(name: str, value: float, resampled: Values, n_rounds: int) -> Estimate:
    """`value` with the bootstrap interval of its (n_resamples,) `resampled` values, expanded for few rounds."""
    return Estimate(name, value, *expanded_interval(resampled, n_rounds))


def median_estimate(name: str, rounds: Values) -> Estimate:
    """The median of `rounds` (n_rounds,)."""
    return estimate(name, float(np.median(rounds)), resampled_medians(rounds), len(rounds))


def exact(name: str, value: float) -> Estimate:
    """A value that is counted, and so the same each time."""
    return Estimate(name, value, value, value)


def exponents(lengths: Sequence[float], values: Values) -> Values:
    """For each row of `values` (…, lengths), the least-squares slope of its logarithm over that of the length."""
    logarithms = np.log(np.asarray(lengths, dtype=np.float64))
    centred = logarithms - logarithms.mean()
    slopes: Values = np.log(values) @ centred / (centred @ centred)
    return slopes


def exponent_estimate(name: str, lengths: Sequence[float], rounds: Values) -> Estimate:
    """The exponent of the medians of `rounds` (n_rounds, lengths)."""
    value = float(exponents(lengths, np.median(rounds, axis=0)))
    return estimate(name, value, exponents(lengths, resampled_medians(rounds)), len(rounds))

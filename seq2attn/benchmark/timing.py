"""What is measured, and how often: jobs in turn, round after round, and the median of what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

# Below it a median is no better than a single measurement.
_FEWEST_ROUNDS = 3

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")


class Audience(Protocol):
    """Who is told how far a benchmark is."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def report(self, name: str, finished: int, total: int) -> None:
        """`finished` jobs of `total` are done in the part called `name`."""


@dataclass(frozen=True)
class Spread:
    """Repeated measurements in short."""

    median: float
    lowest: float
    highest: float
    count: int
    """Of how many measurements this is the median."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found), len(found))


@dataclass(frozen=True)
class Timing:
    """One measurement: how long some work took, and how much it was."""

    seconds: float
    tokens: int = 0
    flops: int = 0
    """By the count of `flops.py`."""

    @property
    def tokens_per_second(self) -> float:
        """Real tokens; padding is none."""
        return self.tokens / self.seconds

    @property
    def flops_per_second(self) -> float:
        """Model FLOP/s."""
        return self.flops / self.seconds


def alternate(
    jobs: Mapping[_Key, Callable[[], _Result]], seconds: float, audience: Audience, first_round_counts: bool = False
) -> dict[_Key, list[_Result]]:
    """The results of every job, called in turn (A B C A B C), so that what slows the machine down meets all of them.

    The first round warms up and tells how many fit into `seconds`; at least three are measured. With
    `first_round_counts` it is one of them: for jobs that warm up by themselves.
    """
    results: dict[_Key, list[_Result]] = {key: [] for key in jobs}

    def run_rounds(name: str, rounds: int) -> None:
        total = rounds * len(jobs)
        for index in range(total):
            audience.report(name, index, total)
            key = keys[index % len(keys)]
            results[key].append(jobs[key]())
        audience.report(name, total, total)

    keys = list(jobs)
    started = time.perf_counter()
    run_rounds("first round", 1)
    spent = time.perf_counter() - started
    rounds = max(_FEWEST_ROUNDS - first_round_counts, int((seconds - spent) / spent))
    audience.say(f"the first round took {spent:.1f} s; {rounds} more take about {_duration(rounds * spent)}")
    if not first_round_counts:
        results = {key: [] for key in jobs}
    run_rounds(f"{rounds} rounds", rounds)
    return results


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"

"""Timing in turns, this machine's rate of matrix products, start-up times"""

from __future__ import annotations

import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

import seq2attn
from seq2attn.device import describe_machine

# With fewer rounds, a median is no better than a single measurement.
_FEWEST_ROUNDS = 3

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")


class Audience(Protocol):
    """Receives the progress of a benchmark."""

    def say(self, text: str) -> None:
        """Show a permanent line."""

    def report(self, name: str, finished: int, total: int) -> None:
        """`finished` jobs of `total` are done in the part called `name`."""


@dataclass(frozen=True)
class Spread:
    """Median and range of repeated measurements."""

    median: float
    lowest: float
    highest: float
    count: int
    """The number of measurements."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found), len(found))


_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of ratios, each of two measurements of one round."""

    median: float
    low: float | None
    """95 % interval with `high`; None where there are too few ratios for one."""
    high: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Ratio:
        """The median of at least one value, and its interval.

        The interval reaches from the k-th lowest to the k-th highest, with the largest k for which it holds the true
        median in at least 95 % of cases, whatever the distribution: as each value is above it with probability ½, by
        the binomial distribution. Fewer than six values have none.
        """
        found = sorted(values)
        count, k, missed = len(found), 0, 2 * 0.5 ** len(found)
        while missed <= 1 - _CONFIDENCE:
            k += 1
            missed += 2 * math.comb(count, k) * 0.5**count
        low, high = (found[k - 1], found[-k]) if k else (None, None)
        return cls(statistics.median(found), low, high, count)


@dataclass(frozen=True)
class Timing:
    """One measurement: the time and the amount of some work."""

    seconds: float
    tokens: int = 0
    flops: int = 0
    """By the count of `flops.py`."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens without padding."""
        return self.tokens / self.seconds

    @property
    def flops_per_second(self) -> float:
        """Model FLOP/s."""
        return self.flops / self.seconds


def alternate(
    jobs: Mapping[_Key, Callable[[], _Result]], seconds: float, audience: Audience, first_round_counts: bool = False
) -> dict[_Key, list[_Result]]:
    """The results of every job, called in turn (A B C A B C), so that a slower machine affects all of them alike.

    The first round warms up and estimates how many rounds fit into `seconds`; at least three are measured. With
    `first_round_counts` the first round is also measured, for jobs that warm up by themselves.
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


# Large enough not to be limited by memory, small enough for a fraction of a second on one CPU core.
_PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}
_PRODUCTS = 2


@dataclass(frozen=True)
class Setting:
    """Where and how the benchmark was run."""

    machine: str
    device: str
    threads: int
    versions: dict[str, str]
    command: str

    @classmethod
    def here(cls, device: torch.device, command: str) -> Setting:
        """This process, started by `command`."""
        versions = {"seq2attn": seq2attn.__version__, "torch": torch.__version__, "python": platform.python_version()}
        return cls(describe_machine(device), str(device), torch.get_num_threads(), versions, command)


def synchronize(device: torch.device) -> None:
    """Wait until `device` has finished its work, which runs asynchronously on an accelerator."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class MatrixProducts:
    """Products of two square float32 matrices: an upper bound for the rate of any model on this machine."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.size = _PRODUCT_SIZE.get(device.type, _PRODUCT_SIZE["cpu"])
        self.left, self.right, self.out = (torch.randn(self.size, self.size, device=device) for _ in range(3))

    def __call__(self) -> Timing:
        """A few of them in a row."""
        synchronize(self.device)
        started = time.perf_counter()
        for _ in range(_PRODUCTS):
            torch.mm(self.left, self.right, out=self.out)
        synchronize(self.device)
        return Timing(time.perf_counter() - started, flops=_PRODUCTS * 2 * self.size**3)


def start_help() -> Timing:
    """`seq2attn --help` in a new process."""
    return _time_python("-m", "seq2attn", "--help")


def start_training() -> Timing:
    """Everything that `seq2attn train` imports, in a new process."""
    return _time_python("-c", "import seq2attn.training.train, seq2attn.experiment.pictures")


def _time_python(*arguments: str) -> Timing:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return Timing(time.perf_counter() - started)

"""The claims of the study `cost`, fixed before anything was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.cost.kernels import Family
from seq2attn.studies.cost.measurements import ALONE, RING, Cost
from seq2attn.studies.timing import estimate, exact, exponent_estimate, exponents, resampled_medians

FITTED = 4
"""The longest lengths that were measured; exponents are fitted to them."""
_FEWEST = 3
_FIT = f"by least squares on logarithms, over the {FITTED} longest lengths that were measured, forward and in training"
_TIME = f"The exponent of time over length, {_FIT}; 95 % bootstrap interval over rounds; supported if"
_MEMORY = (
    "The exponent of memory over length, where memory is the most that is held beyond queries, keys and values, "
    f"{_FIT}; it is counted and has no interval; supported if"
)
_IN = "measurement"
QUADRATIC_TIME = StudyClaim(
    "quadratic-time",
    "The time of explicit attention grows with the square of the length",
    f"{_TIME} it is above 1.8.",
    1.8,
    above=True,
    measured_in=_IN,
)
QUADRATIC_MEMORY = StudyClaim(
    "quadratic-memory",
    "The memory of explicit attention grows with the square of the length",
    f"{_MEMORY} it is above 1.8.",
    1.8,
    above=True,
    measured_in=_IN,
)
FUSED_MEMORY = StudyClaim(
    "fused-memory",
    "A fused kernel computes the same with memory that grows with the length alone (Dao et al. 2022)",
    f"{_MEMORY} it is below 1.2 for every fused kernel.",
    1.2,
    above=False,
    measured_in=_IN,
)
FUSED_TIME = StudyClaim(
    "fused-time",
    "A fused kernel saves memory, not operations: its time still grows with the square of the length",
    f"{_TIME} it is above 1.8 for every fused kernel.",
    1.8,
    above=True,
    measured_in=_IN,
)
LINEAR_TIME = StudyClaim(
    "linear-time",
    "With a window, sparse blocks, or linear attention, time grows with the length alone",
    f"{_TIME} it is below 1.2 for each of them.",
    1.2,
    above=False,
    measured_in=_IN,
)
NO_GAIN_WHEN_SHORT = StudyClaim(
    "no-gain-when-short",
    "At the length of a sentence, 64 tokens, these are no faster than full attention",
    "The time of each of them divided by that of full attention in the first fused kernel, at 64 positions, forward "
    "and in training; 95 % bootstrap interval over rounds, the same rounds for both; supported if it is above 1.",
    1.0,
    above=True,
    measured_in=_IN,
)
RING_MEMORY = StudyClaim(
    "ring-memory",
    "Ring attention divides the memory among its processes (Liu et al. 2023)",
    "The most memory that a process of two holds, divided by that of the same computation in one process, at the "
    "longest length that both measured; it is counted and has no interval; supported if it is below 0.75.",
    0.75,
    above=False,
    measured_in=_IN,
)
CLAIMS = (QUADRATIC_TIME, QUADRATIC_MEMORY, FUSED_MEMORY, FUSED_TIME, LINEAR_TIME, NO_GAIN_WHEN_SHORT, RING_MEMORY)


def judge(costs: Sequence[Cost]) -> Iterator[JudgedClaim]:
    """The claims that these measurements can answer."""
    of_time: dict[StudyClaim, Family] = {QUADRATIC_TIME: "explicit", FUSED_TIME: "fused", LINEAR_TIME: "linear"}
    of_memory: dict[StudyClaim, Family] = {QUADRATIC_MEMORY: "explicit", FUSED_MEMORY: "fused"}
    found: dict[StudyClaim, list[Estimate | None]] = {
        **{claim: [time_exponent(cost) for cost in costs if cost.family == kind] for claim, kind in of_time.items()},
        **{
            claim: [memory_exponent(cost) for cost in costs if cost.family == kind] for claim, kind in of_memory.items()
        },
        NO_GAIN_WHEN_SHORT: list(_ratios_when_short(costs)),
        RING_MEMORY: [_ring_ratio(costs)],
    }
    for claim in CLAIMS:
        estimates = [value for value in found[claim] if value is not None]
        if estimates:
            yield judge_in_every_run(claim, estimates)


def time_exponent(cost: Cost) -> Estimate | None:
    """Over the longest lengths; None with too few of them."""
    lengths = cost.lengths[-FITTED:]
    if len(lengths) < _FEWEST:
        return None
    return exponent_estimate(cost.name, lengths, cost.seconds[:, -FITTED:])


def memory_exponent(cost: Cost) -> Estimate | None:
    """Over the longest lengths; None with too few of them, or where memory is not counted."""
    lengths, peaks = cost.lengths[-FITTED:], [peak for peak in cost.peak_bytes[-FITTED:] if peak is not None]
    if len(lengths) < _FEWEST or len(peaks) < len(lengths):
        return None
    return exact(cost.name, float(exponents(lengths, np.array(peaks, dtype=np.float64))))


def _ratios_when_short(costs: Sequence[Cost]) -> Iterator[Estimate]:
    for is_training in (False, True):
        same = [cost for cost in costs if cost.is_training == is_training and cost.lengths]
        full = next((cost for cost in same if cost.family == "fused"), None)
        for cost in same:
            if full is not None and cost.family == "linear":
                times, base = cost.seconds[:, 0], full.seconds[:, 0]
                value = float(np.median(times) / np.median(base))
                resampled = resampled_medians(times) / resampled_medians(base)
                yield estimate(cost.name, value, resampled, len(times))


def _ring_ratio(costs: Sequence[Cost]) -> Estimate | None:
    peaks = {cost.kernel: dict(zip(cost.lengths, cost.peak_bytes, strict=True)) for cost in costs}
    ring, alone = peaks.get(RING, {}), peaks.get(ALONE, {})
    both = sorted(ring.keys() & alone.keys())
    of_ring, of_one = (ring[both[-1]], alone[both[-1]]) if both else (None, None)
    return None if of_ring is None or of_one is None else exact(f"{RING}, {both[-1]:,} positions", of_ring / of_one)

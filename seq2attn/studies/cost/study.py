"""`cost`: what does attention cost as the text grows?

Vaswani et al. 2017, table 1 (the square of the length), Dao et al. 2022 (fused kernels), Beltagy et al. 2020 (a
window), Zaheer et al. 2020 (sparse blocks), Katharopoulos et al. 2020 (linear), Liu et al. 2023 (a ring of processes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from seq2attn.results.study import Estimate, Point, StudyPanel, StudyResult, StudySeries, StudyTable, Value
from seq2attn.studies.cost.claims import CLAIMS, judge, memory_exponent, time_exponent
from seq2attn.studies.cost.kernels import BLOCK, SEEN_BLOCKS, WINDOW
from seq2attn.studies.cost.measurements import D_HEAD, Cost, Sizes, dtype_of, heads_of, measure_costs
from seq2attn.studies.study import MachineStudy, Preset, Progress
from seq2attn.studies.timing import median_estimate

_SIZES = {
    "smoke": Sizes(tuple(64 * 2**power for power in range(5)), rounds=3, budget_seconds=15.0, call_seconds=1.0),
    "quick": Sizes(tuple(64 * 2**power for power in range(9)), rounds=11, budget_seconds=480.0, call_seconds=15.0),
}


class CostStudy(MachineStudy):
    """Time and memory of softmax attention, and of what is said to be cheaper, over the length."""

    name = "cost"
    question = "What does attention cost as the text grows?"
    claims = CLAIMS

    def measure(self, preset: Preset, device: torch.device, progress: Progress) -> StudyResult:
        """Every kernel that `device` has, at every length that fits."""
        sizes = _SIZES[preset]
        costs = measure_costs(sizes, device, progress)
        return StudyResult(
            self.name,
            self.question,
            _setting(costs, sizes, device),
            tuple(judge(costs)),
            (exponents_table(costs), costs_table(costs)),
            tuple(panels(costs)),
            _notes(device),
        )


def _setting(costs: Sequence[Cost], sizes: Sizes, device: torch.device) -> str:
    heads = heads_of(device)
    return (
        f"One text of {sizes.lengths[0]:,} to {sizes.lengths[-1]:,} positions, {heads} head{'s' * (heads > 1)} of "
        f"width {D_HEAD}, {str(dtype_of(device)).removeprefix('torch.')}, {len(costs[0].seconds)} rounds."
    )


def _notes(device: torch.device) -> tuple[str, ...]:
    allocations = {
        "cpu": "the running sum of torch's allocations and deallocations, as its profiler records them during a call",
        "cuda": "torch.cuda.max_memory_allocated during a call",
    }.get(device.type, "not counted on this device")
    return (
        "A round measures every kernel at every length once, every other round in reverse; calls shorter than 20 ms "
        "are repeated, and the time divided. Times are medians over rounds, after warming up. Training is forward and "
        "backward.",
        f"Memory is the most that is held at once beyond queries, keys and values: {allocations}. What a library "
        "allocates without torch is not in it. A length is left out where, growing with the square from the one "
        "before, it would need more than half of the free memory, or too long a call.",
        f"The sliding window sees {WINDOW} keys on either side, block-sparse attention {SEEN_BLOCKS} blocks of {BLOCK} "
        "keys. These two and linear attention compute something else than full attention; a model can be trained with "
        "a window or with linear attention (model.self_attention), to see what that does to its translations.",
        "The processes of the ring share this machine: their time shows what the exchange costs, not what more "
        "machines bring. They compute forward only, as does the running maximum, the same computation in one process.",
        "An interval covers the noise between rounds, not whether a power law holds: an exponent between 1 and 2 can "
        "come from a constant cost that is still felt. Another machine, width or number of heads has other exponents.",
    )


_MS, _MIB = 1e3, 2.0**-20


def exponents_table(costs: Sequence[Cost]) -> StudyTable:
    """A row for each kernel and pass."""
    header = ("kernel", "pass", "time ∝ nˣ, x", "low", "high", "memory ∝ nˣ, x", "longest n", "ms", "MiB")
    rows: list[tuple[Value, ...]] = []
    for cost in costs:
        time, memory = time_exponent(cost), memory_exponent(cost)
        fitted = (None, None, None) if time is None else (time.value, time.low, time.high)
        last: tuple[Value, ...] = (None, None, None)
        if cost.lengths:
            last = (cost.lengths[-1], _MS * float(np.median(cost.seconds[:, -1])), _mib(cost.peak_bytes[-1]))
        rows.append((cost.kernel, _pass(cost), *fitted, None if memory is None else memory.value, *last))
    return StudyTable("exponents", "How time and memory grow, with 95 % intervals", header, tuple(rows))


def costs_table(costs: Sequence[Cost]) -> StudyTable:
    """A row for each kernel, pass and length, with the reason for those that were left out."""
    header = ("kernel", "pass", "n", "ms", "low", "high", "MiB", "left out")
    return StudyTable("costs", "Time and memory at each length", header, tuple(_rows(costs)), in_full=True)


def _rows(costs: Sequence[Cost]) -> Iterator[tuple[Value, ...]]:
    for cost in costs:
        for time, length, peak in zip(_times(cost), cost.lengths, cost.peak_bytes, strict=True):
            yield cost.kernel, _pass(cost), length, time.value, time.low, time.high, _mib(peak), ""
        for length, reason in cost.skipped.items():
            yield cost.kernel, _pass(cost), length, None, None, None, None, reason


def _times(cost: Cost) -> list[Estimate]:
    """Milliseconds at each length."""
    return [median_estimate(cost.name, _MS * rounds) for rounds in cost.seconds.T]


def _pass(cost: Cost) -> str:
    return "training" if cost.is_training else "forward"


def _mib(peak: int | None) -> float | None:
    return None if peak is None else _MIB * peak


def panels(costs: Sequence[Cost]) -> Iterator[StudyPanel]:
    """Time and memory over length, forward and in training, on logarithmic axes; the legend has the exponents."""
    for title, is_training in (("forward", False), ("training", True)):
        chosen = [cost for cost in costs if cost.is_training == is_training and cost.lengths]
        yield _panel(f"Time, {title}", "milliseconds", [_time_series(cost) for cost in chosen])
    for title, is_training in (("forward", False), ("training", True)):
        chosen = [cost for cost in costs if cost.is_training == is_training and cost.lengths]
        counted = [cost for cost in chosen if None not in cost.peak_bytes]
        yield _panel(f"Memory, {title}", "MiB beyond queries, keys and values", [_memory_series(c) for c in counted])


def _panel(title: str, unit: str, series: Sequence[StudySeries]) -> StudyPanel:
    return StudyPanel(title, "positions n", unit, tuple(series), x_scale="log", y_scale="log")


def _time_series(cost: Cost) -> StudySeries:
    times = zip(cost.lengths, _times(cost), strict=True)
    points = tuple(Point(length, time.value, time.low, time.high) for length, time in times)
    return StudySeries(_with_exponent(cost.kernel, time_exponent(cost)), points)


def _memory_series(cost: Cost) -> StudySeries:
    points = [
        Point(length, _MIB * peak)
        for length, peak in zip(cost.lengths, cost.peak_bytes, strict=True)
        if peak is not None
    ]
    return StudySeries(_with_exponent(cost.kernel, memory_exponent(cost)), tuple(points))


def _with_exponent(name: str, exponent: Estimate | None) -> str:
    """The name with the exponent and, where it is measured and not counted, its interval."""
    if exponent is None:
        return name
    is_exact = exponent.low is None or exponent.high is None or exponent.low == exponent.high
    interval = "" if is_exact else f" [{exponent.low:.2f}, {exponent.high:.2f}]"
    return f"{name}: x = {exponent.value:.2f}{interval}"

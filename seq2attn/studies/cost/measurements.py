"""Time and memory of each kernel at each length, and which of them are left out"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from seq2attn.errors import is_out_of_memory
from seq2attn.studies.cost.kernels import Family, Kernel, kernels_of
from seq2attn.studies.cost.memory import free_bytes, peak_bytes
from seq2attn.studies.cost.ring import RingProcesses, RunningSoftmax, Text
from seq2attn.studies.study import Progress
from seq2attn.studies.timing import TimedCall, Values, affordable_rounds, measure_in_turns, repeats_of

D_HEAD = 64
N_PROCESSES = 2
ALONE = "running maximum"
RING = f"ring, {N_PROCESSES} processes"
_FEWEST_ROUNDS = 5


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    lengths: tuple[int, ...]
    """Ascending."""
    rounds: int
    """The most; fewer where they take longer than `budget_seconds`."""
    budget_seconds: float
    call_seconds: float
    """A length at which one call would take longer is left out."""


@dataclass(frozen=True)
class Cost:
    """One kernel, forward or in training, at all lengths that it was measured at."""

    kernel: str
    family: Family | None
    is_training: bool
    lengths: tuple[int, ...]
    seconds: Values
    """(rounds, lengths)"""
    peak_bytes: tuple[int | None, ...]
    """At each length; None where torch does not count."""
    skipped: Mapping[int, str]
    """Why a length was left out."""

    @property
    def name(self) -> str:
        """The kernel and the pass."""
        return f"{self.kernel}, {'training' if self.is_training else 'forward'}"


@dataclass(frozen=True)
class Ready:
    """A kernel at one length, warmed up."""

    seconds: float
    peak_bytes: int | None
    measure: Callable[[], float]
    """Seconds of a call."""


@dataclass(frozen=True, eq=False)
class _Subject:
    """A kernel, forward or in training."""

    kernel: str
    family: Family | None
    is_training: bool
    prepare: Callable[[int], Ready]
    """Takes a length."""


def dtype_of(device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA, whose fused kernels have no float32; float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def heads_of(device: torch.device) -> int:
    """Enough to occupy an accelerator; one on a CPU, so that the longest texts fit."""
    return 16 if device.type == "cuda" else 1


def measure_costs(sizes: Sizes, device: torch.device, progress: Progress) -> list[Cost]:
    """The cost of every kernel of `device`.

    Raises: TrainingError where a process of the ring ends.
    """
    with ExitStack() as stack:
        subjects = list(_kernel_subjects(device))
        if device.type == "cpu":
            threads = max(1, torch.get_num_threads() // N_PROCESSES)
            ring = stack.enter_context(RingProcesses(N_PROCESSES, threads))
            subjects += [_alone(), _ring(ring)]
        limit = Limit(free_bytes(device) // 2, sizes.call_seconds)
        prepared = []
        for number, subject in enumerate(subjects, start=1):
            prepared.append(prepare_lengths(subject.prepare, sizes.lengths, limit))
            progress("warming up", number, len(subjects))
        measures = {
            (subject, length): ready.measure
            for subject, (found, _) in zip(subjects, prepared, strict=True)
            for length, ready in found.items()
        }
        seconds = sum(ready.seconds * repeats_of(ready.seconds) for found, _ in prepared for ready in found.values())
        n_rounds = affordable_rounds(seconds, sizes.rounds, min(_FEWEST_ROUNDS, sizes.rounds), sizes.budget_seconds)
        times = measure_in_turns(measures, n_rounds, progress)
    return [
        Cost(
            subject.kernel,
            subject.family,
            subject.is_training,
            tuple(found),
            np.stack([times[subject, length] for length in found], axis=1) if found else np.empty((n_rounds, 0)),
            tuple(ready.peak_bytes for ready in found.values()),
            skipped,
        )
        for subject, (found, skipped) in zip(subjects, prepared, strict=True)
    ]


@dataclass(frozen=True)
class Limit:
    """What one call may take."""

    peak_bytes: int
    seconds: float

    def why_not(self, peak: float | None, seconds: float) -> str | None:
        """Why a call that takes so much is left out; None where it is not."""
        if peak is not None and peak > self.peak_bytes:
            return f"would need {peak / 2**30:.1f} GiB, and {self.peak_bytes / 2**30:.1f} GiB are allowed"
        if seconds > self.seconds:
            return f"would take {seconds:.0f} s, and {self.seconds:.0f} s are allowed"
        return None


def prepare_lengths(
    prepare: Callable[[int], Ready], lengths: Sequence[int], limit: Limit
) -> tuple[dict[int, Ready], dict[int, str]]:
    """What is ready to be measured at each length, and why the other lengths are left out.

    What a length will take is estimated from the one before, as if it grew with the square.
    """
    found: dict[int, Ready] = {}
    skipped: dict[int, str] = {}
    for length in lengths:
        reason = None
        if found:
            last, ready = list(found.items())[-1]
            growth = (length / last) ** 2
            peak = None if ready.peak_bytes is None else ready.peak_bytes * growth
            reason = limit.why_not(peak, ready.seconds * growth)
        try:
            if reason is None:
                found[length] = prepare(length)
                continue
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = "out of memory"
        skipped[length] = reason
    return found, skipped


def _kernel_subjects(device: torch.device) -> Iterator[_Subject]:
    for kernel in kernels_of(device, dtype_of(device)):
        for is_training in (False, True):
            prepare = partial(_prepare_kernel, kernel, is_training, device)
            yield _Subject(kernel.name, kernel.family, is_training, prepare)


def _prepare_kernel(kernel: Kernel, is_training: bool, device: torch.device, length: int) -> Ready:
    shape, dtype = (1, heads_of(device), length, D_HEAD), dtype_of(device)
    inputs = [torch.randn(shape, device=device, dtype=dtype, requires_grad=is_training) for _ in range(3)]
    upstream = torch.ones(shape, device=device, dtype=dtype)
    attend = kernel.build(length, device)

    def forward() -> None:
        with torch.no_grad():
            attend(*inputs)

    def forward_and_backward() -> None:
        torch.autograd.grad(attend(*inputs), inputs, upstream)

    return _ready(forward_and_backward if is_training else forward, device)


def _ready(call: Callable[[], None], device: torch.device) -> Ready:
    timed = TimedCall(call, device)
    seconds = timed.warm_up()
    return Ready(seconds, peak_bytes(call, device), timed.seconds)


def _alone() -> _Subject:
    """The computation of a ring in this process, which is a ring of one."""

    @torch.no_grad()
    def attend(query: Tensor, keys: Tensor, values: Tensor) -> None:
        softmax = RunningSoftmax(query)
        softmax.add(keys, values)
        softmax.context()

    device = torch.device("cpu")
    return _Subject(
        ALONE,
        None,
        False,
        lambda length: _ready(partial(attend, *Text(heads_of(device), length, D_HEAD).tensors()), device),
    )


def _ring(ring: RingProcesses) -> _Subject:
    """The slowest of the processes, and the one that holds the most."""

    def prepare(length: int) -> Ready:
        text = Text(heads_of(torch.device("cpu")), length, D_HEAD)
        answers = ring.attend(text)
        seconds = max(answer.seconds for answer in answers)
        repeats = repeats_of(seconds)
        return Ready(
            seconds,
            max(answer.peak_bytes for answer in answers),
            lambda: max(answer.seconds for answer in ring.attend(text, repeats)),
        )

    return _Subject(RING, None, False, prepare)

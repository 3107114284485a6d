"""The study of cost: kernels against the equation, ring attention, memory, what is left out, verdicts, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2attn.studies.cost.claims import FUSED_MEMORY, LINEAR_TIME, NO_GAIN_WHEN_SHORT, QUADRATIC_TIME, judge
from seq2attn.studies.cost.kernels import BLOCK, SEEN_BLOCKS, Family, explicit_attention, kernels_of, seen_blocks
from seq2attn.studies.cost.measurements import ALONE, RING, Cost, Limit, Ready, prepare_lengths
from seq2attn.studies.cost.memory import peak_bytes
from seq2attn.studies.cost.ring import RingProcesses, RunningSoftmax, Text
from seq2attn.studies.cost.study import costs_table, exponents_table, panels
from seq2attn.studies.timing import TimedCall, exponents, measure_in_turns, median_estimate
from tests.command_line import call

CPU = torch.device("cpu")
LENGTHS = (64, 128, 256, 512)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_kernel_of_full_attention_computes_the_equation(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, 2, 128, 16, dtype=torch.float64) for _ in range(3))
    expected = torch.empty_like(query)
    for i in range(128):
        weights = torch.exp((query[:, :, i, None] * keys).sum(dim=-1) / math.sqrt(16))
        expected[:, :, i] = (weights[..., None] * values).sum(dim=2) / weights.sum(dim=-1, keepdim=True)
    names = []
    for kernel in kernels_of(CPU, dtype):
        if kernel.family != "linear":
            found = kernel.build(128, CPU)(*(tensor.to(dtype) for tensor in (query, keys, values)))
            torch.testing.assert_close(found, expected.to(dtype))
            names.append(kernel.name)
    assert names == ["explicit", "SDPA math", "SDPA flash"]


def test_block_sparse_attention_is_full_attention_to_the_seen_blocks() -> None:
    torch.manual_seed(0)
    length = 6 * BLOCK
    seen = seen_blocks(6)
    assert seen.shape == (6, SEEN_BLOCKS)
    query, keys, values = (torch.randn(1, 2, length, 8, dtype=torch.float64) for _ in range(3))
    expected = torch.empty_like(query)
    for i in range(length):
        chosen = np.concatenate([np.arange(block * BLOCK, (block + 1) * BLOCK) for block in seen[i // BLOCK]])
        assert {0, i // BLOCK} <= set(seen[i // BLOCK].tolist())
        expected[:, :, i] = explicit_attention(query[:, :, i : i + 1], keys[:, :, chosen], values[:, :, chosen])[
            :, :, 0
        ]
    (kernel,) = (kernel for kernel in kernels_of(CPU, torch.float64) if kernel.name == "block-sparse")
    torch.testing.assert_close(kernel.build(length, CPU)(query, keys, values), expected)


def test_few_blocks_are_all_seen() -> None:
    assert seen_blocks(1).tolist() == [[0]]
    assert seen_blocks(3).tolist() == [[0, 1, 2]] * 3


def test_a_running_maximum_is_exact_for_large_scores() -> None:
    torch.manual_seed(0)
    query, keys, values = (torch.randn(1, 2, 1100, 8, dtype=torch.float64) for _ in range(3))
    softmax = RunningSoftmax(query * 200)
    for part in range(0, 1100, 300):
        softmax.add(keys[:, :, part : part + 300], values[:, :, part : part + 300])
    torch.testing.assert_close(softmax.context(), explicit_attention(query * 200, keys, values))


@pytest.mark.parametrize("n_processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ring_attention_equals_full_attention(n_processes: int) -> None:
    with RingProcesses(n_processes, threads=1) as ring:
        for text in (Text(2, 8 * n_processes, 16), Text(1, 1024 * n_processes, 8)):
            answers = ring.attend(text, repeats=2, with_context=True)
            found = np.concatenate([answer.context for answer in answers if answer.context is not None], axis=2)
            expected = explicit_attention(*(tensor.double() for tensor in text.tensors())).numpy()
            assert np.abs(found - expected).max() < 1e-5
            assert all(answer.seconds > 0 and answer.peak_bytes > 0 for answer in answers)


def test_memory_is_what_torch_holds_at_once() -> None:
    def allocate() -> None:
        first = torch.empty(1000, dtype=torch.float32)
        del first
        second, third = torch.empty(500), torch.empty(700)
        del second, third

    assert peak_bytes(allocate, CPU) == 4800
    query, keys, values = (torch.randn(1, 1, 256, 16) for _ in range(3))
    explicit = peak_bytes(lambda: explicit_attention(query, keys, values), CPU)
    assert explicit is not None
    assert 2 * 4 * 256**2 <= explicit <= 3 * 4 * 256**2


def test_lengths_that_would_not_fit_are_left_out_and_say_why() -> None:
    prepared: list[int] = []

    def prepare(length: int) -> Ready:
        prepared.append(length)
        return Ready(length / 1e3, length * 2**20, lambda: 0.0)

    found, skipped = prepare_lengths(prepare, (256, 512, 1024, 4096), Limit(2**31, 60.0))
    assert list(found) == prepared == [256, 512, 1024]
    assert skipped == {4096: "would need 16.0 GiB, and 2.0 GiB are allowed"}
    _, skipped = prepare_lengths(prepare, (256, 512, 1024), Limit(2**40, 1.5))
    assert skipped == {1024: "would take 2 s, and 2 s are allowed"}


def test_running_out_of_memory_leaves_a_length_out() -> None:
    def prepare(length: int) -> Ready:
        if length > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return Ready(1e-3, None, lambda: 0.0)

    found, skipped = prepare_lengths(prepare, LENGTHS, Limit(1, 1e9))
    assert list(found) == [64]
    assert set(skipped.values()) == {"out of memory"}


def cost(kernel: str, family: Family | None, power: float, memory_power: float, scale: float = 1e-6) -> Cost:
    """A kernel whose time and memory follow power laws, with noise of 1 %."""
    rng = np.random.default_rng(len(kernel))
    lengths = np.array(LENGTHS, dtype=np.float64)
    seconds = scale * lengths**power * np.exp(0.01 * rng.standard_normal((7, 4)))
    peaks = tuple(round(100 * length**memory_power) for length in LENGTHS)
    return Cost(kernel, family, True, LENGTHS, seconds, peaks, {1024: "would take 99 s, and 9 s are allowed"})


def test_claims_are_judged_by_exponents_and_ratios() -> None:
    costs = [
        cost("explicit", "explicit", 2.0, 2.0),
        cost("flash", "fused", 1.95, 1.5),
        cost("window", "linear", 1.0, 1.0, 2e-3),
        cost("linear", "linear", 1.5, 1.0, 2e-3),
        cost(ALONE, None, 2.0, 1.0),
        cost(RING, None, 2.0, 0.5),
    ]
    found = {claim.claim: claim for claim in judge(costs)}
    assert found[QUADRATIC_TIME].verdict == "supported"
    assert found[FUSED_MEMORY].verdict == "not_supported"
    assert found[FUSED_MEMORY].worst.value == pytest.approx(1.5, abs=0.01)
    assert found[LINEAR_TIME].verdict == "not_supported"
    assert found[LINEAR_TIME].worst.run == "linear, training"
    assert found[NO_GAIN_WHEN_SHORT].verdict == "supported"
    assert [claim.claim.name for claim in judge(costs[:1])] == ["quadratic-time", "quadratic-memory"]
    assert [claim.claim.name for claim in judge(costs)][-1] == "ring-memory"


def test_tables_and_figure_show_exponents_and_what_was_left_out() -> None:
    costs = [cost("explicit", "explicit", 2.0, 2.0), cost("window", "linear", 1.0, 1.0)]
    rows = exponents_table(costs).rows
    assert rows[0][:2] == ("explicit", "training")
    assert rows[0][2] == pytest.approx(2.0, abs=0.05)
    assert rows[0][5] == pytest.approx(2.0, abs=0.01)
    assert [row[-1] for row in costs_table(costs).rows].count("would take 99 s, and 9 s are allowed") == 2
    drawn = list(panels(costs))
    assert [panel.title for panel in drawn] == [
        "Time, forward",
        "Time, training",
        "Memory, forward",
        "Memory, training",
    ]
    assert drawn[1].x_scale == drawn[1].y_scale == "log"
    assert drawn[3].series[1].name == "window: x = 1.00"
    assert drawn[1].series[0].name.startswith("explicit: x = 2.0")


def test_exponents_are_those_of_power_laws() -> None:
    lengths = np.array([10.0, 30.0, 70.0])
    assert exponents(lengths, 5 * lengths**1.7) == pytest.approx(1.7)
    assert exponents(lengths, np.stack([lengths**0.0, lengths**2])) == pytest.approx([0.0, 2.0])


def test_an_interval_holds_the_median_and_an_outlier_moves_it_little() -> None:
    rounds = np.array([1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 9.0])
    found = median_estimate("a call", rounds)
    assert found.value == 1.0
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1.0 <= found.high


def test_rounds_go_back_and_forth() -> None:
    order: list[str] = []

    def measure(name: str) -> Iterator[float]:
        while True:
            order.append(name)
            yield float(len(order))

    measures = {name: measure(name).__next__ for name in "ab"}
    found = measure_in_turns(measures, 3, lambda name, finished, total: None)
    assert "".join(order) == "abbaab"
    assert found["a"].tolist() == [1.0, 4.0, 5.0]


def test_short_calls_are_repeated_within_a_measurement() -> None:
    calls: list[int] = []
    timed = TimedCall(lambda: calls.append(1), CPU)
    timed.warm_up()
    before = len(calls)
    assert timed.seconds() < 1e-3
    assert len(calls) - before > 100


@pytest.mark.slow
def test_smoke_measures_everything_within_a_minute(tmp_path: Path) -> None:
    done = call("study", "cost", "--preset", "smoke", "--device", "cpu", "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    kernels = {row[0] for row in result["tables"][0]["rows"]}
    assert {"explicit", "SDPA flash", "sliding window", "block-sparse", "linear attention", ALONE, RING} <= kernels
    assert len(result["claims"]) == 7
    assert (tmp_path / "figure.png").is_file()

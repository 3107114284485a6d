"""The study of parallel work: chains of operations, times, verdicts, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2attn.studies.parallel.chain import longest_chain
from seq2attn.studies.parallel.measurements import (
    RNN,
    TRANSFORMER,
    Cell,
    Grid,
    Steps,
    Times,
    count_steps,
    measure_times,
)
from seq2attn.studies.parallel.study import judge, panels, ratio_estimate, ratios_table, steps_table, times_table
from tests.command_line import call

GRID = Grid((4, 8), (1, 3), d_model=8, rounds=2, budget_seconds=1.0, max_tokens=12)


def quiet(name: str, finished: int, total: int) -> None:
    """Show nothing."""


def test_a_chain_is_the_longest_path_to_any_result() -> None:
    first, second = torch.ones(2, 2), torch.ones(2, 2)

    def compute() -> None:
        once = first + second
        twice = (once * 2).t()  # a view computes nothing
        torch.cat([first, twice]).exp_()
        second.sin()

    assert longest_chain(compute) == 4
    assert longest_chain(lambda: [first.sin(), second.sin()]) == 1


def test_a_loop_is_a_chain_and_a_product_of_all_rows_is_not() -> None:
    rows, weights = torch.randn(7, 3), torch.randn(3, 3)

    def loop() -> None:
        state, states = torch.zeros(3), torch.empty(7, 3)
        for number in range(7):
            state = weights @ state
            states[number] = state

    assert longest_chain(loop) >= 7
    assert longest_chain(lambda: rows @ weights) == 1


def test_only_the_chain_of_an_rnn_grows_with_the_sentence() -> None:
    steps = {(found.model, found.length): found for found in count_steps((4, 8, 12), quiet)}
    chains = [[steps[name, length].chain for length in (4, 8, 12)] for name in (RNN, TRANSFORMER)]
    assert chains[1][0] == chains[1][1] == chains[1][2] > 20
    assert chains[0][2] - chains[0][1] == chains[0][1] - chains[0][0] > 4 * 6
    assert [steps[RNN, length].recurrent_steps for length in (4, 8)] == [24, 48]
    assert steps[TRANSFORMER, 8].recurrent_steps == 0


def test_both_models_are_timed_on_every_batch_that_is_small_enough() -> None:
    times = measure_times(GRID, torch.device("cpu"), quiet)
    assert set(times) == {RNN, TRANSFORMER}
    for model in times.values():
        assert set(model.seconds) == set(model.flops) == {Cell(4, 1), Cell(4, 3), Cell(8, 1)}
        assert all(rounds.shape == (2,) and (rounds > 0).all() for rounds in model.seconds.values())
        assert model.flops[Cell(4, 3)] == 3 * model.flops[Cell(4, 1)]
    rows = times_table(times, GRID).rows
    assert rows[-1] == ("both", 8, 3, None, None, None, None, "more than 12 tokens in an update")
    assert len(rows) == 7
    assert [row[:2] for row in ratios_table(times).rows] == [(4, 1), (4, 3), (8, 1)]
    drawn = list(panels([Steps(RNN, 4, 9, 8), Steps(TRANSFORMER, 4, 5, 0)], times))
    assert [len(panel.series) for panel in drawn] == [4, 2, 2]


def times_of(model: str, per_token: dict[Cell, float]) -> Times:
    rng = np.random.default_rng(len(model))
    seconds = {
        cell: cell.length * cell.pairs * time * np.exp(0.01 * rng.standard_normal(7))
        for cell, time in per_token.items()
    }
    return Times(model, 1, seconds, dict.fromkeys(seconds, 1))


def test_claims_compare_the_models() -> None:
    steps = [Steps(name, n, chain, 0) for n in (16, 32, 64, 128) for name, chain in ((RNN, 10 * n), (TRANSFORMER, 50))]
    cells = [Cell(16, 1), Cell(64, 1), Cell(64, 32), Cell(128, 1)]
    times = {
        RNN: times_of(RNN, dict(zip(cells, (2.0, 2.0, 0.5, 2.0), strict=True))),
        TRANSFORMER: times_of(TRANSFORMER, dict(zip(cells, (1.0, 0.5, 0.4, 0.4), strict=True))),
    }
    found = {claim.claim.name: claim for claim in judge(steps, times)}
    assert {claim.verdict for claim in found.values()} == {"supported"}
    assert found["chain-grows"].worst.value == pytest.approx(1.0)
    assert found["chain-stays"].worst.value == pytest.approx(0.0)
    assert found["faster-alone"].worst.value == pytest.approx(4.0, rel=0.03)
    assert found["faster-alone"].worst.run == "64 tokens, 1 pair"
    assert found["more-when-longer"].worst.value == pytest.approx(2.5, rel=0.03)
    assert found["less-in-batches"].worst.run == "64 tokens, 1 pair against 64 tokens, 32 pairs"
    slower = {RNN: times[TRANSFORMER], TRANSFORMER: times[RNN]}
    slower = {name: Times(name, 1, model.seconds, model.flops) for name, model in slower.items()}
    verdicts = {claim.claim.name: claim.verdict for claim in judge(steps, slower)}
    assert verdicts["faster-alone"] == verdicts["more-when-longer"] == "not_supported"
    assert ratio_estimate(slower, Cell(64, 1)).value == pytest.approx(0.25, rel=0.03)


def test_rows_of_steps_are_in_order() -> None:
    table = steps_table([Steps(RNN, 8, 9, 8), Steps(TRANSFORMER, 8, 5, 0), Steps(RNN, 4, 5, 4)])
    assert [row[:2] for row in table.rows] == [(RNN, 4), (RNN, 8), (TRANSFORMER, 8)]


@pytest.mark.slow
def test_smoke_measures_both_models_within_a_minute(tmp_path: Path) -> None:
    done = call("study", "parallel", "--preset", "smoke", "--device", "cpu", "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    verdicts = {claim["claim"]["name"]: claim["verdict"] for claim in json.loads(done.stdout)["claims"]}
    assert verdicts["chain-grows"] == verdicts["chain-stays"] == "supported"
    assert (tmp_path / "figure.png").is_file()

"""`parallel`: what can be computed at once in training?

Vaswani et al. 2017, table 1: the sequential operations of a recurrent layer grow with the length, those of
self-attention do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from seq2attn.results.study import (
    Estimate,
    JudgedClaim,
    Point,
    StudyClaim,
    StudyPanel,
    StudyResult,
    StudySeries,
    StudyTable,
    Value,
    judge_in_every_run,
)
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
from seq2attn.studies.study import MachineStudy, Preset, Progress
from seq2attn.studies.timing import Values, estimate, exact, exponents, median_estimate, resampled_medians

FITTED = 4
SENTENCE = 64
"""Tokens of a sentence that two claims are about; or the longest below, if none is as long."""
_CHAIN = (
    "The exponent, over the length, of the number of operations in the longest chain in which each needs the result of "
    f"the one before, forward and backward, over the {FITTED} longest lengths. It is counted and has no interval; "
    "supported if it is"
)
_RATIO = "95 % bootstrap interval over rounds, the same rounds for both models; supported if it is above 1."
CHAIN_GROWS = StudyClaim(
    "chain-grows",
    "Training an RNN is a chain of steps as long as the sentence",
    f"{_CHAIN} above 0.8.",
    0.8,
    above=True,
    measured_in="model",
)
CHAIN_STAYS = StudyClaim(
    "chain-stays",
    "A transformer trains on all positions at once: its chain does not grow with the sentence (Vaswani et al. 2017)",
    f"{_CHAIN} below 0.05.",
    0.05,
    above=False,
    measured_in="model",
)
FASTER_ALONE = StudyClaim(
    "faster-alone",
    "With one sentence per update, a transformer trains faster than an RNN on this device",
    f"Time per target token of the RNN, divided by that of the transformer, one pair of {SENTENCE} tokens per update. "
    f"{_RATIO}",
    1.0,
    above=True,
    measured_in="comparison",
)
MORE_WHEN_LONGER = StudyClaim(
    "more-when-longer",
    "The longer the sentence, the larger is the transformer's advantage",
    f"That ratio at the longest length, divided by that at the shortest, one pair per update. {_RATIO}",
    1.0,
    above=True,
    measured_in="comparison",
)
LESS_IN_BATCHES = StudyClaim(
    "less-in-batches",
    "Batches give an RNN something to compute in parallel: they shrink the transformer's advantage",
    f"That ratio with one pair of {SENTENCE} tokens per update, divided by that with the largest batch of such pairs. "
    f"{_RATIO}",
    1.0,
    above=True,
    measured_in="comparison",
)
CLAIMS = (CHAIN_GROWS, CHAIN_STAYS, FASTER_ALONE, MORE_WHEN_LONGER, LESS_IN_BATCHES)


def judge(steps: Sequence[Steps], times: Mapping[str, Times]) -> Iterator[JudgedClaim]:
    """The claims that these measurements can answer."""
    for claim, model in ((CHAIN_GROWS, RNN), (CHAIN_STAYS, TRANSFORMER)):
        yield judge_in_every_run(claim, [_growth(model, [found for found in steps if found.model == model])])
    cells = times[RNN].seconds
    sentence = max(cell.length for cell in cells if cell.length <= SENTENCE)
    largest = max(cell.pairs for cell in cells if cell.length == sentence)
    single = [cell for cell in cells if cell.pairs == 1]
    alone = Cell(sentence, 1)
    yield judge_in_every_run(FASTER_ALONE, [ratio_estimate(times, alone)])
    yield judge_in_every_run(MORE_WHEN_LONGER, [_change(times, max(single), min(single))])
    yield judge_in_every_run(LESS_IN_BATCHES, [_change(times, alone, Cell(sentence, largest))])


def _growth(model: str, steps: Sequence[Steps]) -> Estimate:
    longest = sorted(steps, key=lambda found: found.length)[-FITTED:]
    chains = np.array([found.chain for found in longest], dtype=np.float64)
    return exact(model, float(exponents([found.length for found in longest], chains)))


def ratio_estimate(times: Mapping[str, Times], cell: Cell) -> Estimate:
    """The RNN's time divided by the transformer's, for a length and a number of pairs."""
    value, resampled = _ratio(times, cell)
    return estimate(_name(cell), value, resampled, times[RNN].n_rounds)


def _change(times: Mapping[str, Times], cell: Cell, base: Cell) -> Estimate:
    """The ratio of the models in `cell`, divided by that in `base`."""
    (value, resampled), (base_value, base_resampled) = _ratio(times, cell), _ratio(times, base)
    name = f"{_name(cell)} against {_name(base)}"
    return estimate(name, value / base_value, resampled / base_resampled, times[RNN].n_rounds)


def _ratio(times: Mapping[str, Times], cell: Cell) -> tuple[float, Values]:
    """Its value, and (n_resamples,) resampled ones."""
    rnn, transformer = times[RNN].seconds[cell], times[TRANSFORMER].seconds[cell]
    return float(np.median(rnn) / np.median(transformer)), resampled_medians(rnn) / resampled_medians(transformer)


def _name(cell: Cell) -> str:
    return f"{cell.length} tokens, {cell.pairs} pair{'s' * (cell.pairs > 1)}"


_GRIDS = {
    "smoke": Grid((8, 16, 32), (1, 8), d_model=64, rounds=3, budget_seconds=15.0, max_tokens=256),
    "quick": Grid(
        *((8, 16, 32, 64, 128, 256), (1, 4, 16, 64)), d_model=256, rounds=11, budget_seconds=480.0, max_tokens=4096
    ),
}


class ParallelStudy(MachineStudy):
    """Training time per token of an RNN and a transformer, and the chains of operations that have to wait."""

    name = "parallel"
    question = "What can be computed at once in training?"
    claims = CLAIMS

    def measure(self, preset: Preset, device: torch.device, progress: Progress) -> StudyResult:
        """Both models at every length and batch size of the preset."""
        grid = _GRIDS[preset]
        steps = count_steps(grid.lengths, progress)
        times = measure_times(grid, device, progress)
        return StudyResult(
            self.name,
            self.question,
            _setting(grid, times),
            tuple(judge(steps, times)),
            (steps_table(steps), ratios_table(times), times_table(times, grid)),
            tuple(panels(steps, times)),
            _NOTES,
        )


def _setting(grid: Grid, times: Mapping[str, Times]) -> str:
    sizes = " and ".join(f"{times[name].parameters / 1e6:.1f} million ({name})" for name in (RNN, TRANSFORMER))
    return (
        f"Both models have width {grid.d_model} and two layers; weights: {sizes}. Random pairs of {grid.lengths[0]} "
        f"to {grid.lengths[-1]} tokens, {grid.pairs[0]} to {grid.pairs[-1]} per update; {times[RNN].n_rounds} rounds."
    )


_NOTES = (
    "The RNN is an LSTM with additive attention. An update is forward, backward and the optimizer, as in training; its "
    "time is divided by the tokens of the targets. All sentences of a batch have the same length, so there is no "
    "padding. A round measures every batch with both models, every other round in reverse; times are medians.",
    "A chain counts operations of PyTorch, forward and backward. A product of matrices counts as one operation, though "
    "its sums take steps too, and so does a softmax over all positions. The recurrent steps are those of each layer of "
    "the encoder, whose two directions run side by side, and of the decoder, and as many backward.",
    "Models of the same width differ in weights and arithmetic: GFLOP/s divide by the arithmetic that each needs. A "
    "device with more units to occupy has other ratios; on a CPU of few cores, little can run in parallel anyway.",
    "This is training. In translation, both models write one token after the other.",
)


_US = 1e6


def steps_table(steps: Sequence[Steps]) -> StudyTable:
    """A row for each model and length."""
    rows = [(found.model, found.length, found.chain, found.recurrent_steps) for found in steps]
    header = ("model", "tokens", "longest chain of operations", "recurrent steps")
    return StudyTable("steps", "What has to wait: one update, forward and backward", header, tuple(sorted(rows)))


def ratios_table(times: Mapping[str, Times]) -> StudyTable:
    """A row for each batch."""
    rows: list[tuple[Value, ...]] = []
    for cell in sorted(times[RNN].seconds):
        ratio = ratio_estimate(times, cell)
        rows.append((cell.length, cell.pairs, ratio.value, ratio.low, ratio.high))
    header = ("tokens", "pairs", "RNN / transformer", "low", "high")
    return StudyTable("ratios", "The RNN's time divided by the transformer's, with 95 % intervals", header, tuple(rows))


def times_table(times: Mapping[str, Times], grid: Grid) -> StudyTable:
    """A row for each model and batch, with those that were left out."""
    rows: list[tuple[Value, ...]] = []
    for model in times.values():
        for cell, rounds in sorted(model.seconds.items()):
            time = _time_per_token(model, cell)
            rate = model.flops[cell] / float(np.median(rounds)) / 1e9
            rows.append((model.model, cell.length, cell.pairs, time.value, time.low, time.high, rate, ""))
    rows += [
        ("both", length, pairs, None, None, None, None, f"more than {grid.max_tokens:,} tokens in an update")
        for length in grid.lengths
        for pairs in grid.pairs
        if length * pairs > grid.max_tokens
    ]
    header = ("model", "tokens", "pairs", "µs per target token", "low", "high", "GFLOP/s", "left out")
    return StudyTable("times", "Training time", header, tuple(rows), in_full=True)


def _time_per_token(times: Times, cell: Cell) -> Estimate:
    """Microseconds."""
    return median_estimate(times.model, _US * times.seconds[cell] / (cell.length * cell.pairs))


def panels(steps: Sequence[Steps], times: Mapping[str, Times]) -> Iterator[StudyPanel]:
    """Time per token over length for each batch size, and the chains."""
    sizes = sorted({cell.pairs for cell in times[RNN].seconds})
    shown = dict.fromkeys((sizes[0], sizes[-1]))
    series = [_times_series(times[name], pairs) for pairs in shown for name in (RNN, TRANSFORMER)]
    yield _panel("Training time", "µs per target token", series)
    ratios = [_ratio_series(times, pairs) for pairs in sizes]
    yield _panel("The RNN's time divided by the transformer's", "ratio", ratios)
    chains = [
        StudySeries(name, tuple(Point(found.length, found.chain) for found in steps if found.model == name))
        for name in (RNN, TRANSFORMER)
    ]
    yield _panel("Operations that wait for one another", "longest chain", chains)


def _panel(title: str, unit: str, series: Sequence[StudySeries]) -> StudyPanel:
    return StudyPanel(title, "tokens of source and target", unit, tuple(series), x_scale="log", y_scale="log")


def _times_series(times: Times, pairs: int) -> StudySeries:
    found = [(cell.length, _time_per_token(times, cell)) for cell in sorted(times.seconds) if cell.pairs == pairs]
    points = (Point(length, time.value, time.low, time.high) for length, time in found)
    return StudySeries(f"{times.model}, {_count(pairs)}", tuple(points))


def _ratio_series(times: Mapping[str, Times], pairs: int) -> StudySeries:
    found = [(cell.length, ratio_estimate(times, cell)) for cell in sorted(times[RNN].seconds) if cell.pairs == pairs]
    points = (Point(length, ratio.value, ratio.low, ratio.high) for length, ratio in found)
    return StudySeries(_count(pairs), tuple(points))


def _count(pairs: int) -> str:
    return f"{pairs} pair{'s' * (pairs > 1)} per update"

"""Training time by sentence length and batch size, and the chains of dependent operations"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from seq2attn.benchmark.flops import Sizes, training_flops
from seq2attn.benchmark.subject import LEARNING_RATE, random_batch
from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.config.schema import TrainConfig
from seq2attn.models.build import build_model
from seq2attn.studies.parallel.chain import chain_of_update
from seq2attn.studies.study import Progress
from seq2attn.studies.timing import TimedCall, Values, affordable_rounds, measure_in_turns, repeats_of
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import update_weights

RNN, TRANSFORMER = "RNN", "transformer"
_VOCAB_SIZE = 1000
_LAYERS = 2
_FEWEST_ROUNDS = 5
_TRAIN = TrainConfig(max_steps=1)


class Cell(NamedTuple):
    """A batch."""

    length: int
    """Tokens of each source and each target, EOS included."""
    pairs: int


@dataclass(frozen=True)
class Grid:
    """What is measured."""

    lengths: tuple[int, ...]
    pairs: tuple[int, ...]
    d_model: int
    rounds: int
    """The most; fewer where they take longer than `budget_seconds`."""
    budget_seconds: float
    max_tokens: int
    """Of a batch's targets; larger batches are left out."""

    def cells(self) -> list[Cell]:
        """The batches, those with few tokens first."""
        every = [Cell(length, pairs) for length in self.lengths for pairs in self.pairs]
        return sorted((cell for cell in every if cell.length * cell.pairs <= self.max_tokens), key=_tokens)


def _tokens(cell: Cell) -> int:
    return cell.length * cell.pairs


@dataclass(frozen=True)
class Steps:
    """The sequential part of an update on sentences of one length."""

    model: str
    length: int
    chain: int
    """Operations in the longest chain in which each needs the result of the one before."""
    recurrent_steps: int
    """Steps of recurrence one after the other: those of each layer of the encoder, then of the decoder, and back."""


@dataclass(frozen=True)
class Times:
    """Seconds of an update of one model."""

    model: str
    parameters: int
    seconds: Mapping[Cell, Values]
    """(rounds,) for each batch."""
    flops: Mapping[Cell, int]
    """Of an update, by the count of the benchmark."""

    @property
    def n_rounds(self) -> int:
        """Measurements of each batch."""
        return len(next(iter(self.seconds.values())))


def models_of(d_model: int) -> dict[str, ModelConfig]:
    """Both models, of the same width and number of layers."""
    return {
        RNN: RnnConfig(d_model=d_model, n_layers=_LAYERS),
        TRANSFORMER: TransformerConfig(d_model=d_model, n_layers=_LAYERS),
    }


def count_steps(lengths: tuple[int, ...], progress: Progress) -> list[Steps]:
    """The steps of both models at each length; they do not depend on the device."""
    steps = []
    for number, length in enumerate(lengths, start=1):
        for name, config in models_of(8).items():
            recurrent = 2 * (config.n_layers + 1) * length if isinstance(config, RnnConfig) else 0
            steps.append(Steps(name, length, chain_of_update(config, length), recurrent))
        progress("counting steps", number, len(lengths))
    return steps


def measure_times(grid: Grid, device: torch.device, progress: Progress) -> dict[str, Times]:
    """The times of both models on every batch of `grid`, in turn."""
    trained = {name: _Trained(config, device) for name, config in models_of(grid.d_model).items()}
    calls = {
        (name, cell): TimedCall(trained[name].update_on(cell), device) for cell in grid.cells() for name in trained
    }
    seconds = 0.0
    for number, call in enumerate(calls.values(), start=1):
        once = call.warm_up()
        seconds += once * repeats_of(once)
        progress("warming up", number, len(calls))
    n_rounds = affordable_rounds(seconds, grid.rounds, min(_FEWEST_ROUNDS, grid.rounds), grid.budget_seconds)
    found = measure_in_turns({key: call.seconds for key, call in calls.items()}, n_rounds, progress)
    return {
        name: Times(
            name,
            model.parameters,
            {cell: found[name, cell] for cell in grid.cells()},
            {cell: model.flops(cell) for cell in grid.cells()},
        )
        for name, model in trained.items()
    }


class _Trained:
    """A new model and its optimizer."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        self._model = build_model(config, _VOCAB_SIZE, _VOCAB_SIZE, joint_subwords=True).to(device).train()
        self._optimizer = build_optimizer(self._model, _TRAIN)
        self.parameters = self._model.count_parameters()

    def update_on(self, cell: Cell) -> Callable[[], object]:
        """An update on random pairs, as in a training."""
        batch = random_batch([(cell.length, cell.length)] * cell.pairs, _VOCAB_SIZE).to(self._device)
        return lambda: update_weights(self._model, self._optimizer, [batch], _TRAIN, 1, LEARNING_RATE)

    def flops(self, cell: Cell) -> int:
        """Of an update, by the count of the benchmark."""
        return training_flops(self._config, _VOCAB_SIZE, Sizes.of([(cell.length, cell.length)] * cell.pairs))

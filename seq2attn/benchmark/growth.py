"""Cost of a training step by sentence length: `seq2attn bench --lengths`"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from seq2attn.benchmark.machine import Audience, Setting, Spread, alternate
from seq2attn.benchmark.speed import use_threads
from seq2attn.benchmark.subject import StepCost, measure_steps, measure_steps_here
from seq2attn.config.schema import Config
from seq2attn.errors import ConfigError

_SENTENCES = 16
_STEPS = 3


@dataclass(frozen=True)
class GrowthPoint:
    """One length."""

    length: int
    """Subwords of the source, EOS included, and as many of the target."""
    seconds: Spread
    added_bytes: Spread
    """Memory that the step needs in addition to that of an update on two tokens."""
    peak_bytes: Spread
    """Memory of the whole process."""


@dataclass(frozen=True)
class ModelGrowth:
    """One model at all lengths."""

    name: str
    kind: str
    attention: str
    points: tuple[GrowthPoint, ...]


@dataclass(frozen=True)
class Growth:
    """How the cost of all models grows."""

    setting: Setting
    sentences: int
    """In the batch, all of the same length."""
    rounds: int
    """Measurements of each model and length."""
    steps: int
    """Steps in each measurement, whose time is their median."""
    models: tuple[ModelGrowth, ...]

    def to_json(self) -> str:
        """The growth as indented JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def parse_lengths(text: str) -> list[int]:
    """Lengths as in `10,20,40`, ascending. Raises: ConfigError where they are not whole numbers from 2 on."""
    try:
        lengths = sorted({int(number) for number in text.split(",")})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < 2:
        raise ConfigError(f"--lengths {text}: expected whole numbers from 2 on with commas, as in 10,20,40")
    return lengths


def measure_growth(
    configs: Mapping[str, Config],
    lengths: Sequence[int],
    device: torch.device,
    command: str,
    seconds: float,
    audience: Audience,
) -> Growth:
    """Measure a training step of each model at each length, each time in a new process unless on CUDA.

    Raises: ConfigError, DataError, TrainingError.
    """
    use_threads(list(configs.values()))
    # On CUDA, torch can reset its peak, and a new process takes seconds to initialise the device.
    here = device.type == "cuda"
    measure = measure_steps_here if here else measure_steps
    where = "measurements" if here else "new processes"
    audience.say(f"{len(configs) * len(lengths)} {where} a round, at {_SENTENCES} sentences a batch")
    jobs = {
        (name, length): partial(measure, config, [[(length, length)] * _SENTENCES], device, _STEPS)
        for length in lengths
        for name, config in configs.items()
    }
    costs = alternate(jobs, seconds, audience, first_round_counts=True)
    models = tuple(
        ModelGrowth(
            name,
            config.model.kind,
            config.model.attention,
            tuple(_point(length, costs[name, length]) for length in lengths),
        )
        for name, config in configs.items()
    )
    rounds = models[0].points[0].seconds.count
    return Growth(Setting.here(device, command), _SENTENCES, rounds, _STEPS, models)


def _point(length: int, costs: Sequence[StepCost]) -> GrowthPoint:
    return GrowthPoint(
        length,
        Spread.of(cost.seconds for cost in costs),
        Spread.of(cost.added_bytes for cost in costs),
        Spread.of(cost.peak_bytes for cost in costs),
    )

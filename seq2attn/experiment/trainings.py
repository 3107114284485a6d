"""The trainings of an experiment: finished runs are reused, unfinished ones resumed"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seq2attn.config.load import replace_seed
from seq2attn.config.schema import Config
from seq2attn.errors import ConfigError
from seq2attn.experiment.pictures import Pictures
from seq2attn.runs.folder import RunFolder
from seq2attn.training.train import train


class Interrupted(Exception):  # noqa: N818  (not an error: the user asked for it)
    """A signal stopped a training; the same command resumes it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass(frozen=True)
class Training:
    """One run of an experiment, and the name of its model."""

    run: Path
    model: str
    config: Config


def with_seeds(first: Sequence[Training], n_seeds: int) -> list[Training]:
    """`first`, and each of them with the following seeds; every model is trained once before the next seed starts."""
    more = [_of_seed(training, training.config.train.seed + step) for step in range(1, n_seeds) for training in first]
    return [*first, *more]


def train_all(trainings: Sequence[Training], device_name: str) -> None:
    """Train what is not finished yet, in order.

    Raises: ConfigError where a folder holds a run with other settings; Interrupted; the errors of training.
    """
    for training in trainings:
        _train_once(training.config, training.run, device_name)


def _of_seed(training: Training, seed: int) -> Training:
    run = training.run.with_name(f"{training.run.name}-seed{seed}")
    return replace(training, run=run, config=replace_seed(training.config, seed))


def _train_once(config: Config, run: Path, device_name: str) -> None:
    folder = RunFolder(run)
    if folder.finished:
        if folder.read_config() != config:
            raise ConfigError(f"{run}: holds a run with other settings; choose another --out, or delete the folder")
        return
    result = train(config, run, device_name, resume=folder.exists, observer=Pictures())
    if result.stopped_by is not None:
        raise Interrupted(result.stopped_by)

"""The experiment from end to end: train the models of a preset, evaluate them by length, write the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2attn.config.load import load_config, replace_budget
from seq2attn.config.schema import Config
from seq2attn.errors import ConfigError
from seq2attn.evaluation.joined import JoinedSummary
from seq2attn.evaluation.lengths import DEFAULT_BINS
from seq2attn.experiment.evaluate import Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.experiment.joined import evaluate_joined, write_joined
from seq2attn.experiment.outputs import write_outputs
from seq2attn.experiment.presets import join_sizes, preset_files
from seq2attn.experiment.translations import Report
from seq2attn.training.run_folder import RunFolder, choose_device
from seq2attn.training.train import train


@dataclass(frozen=True)
class Reproduction:
    """A finished experiment."""

    evaluation: Evaluation
    joined: JoinedSummary | None
    """The same on joined sentences, for presets that ask for it."""
    paths: dict[str, Path]
    seconds: float


class Interrupted(Exception):  # noqa: N818  (not an error: the user asked for it)
    """A signal stopped a training; the same command goes on with it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def reproduce(
    preset: str,
    out: Path,
    device_name: str,
    command: str,
    report: Report,
    minutes: float | None = None,
    overrides: Sequence[str] = (),
) -> Reproduction:
    """Run the preset's experiment in `out`; what is there already, whole or in part, is reused.

    `minutes`: budget for each model's training in place of the preset's.

    Raises: ConfigError where `out` holds runs of other settings; Interrupted; whatever training raises.
    """
    started = time.monotonic()
    files = preset_files(preset)
    configs = [_settings(file, minutes, overrides) for file in files]
    runs = [out / "runs" / file.stem for file in files]
    for config, run in zip(configs, runs, strict=True):
        _train_once(config, run, device_name)
    settings = EvaluationSettings("test", DEFAULT_BINS, "source", beam_size=None, command=command)
    evaluation = evaluate_runs(runs, settings, choose_device(device_name), report)
    paths = write_outputs(evaluation, out)
    joined = None
    if sizes := join_sizes(preset):
        joined = evaluate_joined(evaluation, sizes, settings, report)
        paths |= write_joined(joined, out)
    return Reproduction(evaluation, joined, paths, time.monotonic() - started)


def _settings(file: Path, minutes: float | None, overrides: Sequence[str]) -> Config:
    config = load_config(file, overrides)
    return config if minutes is None else replace_budget(config, minutes)


def _train_once(config: Config, run: Path, device_name: str) -> None:
    folder = RunFolder(run)
    if folder.finished:
        if folder.read_config() != config:
            raise ConfigError(f"{run}: holds a run of other settings; choose another --out, or delete the folder")
        return
    result = train(config, run, device_name, resume=folder.exists)
    if result.stopped_by is not None:
        raise Interrupted(result.stopped_by)

"""A preset's experiment from end to end: train, evaluate, write the result"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import seq2attn
from seq2attn.config.load import load_config, replace_budget
from seq2attn.config.schema import Config, JoinConfig
from seq2attn.device import choose_device
from seq2attn.errors import ConfigError
from seq2attn.evaluation.joined import JoinedSummary
from seq2attn.evaluation.lengths import DEFAULT_BINS
from seq2attn.experiment.evaluate import Ahead, Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.experiment.joined import evaluate_joined, write_joined
from seq2attn.experiment.outputs import write_outputs
from seq2attn.experiment.side_by_side import Training
from seq2attn.experiment.trainings import train_all, with_seeds
from seq2attn.experiment.translations import TranslationProgress
from seq2attn.results.claims import NO_ATTENTION

_PACKAGE = Path(seq2attn.__file__).parent
# Presets that test beyond the training length also join consecutive sentences, to more than 120 words.
_JOIN_SIZES: dict[str, tuple[int, ...]] = {"positions": (1, 2, 4, 6)}


def presets_folder() -> Path:
    """`configs/` inside the installed package, or next to the package in a checkout."""
    # Inside is first: next to an installed package, a folder of this name would belong to another project.
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def preset_names() -> list[str]:
    """All presets, by name."""
    return sorted(path.name for path in presets_folder().iterdir() if path.is_dir())


def preset_files(name: str) -> list[Path]:
    """The model configurations of a preset, by name.

    Raises: ConfigError for an unknown preset.
    """
    if name not in preset_names():
        raise ConfigError(f"--preset {name}: unknown; choose one of {', '.join(preset_names())}")
    return sorted((presets_folder() / name).glob("*.yaml"))


def join_sizes(name: str) -> tuple[int, ...]:
    """How many sentences are joined when a preset is evaluated; empty if none are."""
    return _JOIN_SIZES.get(name, ())


@dataclass(frozen=True)
class Reproduction:
    """A finished experiment."""

    evaluation: Evaluation
    joined: JoinedSummary | None
    """Scores on joined sentences, for presets with join sizes."""
    paths: dict[str, Path]
    seconds: float


def reproduce(
    preset: str,
    out: Path,
    device_name: str,
    command: str,
    progress: TranslationProgress,
    minutes: float | None = None,
    overrides: Sequence[str] = (),
    n_seeds: int = 1,
    jobs: int | None = None,
) -> Reproduction:
    """Run the preset's experiment in `out`; finished runs are reused, unfinished ones resumed.

    Scores are those of the split `confirm` if the preset draws one, else of test. If it also joins sentences, the
    claims about a fixed context are judged with other searches too.

    Args:
        preset: its name.
        out: folder of the runs and of the result.
        device_name: where to compute.
        command: reproduces the result.
        progress: called during translation.
        minutes: budget for each training in place of the preset's.
        overrides: settings of all models, as `KEY.PATH=VALUE`.
        n_seeds: trainings of each model, with its own seed and the following ones. Every model starts
            once before the next seed does.
        jobs: trainings side by side, a process each; None for as many as there are cores.

    Raises: ConfigError where `out` holds runs with other settings; Interrupted; the errors of training.
    """
    started = time.monotonic()
    trainings = _trainings(preset, out / "runs", minutes, overrides, n_seeds)
    names = {training.run: training.model for training in trainings}
    data = trainings[0].config.data
    split = "test" if data.confirm is None else "confirm"
    has_fixed_context = any(training.config.model.attention == NO_ATTENTION for training in trainings)
    searches = has_fixed_context and data.confirm is not None and isinstance(data.join, JoinConfig)
    ahead = Ahead(split, searches)
    train_all([replace(training, ahead=ahead) for training in trainings], device_name, jobs)
    settings = EvaluationSettings(split, DEFAULT_BINS, "source", None, command, names=names, searches=searches)
    runs = [training.run for training in trainings]
    evaluation = evaluate_runs(runs, settings, choose_device(device_name), progress)
    paths = write_outputs(evaluation, out)
    joined = None
    if sizes := join_sizes(preset):
        joined = evaluate_joined(evaluation, sizes, settings, progress)
        paths |= write_joined(joined, out)
    return Reproduction(evaluation, joined, paths, time.monotonic() - started)


def _trainings(
    preset: str, folder: Path, minutes: float | None, overrides: Sequence[str], n_seeds: int
) -> list[Training]:
    """Every run in the order of training."""
    configs = {file.stem: _settings(file, minutes, overrides) for file in preset_files(preset)}
    first = [Training(folder / name, config.name or name, config) for name, config in configs.items()]
    return with_seeds(first, n_seeds)


def _settings(file: Path, minutes: float | None, overrides: Sequence[str]) -> Config:
    config = load_config(file, overrides)
    return config if minutes is None else replace_budget(config, minutes)

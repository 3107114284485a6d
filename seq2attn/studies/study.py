"""What a study is, and running one: train what it needs, measure, write"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch

from seq2attn.config.schema import Config
from seq2attn.device import choose_device, describe_machine
from seq2attn.errors import ConfigError, RunError
from seq2attn.experiment.side_by_side import Training
from seq2attn.experiment.trainings import train_all, with_seeds
from seq2attn.report.study import write_study
from seq2attn.results.study import StudyClaim, StudyResult
from seq2attn.runs.folder import TrainedRun, load_runs

Preset = Literal["smoke", "quick"]
Progress = Callable[[str, int, int], None]
"""Takes the name of a part, how much of it is finished, and its total."""


_HARDLY_TRAINED = "The models of smoke are hardly trained: their verdicts show that the study runs, and nothing else."
_HARDLY_MEASURED = "The sizes of smoke are small and few: its verdicts show that the study runs, and nothing else."


class Study(ABC):
    """A question about attention, and how runs answer it. A subclass has one constructor argument per own option."""

    name: ClassVar[str]
    question: ClassVar[str]
    claims: ClassVar[tuple[StudyClaim, ...]]
    """Fixed before any run is measured."""

    @abstractmethod
    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """The models that the study trains when no run is given, by the name of their folder."""

    @abstractmethod
    def why_not(self, run: TrainedRun) -> str | None:
        """Why `run` cannot answer the question, in a few words; None if it can."""

    @abstractmethod
    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The result of `runs`, by name; `preset`: None if they were given."""


class MachineStudy(ABC):
    """A question about what attention costs, which this machine answers: nothing is trained, no run is needed."""

    name: ClassVar[str]
    question: ClassVar[str]
    claims: ClassVar[tuple[StudyClaim, ...]]
    """Fixed before any measurement."""

    @abstractmethod
    def measure(self, preset: Preset, device: torch.device, progress: Progress) -> StudyResult:
        """The result on `device`, with the sizes of `preset`."""


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for. Without runs, models of the preset are trained."""

    out: Path
    command: str
    device_name: str = "auto"
    runs: Sequence[Path] = ()
    preset: Preset | None = None
    n_seeds: int = 1
    n_jobs: int | None = 1
    """Models trained side by side; None for as many as the device and its cores allow."""


@dataclass(frozen=True)
class StudyOutcome:
    """A result, and the files that were written, by name."""

    result: StudyResult
    paths: Mapping[str, Path]


def run_study(study: Study | MachineStudy, request: StudyRequest, progress: Progress) -> StudyOutcome:
    """Measure and write the study into `request.out`.

    Raises: ConfigError for runs together with a preset, and for runs or seeds of a study that needs none; RunError for
    a run that cannot answer; Interrupted; the errors of training.
    """
    device = choose_device(request.device_name)
    if isinstance(study, MachineStudy):
        measured = _from_machine(study, request, device, progress)
    else:
        measured = _from_runs(study, request, device, progress)
    result = replace(measured, command=request.command, machine=describe_machine(device))
    return StudyOutcome(result, write_study(result, request.out))


def _from_machine(study: MachineStudy, request: StudyRequest, device: torch.device, progress: Progress) -> StudyResult:
    if request.runs or request.n_seeds > 1:
        raise ConfigError(f"the study {study.name} measures this machine: it takes neither runs nor seeds")
    preset = request.preset or "quick"
    return _with_caveat(study.measure(preset, device, progress), preset, _HARDLY_MEASURED)


def _from_runs(study: Study, request: StudyRequest, device: torch.device, progress: Progress) -> StudyResult:
    if request.runs and (request.preset is not None or request.n_seeds > 1):
        raise ConfigError("give either runs, or --preset and --seeds to train models for the study")
    preset = None if request.runs else request.preset or "quick"
    runs = load_runs(request.runs or _train(study, preset or "quick", request), device)
    for run in runs.values():
        if (reason := study.why_not(run)) is not None:
            raise RunError(f"{run.folder.path}: cannot answer the study {study.name}: {reason}")
    result = _with_caveat(study.measure(runs, preset, progress), preset, _HARDLY_TRAINED)
    return replace(result, runs=tuple(str(run.folder.path) for run in runs.values()))


def _with_caveat(result: StudyResult, preset: Preset | None, caveat: str) -> StudyResult:
    return replace(result, setting=f"{result.setting} {caveat}") if preset == "smoke" else result


def _train(study: Study, preset: Preset, request: StudyRequest) -> list[Path]:
    """The folders of the study's own runs, trained first if need be."""
    folder = request.out / "runs"
    first = [Training(folder / name, config.name or name, config) for name, config in study.configs(preset).items()]
    trainings = with_seeds(first, request.n_seeds)
    train_all(trainings, request.device_name, request.n_jobs)
    return [training.run for training in trainings]

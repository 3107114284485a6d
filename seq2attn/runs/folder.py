"""The folder of a run: what lies where, and how a trained model is read back from it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from seq2attn.config.load import dump_config, load_config
from seq2attn.config.schema import Config
from seq2attn.data.cache import write_whole
from seq2attn.data.subwords import Subwords
from seq2attn.errors import ConfigError, RunError, disk_errors
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.checkpoint import check_made_for, load_weights, made_for, newest_whole, set_weights

RUNS = Path("runs")
"""Where runs lie that are given no other folder."""
_LISTED_RUNS = 3


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the folder of a run."""

    path: Path

    @classmethod
    def named(cls, name: str) -> RunFolder:
        """The folder of a run that is given no other.

        Raises: ConfigError where `name` is no name of a folder, but leads out of the folder of runs.
        """
        if name in ("", ".", "..") or not set(name).isdisjoint("/\\\0"):
            raise ConfigError(f"name: {name!r} cannot name a folder in {RUNS}; give one with --run-dir")
        return cls(RUNS / name)

    @property
    def config_file(self) -> Path:
        """The resolved configuration; its presence makes the folder a run."""
        return self.path / "config.yaml"

    @property
    def env_file(self) -> Path:
        """Versions, device, seed, digests."""
        return self.path / "env.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def scores_file(self) -> Path:
        """What evaluations found, for programs."""
        return self.path / "scores.json"

    @property
    def card_file(self) -> Path:
        """The model card, for people."""
        return self.path / "README.md"

    @property
    def log_file(self) -> Path:
        """What the training told the terminal."""
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def failed_batch_file(self) -> Path:
        """The pairs of the last update that was skipped."""
        return self.path / "failed_batch.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of all checkpoints."""
        return self.path / "checkpoints"

    @property
    def final(self) -> Path:
        """The weights that the finished run translates with."""
        return self.checkpoints / "final"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config_file.is_file()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.final.is_dir()

    def step(self, step: int) -> Path:
        """The checkpoint of update `step`."""
        return self.checkpoints / f"step_{step}"

    def steps(self) -> list[int]:
        """Updates that have a checkpoint, ascending."""
        names = [path.name.removeprefix("step_") for path in self.checkpoints.glob("step_*")]
        return sorted(int(name) for name in names if name.isdigit())

    def newest_first(self) -> list[Path]:
        """The checkpoints that are there, the one to prefer first."""
        return [self.final] * self.finished + [self.step(step) for step in reversed(self.steps())]

    def read_config(self) -> Config:
        """The resolved configuration.

        Raises: RunError where the folder is not one of a run.
        """
        if not self.exists:
            what = "has no config.yaml" if self.path.is_dir() else "does not exist"
            raise RunError(f"{self.path}: not a run folder, it {what}; {_other_runs(self.path)}")
        return load_config(self.config_file)

    def read_env(self) -> dict[str, Any]:
        """Versions, device, seed, digests; empty where there is none."""
        try:
            return dict(json.loads(self.env_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def read_metrics(self) -> list[dict[str, float]]:
        """The figures of the training, a line for each report; a line that is cut short or damaged is left out."""
        try:
            lines = self.metrics_file.read_bytes().splitlines()
        except OSError:
            return []
        return [figures for line in lines if (figures := _figures(line)) is not None]

    def make(self) -> None:
        """Make the folder, which is not a run yet.

        Raises: RunError where that cannot be.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def begin(self, config: Config) -> None:
        """Write the configuration, which makes the folder a run."""
        with disk_errors(self.path):
            write_whole(self.config_file, dump_config(config).encode())

    def write_env(self, env: Mapping[str, Any]) -> None:
        """Write what the run depends on beside its configuration."""
        with disk_errors(self.path):
            write_whole(self.env_file, (json.dumps(env, indent=1, ensure_ascii=False) + "\n").encode())


def _figures(line: bytes) -> dict[str, float] | None:
    """One line of metrics; None where it is none."""
    try:
        figures = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(figures, dict) or "step" not in figures:
        return None
    numbers = (isinstance(value, int | float) and math.isfinite(value) for value in figures.values())
    return figures if all(numbers) else None


@dataclass(frozen=True)
class TrainedRun:
    """A run read back: everything that translation and evaluation need."""

    folder: RunFolder
    config: Config
    subwords: Subwords
    model: Seq2Seq
    about: Mapping[str, Any]
    """What its checkpoint says of itself: step, validation figures."""

    @property
    def name(self) -> str:
        """What the run is called in tables and figures."""
        return self.config.name or self.folder.path.name

    @property
    def has_final_weights(self) -> bool:
        """Whether these are the weights of a finished run, whose checkpoint tells how they were chosen."""
        return "weights" in self.about


def _other_runs(path: Path) -> str:
    """Which runs may be meant by `path`, which is none: those in it, or one beside it that is spelt alike."""
    inside = sorted(config.parent for pattern in ("*", "*/*") for config in path.glob(f"{pattern}/config.yaml"))
    if inside:
        more = f" and {len(inside) - _LISTED_RUNS} more" if len(inside) > _LISTED_RUNS else ""
        return f"runs in it: {', '.join(map(str, inside[:_LISTED_RUNS]))}{more}"
    beside = [config.parent.name for config in path.parent.glob("*/config.yaml")]
    for name in get_close_matches(path.name, beside, n=1):
        return f"did you mean {path.parent / name}?"
    return "`seq2attn train` makes one"


def load_run(path: Path, device: torch.device) -> TrainedRun:
    """The run in `path`, with its final weights, or its newest ones while it is in training.

    A damaged checkpoint is told on stderr, and the newest whole one taken in its place.

    Raises: RunError, DataError, CheckpointError.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    subwords = Subwords.load(path)
    checkpoint = newest_whole(folder.newest_first(), lambda line: print(f"seq2attn: {line}", file=sys.stderr))
    if checkpoint is None:
        go_on = f"seq2attn train {folder.config_file} --run-dir {path} --resume"
        raise RunError(f"{path}: has no checkpoint yet; train on with `{go_on}`")
    about = check_made_for(checkpoint, made_for(config.model, subwords))
    with torch.random.fork_rng([]):  # the first weights are drawn, to be replaced at once
        model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint)
    set_weights(model, load_weights(checkpoint), str(checkpoint))
    return TrainedRun(folder, config, subwords, model.to(device).eval(), about)


def load_runs(paths: Sequence[Path], device: torch.device) -> dict[str, TrainedRun]:
    """The runs in `paths` by name, an unfinished one marked as such.

    Where several share a name they are told apart by their seeds, or where that does not do it, by their folders.

    Raises: RunError, DataError, CheckpointError.
    """
    runs = [load_run(path, device) for path in paths]
    names = [
        run.name if run.has_final_weights else f"{run.name} (unfinished, step {run.about['step']})" for run in runs
    ]
    seeded = [f"{name}, seed {run.config.train.seed}" for name, run in zip(names, runs, strict=True)]
    found = {}
    for name, with_seed, run in zip(names, seeded, runs, strict=True):
        if names.count(name) > 1:
            name = with_seed if seeded.count(with_seed) == 1 else f"{name} ({run.folder.path})"
        found[name] = run
    return found

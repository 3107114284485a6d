"""The folder of a run: its paths, and loading a trained model from it"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from seq2attn.config.load import dump_config, load_config
from seq2attn.config.schema import Config
from seq2attn.config.settings import as_in_run
from seq2attn.data.cache import write_whole
from seq2attn.data.subwords import Subwords
from seq2attn.errors import ConfigError, RunError, disk_errors
from seq2attn.models.build import build_model
from seq2attn.models.precision import kept_kernels, resolve_precision, slowness
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.checkpoint import check_made_for, load_weights, made_for, newest_intact, set_weights

RUNS = Path("runs")
"""The default folder of runs."""
_LISTED_RUNS = 3


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the folder of a run."""

    path: Path

    @classmethod
    def named(cls, name: str) -> RunFolder:
        """The default folder of a run called `name`.

        Raises: ConfigError where `name` is not a valid folder name inside the folder of runs.
        """
        if name in ("", ".", "..") or not set(name).isdisjoint("/\\\0"):
            raise ConfigError(f"name: {name!r} cannot name a folder in {RUNS}; give one with --run-dir")
        return cls(RUNS / name)

    @property
    def config_file(self) -> Path:
        """The resolved configuration; a folder that has it is a run."""
        return self.path / "config.yaml"

    @property
    def env_file(self) -> Path:
        """Versions, device, seed, digests."""
        return self.path / "env.json"

    @property
    def metrics_file(self) -> Path:
        """The metrics of the training, one JSON object for each line."""
        return self.path / "metrics.jsonl"

    @property
    def scores_file(self) -> Path:
        """The scores of all evaluations, for programs."""
        return self.path / "scores.json"

    @property
    def card_file(self) -> Path:
        """The model card, for people."""
        return self.path / "README.md"

    @property
    def log_file(self) -> Path:
        """The messages of the training, as on the terminal."""
        return self.path / "log.txt"

    @property
    def tensorboard(self) -> Path:
        """The folder of event files."""
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
        """The checkpoint with the final weights of a finished run."""
        return self.checkpoints / "final"

    @property
    def exists(self) -> bool:
        """Whether the folder is a run."""
        return self.config_file.is_file()

    @property
    def finished(self) -> bool:
        """Whether the training of the run is finished."""
        return self.final.is_dir()

    def step(self, step: int) -> Path:
        """The checkpoint of update `step`."""
        return self.checkpoints / f"step_{step}"

    def steps(self) -> list[int]:
        """Updates that have a checkpoint, ascending."""
        names = [path.name.removeprefix("step_") for path in self.checkpoints.glob("step_*")]
        return sorted(int(name) for name in names if name.isdigit())

    def newest_first(self) -> list[Path]:
        """All checkpoints, the preferred one first."""
        return [self.final] * self.finished + [self.step(step) for step in reversed(self.steps())]

    def read_config(self) -> Config:
        """The resolved configuration.

        Raises: RunError where the folder is not a run.
        """
        if not self.exists:
            what = "has no config.yaml" if self.path.is_dir() else "does not exist"
            raise RunError(f"{self.path}: not a run folder, it {what}; {_other_runs(self.path)}")
        return load_config(self.config_file)

    def is_of(self, config: Config) -> bool:
        """Whether the run has the settings of `config`, where `auto` is what it stood for when the run began.

        Raises: RunError where the folder is not a run.
        """
        of_run = self.read_config()
        return of_run == as_in_run(config, of_run)

    def read_env(self) -> dict[str, Any]:
        """Versions, device, seed, digests; empty if missing."""
        try:
            return dict(json.loads(self.env_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def read_metrics(self) -> list[dict[str, float]]:
        """The lines of `metrics.jsonl`, without truncated or damaged ones."""
        try:
            lines = self.metrics_file.read_bytes().splitlines()
        except OSError:
            return []
        return [metrics for line in lines if (metrics := _metrics(line)) is not None]

    def make(self) -> None:
        """Create the folder, which is not a run yet.

        Raises: DiskError where that is not possible.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def begin(self, config: Config) -> None:
        """Write the configuration, which makes the folder a run."""
        with disk_errors(self.path):
            write_whole(self.config_file, dump_config(config).encode())

    def write_env(self, env: Mapping[str, Any]) -> None:
        """Write what the run depends on in addition to its configuration."""
        with disk_errors(self.path):
            write_whole(self.env_file, (json.dumps(env, indent=1, ensure_ascii=False) + "\n").encode())


def _metrics(line: bytes) -> dict[str, float] | None:
    """The metrics in one line; None where it is damaged."""
    try:
        metrics = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(metrics, dict) or "step" not in metrics:
        return None
    numbers = (isinstance(value, int | float) and math.isfinite(value) for value in metrics.values())
    return metrics if all(numbers) else None


@dataclass(frozen=True)
class TrainedRun:
    """A loaded run: everything that translation and evaluation need."""

    folder: RunFolder
    config: Config
    subwords: Subwords
    model: Seq2Seq
    about: Mapping[str, Any]
    """The manifest of its checkpoint: step, validation scores, digests."""

    @property
    def name(self) -> str:
        """The name of the run in tables and figures."""
        return self.config.name or self.folder.path.name

    @property
    def has_final_weights(self) -> bool:
        """Whether these are the final weights of a finished run."""
        return "weights" in self.about


def _other_runs(path: Path) -> str:
    """A hint at the runs that `path`, which is not a run, may mean: those in it, or a sibling with a similar name."""
    inside = sorted(config.parent for pattern in ("*", "*/*") for config in path.glob(f"{pattern}/config.yaml"))
    if inside:
        more = f" and {len(inside) - _LISTED_RUNS} more" if len(inside) > _LISTED_RUNS else ""
        return f"runs in it: {', '.join(map(str, inside[:_LISTED_RUNS]))}{more}"
    siblings = [config.parent.name for config in path.parent.glob("*/config.yaml")]
    for name in get_close_matches(path.name, siblings, n=1):
        return f"did you mean {path.parent / name}?"
    return "`seq2attn train` creates one"


def load_run(path: Path, device: torch.device, search: Mapping[str, object] | None = None) -> TrainedRun:
    """The run in `path`, with its final weights, or with its newest ones if it is not finished.

    A damaged checkpoint is reported on stderr, and the newest intact one is used instead. `search`: settings of
    `DecodeConfig` in place of the run's, which are valid. Its precision is then what `auto` stands for on `device`;
    stderr also says if that is slow.

    Raises: RunError, DataError, CheckpointError.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    decode = config.decode.model_copy(update=search)
    decode = decode.model_copy(update={"precision": resolve_precision(decode.precision, device)})
    if (slow := slowness(decode.precision, device)) is not None:
        print(f"seq2attn: decode.precision: {slow}", file=sys.stderr)
    config = config.model_copy(update={"decode": decode})
    subwords = Subwords.load(path)
    checkpoint = newest_intact(folder.newest_first(), lambda line: print(f"seq2attn: {line}", file=sys.stderr))
    if checkpoint is None:
        resume = f"seq2attn train {folder.config_file} --run-dir {path} --resume"
        raise RunError(f"{path}: has no checkpoint yet; resume the training with `{resume}`")
    about = check_made_for(checkpoint, made_for(config.model, subwords))
    # Building draws initial weights, which are replaced at once.
    with torch.random.fork_rng([]), kept_kernels(device, decode.precision):
        model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint)
    set_weights(model, load_weights(checkpoint), str(checkpoint))
    return TrainedRun(folder, config, subwords, model.to(device).eval(), about)


def untrained(run: TrainedRun) -> TrainedRun:
    """`run` with the random weights of its seed, with which its training began unless it started from another run."""
    subwords, device = run.subwords, next(run.model.parameters()).device
    with torch.random.fork_rng([]):
        torch.manual_seed(run.config.train.seed)
        model = build_model(run.config.model, subwords.source_size, subwords.target_size, subwords.joint)
    return replace(run, model=model.to(device).eval())


def load_runs(paths: Sequence[Path], device: torch.device) -> dict[str, TrainedRun]:
    """The runs in `paths` by name; unfinished runs are marked as such.

    Runs with the same name are distinguished by their seeds or, if the seeds are also the same, by their folders.

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

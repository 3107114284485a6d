"""Runs listed and compared from what their folders hold; no model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from seq2attn.config.settings import DifferingSetting, differing_settings, flat_settings
from seq2attn.data.store import OWN
from seq2attn.errors import RunError, Seq2AttnError
from seq2attn.runs.checkpoint import read_about
from seq2attn.runs.folder import RunFolder
from seq2attn.runs.lock import is_locked
from seq2attn.runs.scores import KeptScore, read_scores

State = Literal["finished", "training", "stopped"]
_SPEED = "speed/target_tokens_per_second"


@dataclass(frozen=True)
class RunAccount:
    """What is told of one run; None where its folder does not say it."""

    path: str
    name: str
    state: State
    """Whether it came to its end, a process trains it now, or it waits for `--resume`."""
    kind: str
    attention: str
    corpus: str
    corpus_digest: str | None
    machine: str | None
    parameters: int | None
    steps: int
    """Of the newest report or checkpoint; a training that goes on, or was killed, may be further."""
    minutes: float | None
    """Of training, validation included; known of finished runs."""
    tokens_per_second: float | None
    """Target tokens in training, the median of what was measured on the way."""
    loss: float | None
    """Of validation, in nats for a target token: of the final weights, before the end that of the last validation."""
    bleu: float | None
    """Of validation sentences translated greedily, likewise."""
    test_score: KeptScore | None
    """The newest BLEU on the test sentences, where the run was evaluated."""
    trained: datetime
    """When its training last told something."""
    size_bytes: int
    settings: Mapping[str, object]
    """Every setting by its dotted key."""


@dataclass(frozen=True)
class BrokenRun:
    """The folder of a run that cannot be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class RunList:
    """The runs in a folder, the newest first."""

    runs: tuple[RunAccount, ...]
    broken: tuple[BrokenRun, ...]

    def to_json(self) -> str:
        """Both lists as indented JSON."""
        return TypeAdapter(RunList).dump_json(self, indent=2).decode()


def list_runs(folder: Path) -> RunList:
    """The runs in `folder`, however deep, or that one run.

    Raises: RunError where there is none.
    """
    require_folder(folder)
    runs, broken = [], []
    for path in _run_folders(folder):
        try:
            runs.append(read_account(path))
        except Seq2AttnError as error:
            broken.append(BrokenRun(str(path), str(error)))
        except OSError as error:
            broken.append(BrokenRun(str(path), f"{error.filename}: cannot be read ({error.strerror})"))
    if not runs and not broken:
        raise RunError(f"{folder}: no run in it; `seq2attn train` makes one")
    return RunList(tuple(sorted(runs, key=lambda run: run.trained, reverse=True)), tuple(broken))


def require_folder(runs: Path) -> None:
    """Raises: RunError where there is no folder `runs`."""
    if not runs.is_dir():
        raise RunError(f"{runs}: no such folder; expected one with runs in it, which `seq2attn train` makes")


def read_account(path: Path) -> RunAccount:
    """What the run in `path` tells.

    Raises: RunError where it is none; ConfigError, CheckpointError where it is damaged.
    """
    folder = RunFolder(path)
    config, env, metrics = folder.read_config(), folder.read_env(), folder.read_metrics()
    final = read_about(folder.final) if folder.finished else {}
    speeds = [figures[_SPEED] for figures in metrics if _SPEED in figures]
    told = folder.log_file if folder.log_file.exists() else folder.config_file
    facts = {
        "path": str(path),
        "name": config.name or path.name,
        "state": "finished" if final else "training" if is_locked(path) else "stopped",
        "kind": config.model.kind,
        "attention": config.model.attention,
        "corpus": str(env.get("corpus", config.data.corpus or OWN)),
        "corpus_digest": env.get("corpus_digest"),
        "machine": env.get("machine"),
        "parameters": env.get("parameters"),
        # A training that was stopped wrote a checkpoint after its last report.
        "steps": max([0, *(int(figures["step"]) for figures in metrics), *folder.steps()]),
        "minutes": final["seconds"] / 60 if "seconds" in final else None,
        "tokens_per_second": median(speeds) if speeds else None,
        "loss": _figure(final, metrics, "loss"),
        "bleu": _figure(final, metrics, "bleu"),
        "test_score": _test_score(folder),
        "trained": datetime.fromtimestamp(int(told.stat().st_mtime), UTC),
        "size_bytes": _size_bytes(path),
        "settings": flat_settings(config),
    }
    try:
        return _ACCOUNT.validate_python(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RunError(f"{folder.env_file}: {first['loc'][0]}: {first['msg']}; it was changed by hand") from error


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders with what a training leaves, an incomplete one too; nothing is looked for within them."""
    for place, folders, files in os.walk(folder):
        if {"config.yaml", "metrics.jsonl"} & set(files) or "checkpoints" in folders:
            folders.clear()
            yield Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _figure(final: Mapping[str, Any], metrics: Sequence[Mapping[str, float]], name: str) -> float | None:
    if final:
        return final.get(f"validation_{name}")
    return next((line[key] for line in reversed(metrics) if (key := f"{name}/validation") in line), None)


def _test_score(folder: RunFolder) -> KeptScore | None:
    of_test = [score for score in read_scores(folder) if (score.metric, score.split) == ("BLEU", "test")]
    return of_test[-1] if of_test else None


def _size_bytes(path: Path) -> int:
    """The bytes of all files in `path`; a training may take one away meanwhile."""
    size = 0
    for place, _, files in os.walk(path):
        for name in files:
            with suppress(FileNotFoundError):
                size += (Path(place) / name).lstat().st_size
    return size


_ACCOUNT = TypeAdapter(RunAccount)


@dataclass(frozen=True)
class Comparison:
    """Several runs, the first of which the others are held against."""

    runs: tuple[RunAccount, ...]
    settings: tuple[DifferingSetting, ...]
    """Those that are not the same in all runs."""
    notes: tuple[str, ...]
    """What the figures must be read with."""

    def to_json(self) -> str:
        """Everything as indented JSON."""
        return TypeAdapter(Comparison).dump_json(self, indent=2).decode()


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """The runs in `paths` beside each other, in their order.

    Raises: RunError where there are fewer than two, or one is none; ConfigError, CheckpointError where one is damaged.
    """
    if len(paths) < 2:
        raise RunError(f"{paths[0]}: one run; expected two or more to compare (`seq2attn runs` lists them)")
    runs = tuple(map(read_account, paths))
    return Comparison(runs, tuple(differing_settings([run.settings for run in runs])), tuple(_notes(runs)))


def _notes(runs: Sequence[RunAccount]) -> list[str]:
    notes = [
        f"{run.path}: not finished; loss and BLEU are those of its last validation"
        for run in runs
        if run.state != "finished"
    ]
    if len({run.corpus_digest for run in runs}) > 1:
        notes.append("not trained on the same text: loss and BLEU cannot be compared")
    if len({run.machine for run in runs}) > 1:
        notes.append("not trained on the same machine: tokens/s and minutes say little")
    scores = [run.test_score for run in runs if run.test_score is not None]
    if len({(score.beam_size, score.signature, score.sentences) for score in scores}) > 1:
        notes.append("not evaluated alike on the test sentences: their BLEU cannot be compared")
    return notes

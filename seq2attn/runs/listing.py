"""Listing and comparing runs by the files in their folders, without loading models"""

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
    """The facts about one run; None where its folder does not have them."""

    path: str
    name: str
    state: State
    """Whether it is finished, a process is training it now, or `--resume` can continue it."""
    kind: str
    attention: str
    corpus: str
    corpus_digest: str | None
    machine: str | None
    parameters: int | None
    steps: int
    """Of the newest line of metrics or checkpoint; a running or killed training may be further."""
    minutes: float | None
    """Of training, validation included; only for finished runs."""
    tokens_per_second: float | None
    """Target tokens in training, the median over the run."""
    loss: float | None
    """Validation loss in nats per target token, of the final weights or, before the end, of the last validation."""
    bleu: float | None
    """BLEU of greedy translations of validation sentences, with the same weights."""
    test_score: KeptScore | None
    """The newest BLEU on the test sentences, if the run was evaluated."""
    trained: datetime
    """When its training last wrote to the log."""
    size_bytes: int
    settings: Mapping[str, object]
    """Every setting by its dotted key."""


@dataclass(frozen=True)
class BrokenRun:
    """A run folder that cannot be read, and the reason."""

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
    """The runs in `folder` at any depth, or the run that it is.

    Raises: RunError where no run is found.
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
        raise RunError(f"{folder}: contains no run; `seq2attn train` creates one")
    return RunList(tuple(sorted(runs, key=lambda run: run.trained, reverse=True)), tuple(broken))


def require_folder(runs: Path) -> None:
    """Raises: RunError where `runs` is not a folder."""
    if not runs.is_dir():
        raise RunError(f"{runs}: no such folder; expected a folder of runs, which `seq2attn train` creates")


def read_account(path: Path) -> RunAccount:
    """The facts about the run in `path`.

    Raises: RunError where it is not a run; ConfigError, CheckpointError where it is damaged.
    """
    folder = RunFolder(path)
    config, env, metrics = folder.read_config(), folder.read_env(), folder.read_metrics()
    final = read_about(folder.final) if folder.finished else {}
    speeds = [line[_SPEED] for line in metrics if _SPEED in line]
    newest = folder.log_file if folder.log_file.exists() else folder.config_file
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
        # A stopped training writes a checkpoint after its last line of metrics.
        "steps": max([0, *(int(line["step"]) for line in metrics), *folder.steps()]),
        "minutes": final["seconds"] / 60 if "seconds" in final else None,
        "tokens_per_second": median(speeds) if speeds else None,
        "loss": _validation_score(final, metrics, "loss"),
        "bleu": _validation_score(final, metrics, "bleu"),
        "test_score": _test_score(folder),
        "trained": datetime.fromtimestamp(int(newest.stat().st_mtime), UTC),
        "size_bytes": _size_bytes(path),
        "settings": flat_settings(config),
    }
    try:
        return _ACCOUNT.validate_python(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RunError(f"{folder.env_file}: {first['loc'][0]}: {first['msg']}; the file was changed by hand") from error


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders with files of a training, also incomplete ones; folders within them are not searched."""
    for place, folders, files in os.walk(folder):
        if {"config.yaml", "metrics.jsonl"} & set(files) or "checkpoints" in folders:
            folders.clear()
            yield Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def _validation_score(final: Mapping[str, Any], metrics: Sequence[Mapping[str, float]], name: str) -> float | None:
    if final:
        return final.get(f"validation_{name}")
    return next((line[key] for line in reversed(metrics) if (key := f"{name}/validation") in line), None)


def _test_score(folder: RunFolder) -> KeptScore | None:
    of_test = [score for score in read_scores(folder) if (score.metric, score.split) == ("BLEU", "test")]
    return of_test[-1] if of_test else None


def _size_bytes(path: Path) -> int:
    """The bytes of all files in `path`; a running training may delete some of them meanwhile."""
    size = 0
    for place, _, files in os.walk(path):
        for name in files:
            with suppress(FileNotFoundError):
                size += (Path(place) / name).lstat().st_size
    return size


_ACCOUNT = TypeAdapter(RunAccount)


@dataclass(frozen=True)
class Comparison:
    """Several runs, compared with the first."""

    runs: tuple[RunAccount, ...]
    settings: tuple[DifferingSetting, ...]
    """The settings that differ between runs."""
    notes: tuple[str, ...]
    """Warnings about numbers that cannot be compared."""

    def to_json(self) -> str:
        """Everything as indented JSON."""
        return TypeAdapter(Comparison).dump_json(self, indent=2).decode()


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """The runs in `paths`, compared in this order.

    Raises: RunError for fewer than two paths or a path that is not a run; ConfigError, CheckpointError where a run is
    damaged.
    """
    if len(paths) < 2:
        raise RunError(f"{paths[0]}: only one run; expected two or more to compare (`seq2attn runs` lists them)")
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
        notes.append("not trained on the same machine: tokens/s and minutes are not comparable")
    scores = [run.test_score for run in runs if run.test_score is not None]
    if len({(score.beam_size, score.signature, score.sentences) for score in scores}) > 1:
        notes.append("test sentences evaluated with different settings: their BLEU cannot be compared")
    return notes

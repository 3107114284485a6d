"""Training text in shards: several processes clean one each, and a killed run continues with those that are left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seq2attn.config.schema import DataConfig
from seq2attn.corpora.splits import Origin
from seq2attn.data.cache import build_once, keyed_folder
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_training
from seq2attn.data.duplicates import digest_of, first_occurrences
from seq2attn.data.locations import files_of, find_shards, identity
from seq2attn.data.store import ROW_SCHEMA, CleanShard, Row, write_table
from seq2attn.data.workers import do_all

# Part of every key. Raise it when the layout of the folders or the cleaning changes.
_FORMAT_VERSION = 1

_TEXT = "text.arrow"
_DIGESTS = "digests"
_CARD = "card.json"


@dataclass(frozen=True)
class Cleaning:
    """How shards are cleaned, and where they are kept."""

    settings: Mapping[str, Any]
    """Of the digest of the corpus."""
    rules: TrainingRules
    cache: Path
    n_processes: int


@dataclass(frozen=True)
class _CleaningJob:
    shard: Origin
    rules: TrainingRules
    folder: Path
    with_digests: bool


@dataclass(frozen=True)
class _SelectionJob:
    cleaned: Path
    kept: NDArray[np.bool_]
    folder: Path


Job = TypeVar("Job", _CleaningJob, _SelectionJob)


def shards_of(origin: Origin, config: DataConfig) -> list[Origin]:
    """The parts of the training text that are cleaned one by one; none where it has to be read as a whole."""
    spec = origin.files["train"]
    shards = find_shards(spec, origin.file_languages[0])
    # Documents may continue in the next shard, and rows are drawn from all.
    needs_whole = config.join != 1 or config.confirm is not None
    if needs_whole or (shards is None and not config.drop_duplicates):
        return []
    specs = [spec] if shards is None else [str(shard) for shard in shards]
    return [replace(origin, files={"train": spec}) for spec in specs]


def clean_shards(shards: Sequence[Origin], cleaning: Cleaning, drop_duplicates: bool) -> tuple[list[Path], SplitCounts]:
    """The folders of all cleaned shards that are not empty, in order, and what was read and dropped in all.

    Raises: DataError, FetchError; DiskError if the cache cannot be written; WorkerError if a process was killed.
    """
    held_out = hashlib.sha256("\n".join(sorted(cleaning.rules.held_out_sources)).encode()).hexdigest()
    jobs = []
    for shard in shards:
        files = [identity(file) for file in files_of(shard.files["train"], *shard.file_languages)]
        folder = _folder(cleaning.cache, cleaning.settings, shard.swapped, files, held_out)
        jobs.append(_CleaningJob(shard, cleaning.rules, folder, drop_duplicates))
    # fsspec's files in memory exist in this process only.
    is_here = any(str(shard.files["train"]).startswith("memory://") for shard in shards)
    n_processes = 1 if is_here else cleaning.n_processes
    _run(_clean, jobs, n_processes, "cleaned")
    folders = [job.folder for job in jobs]
    if drop_duplicates:
        folders = _without_duplicates(folders, cleaning.cache, n_processes)
    counts = SplitCounts()
    for folder in folders:
        counts.add(SplitCounts(**_read_card(folder)["counts"]))
    return [folder for folder in folders if read_shard(folder).pairs], counts


def read_shard(folder: Path) -> CleanShard:
    """The cleaned shard in `folder`. Raises OSError or ValueError if it is damaged."""
    card = _read_card(folder)
    return CleanShard(folder / _TEXT, card["counts"]["kept"], card["digest"])


def _run(function: Callable[[Job], None], jobs: Sequence[Job], n_processes: int, what: str) -> None:
    """Do the jobs whose folders do not exist yet."""
    do_all(function, [job for job in jobs if not job.folder.is_dir()], n_processes, f"{what} shards:")


def _folder(cache: Path, *key: object) -> Path:
    return keyed_folder(cache, "shard", _FORMAT_VERSION, *key)


def _clean(job: _CleaningJob) -> None:
    build_once(job.folder, lambda draft: _write_clean(draft, job))


def _write_clean(draft: Path, job: _CleaningJob) -> None:
    counts, digest = SplitCounts(), hashlib.sha256()
    rows = clean_training(job.shard.read("train"), job.rules, counts)
    rows = _digested(rows, draft / _DIGESTS) if job.with_digests else rows
    write_table(draft / _TEXT, rows, digest.update)
    _write_card(draft, digest.hexdigest(), counts)


def _digested(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """The rows, whose digests are written to `path`."""
    with path.open("wb") as file:
        for row in rows:
            file.write(digest_of(row[0], row[1]))
            yield row


def _without_duplicates(folders: Sequence[Path], cache: Path, n_processes: int) -> list[Path]:
    """The folders of the shards without what an earlier shard or row contains."""
    jobs = []
    unique = []
    for folder, kept in zip(folders, first_occurrences([folder / _DIGESTS for folder in folders]), strict=True):
        if not kept.all():
            rows = hashlib.sha256(np.packbits(kept).tobytes()).hexdigest()
            jobs.append(_SelectionJob(folder, kept, _folder(cache, folder.name, rows)))
        unique.append(folder if kept.all() else jobs[-1].folder)
    _run(_select, jobs, n_processes, "selected from")
    return unique


def _select(job: _SelectionJob) -> None:
    build_once(job.folder, lambda draft: _write_selection(draft, job))


def _write_selection(draft: Path, job: _SelectionJob) -> None:
    card, start = _read_card(job.cleaned), 0
    with (
        pa.memory_map(str(job.cleaned / _TEXT)) as text,
        pa.OSFile(str(draft / _TEXT), "wb") as sink,
        pa.ipc.new_stream(sink, ROW_SCHEMA) as writer,
    ):
        for batch in pa.ipc.open_stream(text):
            writer.write_batch(batch.filter(pa.array(job.kept[start : start + len(batch)])))
            start += len(batch)
    counts = SplitCounts(**card["counts"])
    counts.kept = int(job.kept.sum())
    counts.dropped["duplicate"] = len(job.kept) - counts.kept
    digest = hashlib.sha256(card["digest"].encode() + np.packbits(job.kept).tobytes())
    _write_card(draft, digest.hexdigest(), counts)


def _write_card(folder: Path, digest: str, counts: SplitCounts) -> None:
    card = {"digest": digest, "counts": asdict(counts)}
    (folder / _CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")


def _read_card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    return card

"""Token ids of sentence pairs in memory-mapped Arrow files: encoded once, read without copying.

A corpus in shards has a file of ids for each, made in several processes; those that exist are not made again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2attn.data.cache import build_once, keyed_folder
from seq2attn.data.store import CleanShard, Corpus
from seq2attn.data.subwords import Subwords
from seq2attn.data.workers import do_all
from seq2attn.errors import DataError

if TYPE_CHECKING:
    import datasets

Ids = npt.NDArray[np.integer]

# Part of every cache key. Raise it when the layout of the file or the encoding changes.
_FORMAT_VERSION = 1

# Every batch of a file except the last has this many pairs, so a division finds the batch of a pair.
_PAIRS_PER_BATCH = 8192
_FILE = "ids.arrow"
_LENGTHS = "lengths.npy"


class EncodedPairs:
    """Token ids of sentence pairs, in order. Of a single file the lengths are in memory, 8 bytes per pair."""

    def __init__(self, *paths: Path, lengths: Path | None = None) -> None:
        """Open files written by `encode_split`; `lengths` has those of the pairs of several files.

        Raises: DataError if one is missing or damaged.
        """
        files = [_read_batches(path) for path in paths]
        try:
            known = (None, None) if lengths is None else np.lib.format.open_memmap(lengths, mode="r")
        except (OSError, ValueError) as error:
            raise _damaged(lengths or paths[0]) from error
        self._sources = _Column([[batch.column("source") for batch in file] for file in files], known[0])
        self._targets = _Column([[batch.column("target") for batch in file] for file in files], known[1])

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._sources.lengths)

    @property
    def source_lengths(self) -> Ids:
        """Tokens of each source, EOS included: `(pairs,)`."""
        return self._sources.lengths

    @property
    def target_lengths(self) -> Ids:
        """Tokens of each target, without BOS and EOS: `(pairs,)`."""
        return self._targets.lengths

    def source(self, index: int) -> Ids:
        """Ids of a source, EOS included: a read-only view, `(source_len,)`."""
        return self._sources.ids(index)

    def target(self, index: int) -> Ids:
        """Ids of a target, without BOS and EOS: a read-only view, `(target_len,)`."""
        return self._targets.ids(index)


class _Column:
    """Views of one column of lists: in each file, batches of `_PAIRS_PER_BATCH` rows and a shorter one at the end."""

    def __init__(self, files: list[list[pa.ListArray]], lengths: Ids | None) -> None:
        batches = [batch for file in files for batch in file]
        self._values: list[Ids] = [batch.values.to_numpy() for batch in batches]
        self._offsets: list[Ids] = [batch.offsets.to_numpy() for batch in batches]
        self._first_rows = [0, *accumulate(sum(map(len, file)) for file in files)]
        self._first_batches = [0, *accumulate(map(len, files))]
        self.lengths: Ids = np.concatenate(list(map(np.diff, self._offsets))) if lengths is None else lengths

    def ids(self, index: int) -> Ids:
        file = bisect_right(self._first_rows, index) - 1
        batch, row = divmod(int(index) - self._first_rows[file], _PAIRS_PER_BATCH)
        batch += self._first_batches[file]
        start, end = self._offsets[batch][row : row + 2]
        return self._values[batch][start:end]


def _read_batches(path: Path) -> list[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> DataError:
    return DataError(f"{path.parent}: damaged cache; delete the folder and run the command again")


def encode_split(
    corpus: Corpus, split: str, subwords: Subwords, cache_folder: Path, n_processes: int = 1
) -> EncodedPairs:
    """The ids of one split of `corpus`, read from `cache_folder` or encoded into it.

    `n_processes`: how many encode the training text, if it is in shards.

    Raises: DiskError if the cache cannot be written; DataError if it is damaged; WorkerError if a process was killed.
    """
    if split == "train" and corpus.shards:
        return _encode_shards(corpus.shards, subwords, cache_folder, n_processes)
    folder = _folder(cache_folder, corpus.digest, split, subwords.digest)
    build_once(folder, lambda draft: _write(draft / _FILE, corpus.splits[split], subwords, pa.int32()))
    return EncodedPairs(folder / _FILE)


@dataclass(frozen=True)
class _EncodingJob:
    """The text of a shard, and the folder for its ids."""

    text: Path
    models: tuple[bytes, ...]
    """Of the subwords."""
    folder: Path


def _encode_shards(
    shards: Sequence[CleanShard], subwords: Subwords, cache_folder: Path, n_processes: int
) -> EncodedPairs:
    folders = [_folder(cache_folder, shard.digest, "shard", subwords.digest) for shard in shards]
    jobs = [
        _EncodingJob(shard.file, subwords.models, folder)
        for shard, folder in zip(shards, folders, strict=True)
        if not folder.is_dir()
    ]
    do_all(_encode_shard, jobs, n_processes, "encoded shards:")
    paths = [folder / _FILE for folder in folders]
    lengths = _folder(cache_folder, *(shard.digest for shard in shards), "lengths", subwords.digest)
    build_once(lengths, lambda draft: _write_lengths(draft / _LENGTHS, paths, sum(shard.pairs for shard in shards)))
    return EncodedPairs(*paths, lengths=lengths / _LENGTHS)


def _encode_shard(job: _EncodingJob) -> None:
    import datasets

    subwords = Subwords(*job.models, threads=1)  # beside it, other processes use the other cores
    # Half the size of those of `encode_split`, which old caches contain.
    small = max(subwords.source_size, subwords.target_size) <= 2**16
    table = datasets.Dataset.from_file(str(job.text))
    ids = pa.uint16() if small else pa.int32()
    build_once(job.folder, lambda draft: _write(draft / _FILE, table, subwords, ids))


def _folder(cache_folder: Path, *key: str) -> Path:
    return keyed_folder(cache_folder, "ids", _FORMAT_VERSION, *key)


def _write(path: Path, table: datasets.Dataset, subwords: Subwords, ids: pa.DataType) -> None:
    schema = pa.schema([("source", pa.list_(ids)), ("target", pa.list_(ids))])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows in table.iter(_PAIRS_PER_BATCH):
            columns = [subwords.encode_source(rows["source"]), subwords.encode_target(rows["target"])]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _write_lengths(path: Path, paths: Sequence[Path], n_pairs: int) -> None:
    """Write the lengths of all sources and targets, `(2, pairs)`: one row of both in memory at a time for each file."""
    lengths = np.lib.format.open_memmap(path, mode="w+", dtype=np.int32, shape=(2, n_pairs))
    first = 0
    for pairs in map(EncodedPairs, paths):
        lengths[:, first : first + len(pairs)] = pairs.source_lengths, pairs.target_lengths
        first += len(pairs)
    lengths.flush()

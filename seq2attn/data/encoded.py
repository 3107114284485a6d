"""Token ids of sentence pairs in memory-mapped Arrow files: encoded once, read without copying."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2attn.data.cache import build_once
from seq2attn.data.store import Corpus
from seq2attn.data.subwords import Subwords
from seq2attn.errors import DataError

Ids = npt.NDArray[np.int32]

# Part of every cache key. Raise it when the layout of the file or the encoding changes.
_FORMAT_VERSION = 1

# Every batch of a file except the last has this many pairs, so a division finds the batch of a pair.
_PAIRS_PER_BATCH = 8192
_SCHEMA = pa.schema([("source", pa.list_(pa.int32())), ("target", pa.list_(pa.int32()))])
_FILE = "ids.arrow"


class EncodedPairs:
    """Token ids of sentence pairs, in order. Only the lengths are in memory, 8 bytes per pair."""

    def __init__(self, path: Path) -> None:
        """Open `path`, a file written by `encode_split`.

        Raises: DataError if it is missing or damaged.
        """
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path.parent}: damaged cache; delete the folder and run the command again") from error
        self._sources = _Column([batch.column("source") for batch in batches])
        self._targets = _Column([batch.column("target") for batch in batches])

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
    """Views of one column of lists, batch by batch."""

    def __init__(self, batches: list[pa.ListArray]) -> None:
        self._values: list[Ids] = [batch.values.to_numpy() for batch in batches]
        self._offsets: list[Ids] = [batch.offsets.to_numpy() for batch in batches]
        self.lengths: Ids = np.concatenate([np.diff(offsets) for offsets in self._offsets])

    def ids(self, index: int) -> Ids:
        batch, row = divmod(index, _PAIRS_PER_BATCH)
        start, end = self._offsets[batch][row : row + 2]
        return self._values[batch][start:end]


def encode_split(corpus: Corpus, split: str, subwords: Subwords, cache_folder: Path) -> EncodedPairs:
    """The ids of one split of `corpus`, read from `cache_folder` or encoded into it.

    Raises: DiskError if the cache cannot be written; DataError if it is damaged.
    """
    key = json.dumps([_FORMAT_VERSION, corpus.digest, split, subwords.digest])
    folder = cache_folder / f"ids-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
    build_once(folder, lambda draft: _write(draft / _FILE, corpus, split, subwords))
    return EncodedPairs(folder / _FILE)


def _write(path: Path, corpus: Corpus, split: str, subwords: Subwords) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for rows in corpus.splits[split].iter(_PAIRS_PER_BATCH):
            ids = [subwords.encode_source(rows["source"]), subwords.encode_target(rows["target"])]
            writer.write_batch(pa.record_batch(ids, schema=_SCHEMA))

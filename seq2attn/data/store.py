"""Corpora: fetched ones on disk (a Parquet file per split, and a card), and cleaned ones as tables."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from platformdirs import user_data_path

from seq2attn.data.cache import build_once
from seq2attn.errors import DataError, FetchError

if TYPE_CHECKING:
    import datasets

SPLITS = ("train", "validation", "test")

OWN = "own"
"""The name of a corpus made of the user's own files."""

Row = tuple[str, str, str | None]
"""Source, target, and the document that contains both (None if the corpus names no documents)."""

Values = TypeVar("Values", bound=tuple[Any, ...])

_CARD = "card.json"
_ROWS_PER_BATCH = 10_000
ROW_SCHEMA = pa.schema([("source", pa.string()), ("target", pa.string()), ("document", pa.string())])


@dataclass(frozen=True)
class CatalogEntry:
    """One named corpus in one direction of translation."""

    name: str
    title: str
    source_language: str
    target_language: str
    origin: str
    """Source of the text."""
    licence: str
    citation: str
    size: str
    """Number of pairs, in words."""
    tried: bool
    """Whether it has been fetched from the live source; False: only from local files of the same layout."""


@dataclass(frozen=True)
class RawCorpus:
    """A corpus as it was fetched, before the cleaning that all corpora share."""

    splits: Mapping[str, Iterable[Row]]
    """Rows of "train", "validation" and "test"; read once, in this order."""
    facts: Mapping[str, Any]
    """Further facts for its card: versions, hashes, counts."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text files to keep beside its splits, by name."""


@dataclass(frozen=True)
class CleanShard:
    """The cleaned pairs of one shard: an Arrow stream with the columns "source", "target" and "document"."""

    file: Path
    pairs: int
    digest: str
    """SHA-256 of the pairs."""


@dataclass(frozen=True)
class Corpus:
    """Cleaned sentence pairs of one direction of translation."""

    name: str
    """The catalogue's name, or `OWN`."""
    source_language: str
    target_language: str
    splits: Mapping[str, datasets.Dataset]
    """The tables "train", "validation", "test" and, with `data.confirm`, "confirm", with the columns "source" and
    "target" (normalised text) and "document" (the document that contains both; null if unknown).
    """
    counts: Mapping[str, Mapping[str, Any]]
    """For each split the numbers of pairs read, kept, added as clauses, added joined, and dropped by reason."""
    digest: str
    """SHA-256 of the cleaning settings and of every kept pair."""
    shards: Sequence[CleanShard] = ()
    """What "train" consists of, if it was cleaned in shards."""


def data_folder(configured: str | None) -> Path:
    """The folder of corpora and caches: the first of these that is set or exists.

    1. the environment variable `SEQ2ATTN_DATA`
    2. `configured`, the key `data.folder`
    3. `data` in the current folder
    4. the user's data folder of this system (`~/.local/share/seq2attn` on Linux), which need not exist yet
    """
    if chosen := os.environ.get("SEQ2ATTN_DATA") or configured:
        return Path(chosen)
    local = Path("data")
    return local if local.is_dir() else user_data_path("seq2attn", appauthor=False)


def corpus_folder(folder: Path, name: str) -> Path:
    """The folder of the corpus `name` in the data folder `folder`."""
    return folder / "corpora" / name


def is_kept(folder: Path, name: str) -> bool:
    """Whether the corpus has been fetched and no file of it is missing."""
    return all(file.is_file() for file in (corpus_folder(folder, name) / _CARD, *split_files(folder, name).values()))


def split_files(folder: Path, name: str) -> dict[str, Path]:
    """The Parquet file of each split, with the columns `source`, `target` and `document`."""
    return {split: corpus_folder(folder, name) / f"{split}.parquet" for split in SPLITS}


def read_card(folder: Path, name: str) -> dict[str, Any]:
    """The card of a fetched corpus: origin, licence, counts, digest.

    Raises: DataError if the card is damaged.
    """
    file = corpus_folder(folder, name) / _CARD
    try:
        card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a valid corpus card; delete {file.parent} and fetch {name} again") from error
    return card


def read_rows(file: Path, limit: int) -> list[dict[str, str | None]]:
    """The first `limit` rows of a split's Parquet file.

    Raises: DataError if the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            batches = parquet.iter_batches(batch_size=limit)
            return list(next(batches).to_pylist()) if parquet.metadata.num_rows else []
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: not a valid Parquet file; delete {file.parent} and fetch the corpus again") from error


def keep(entry: CatalogEntry, corpus: RawCorpus, folder: Path) -> Path:
    """Write `corpus` and its card to its folder in `folder`, which is returned. An interrupted write leaves nothing.

    Raises: DiskError if it cannot be written; FetchError if a split is empty.
    """
    place = corpus_folder(folder, entry.name)

    def write(draft: Path) -> None:
        card = _describe(entry) | dict(corpus.facts) | _write_splits(corpus.splits, draft)
        for name, text in corpus.files.items():
            (draft / name).write_text(text, encoding="utf-8")
        (draft / _CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    if not is_kept(folder, entry.name):
        _clear(place)
    build_once(place, write)
    return place


def _clear(place: Path) -> None:
    """Delete a corpus with missing files."""
    try:
        if place.exists():
            shutil.rmtree(place)
    except OSError as error:
        raise DataError(f"{place}: cannot be removed ({error.strerror or error}); delete it yourself") from error


def _describe(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "source_language": entry.source_language,
        "target_language": entry.target_language,
        "origin": entry.origin,
        "licence": entry.licence,
        "citation": entry.citation,
    }


def _write_splits(splits: Mapping[str, Iterable[Row]], draft: Path) -> dict[str, Any]:
    """Write all splits; the number of pairs in each, and a SHA-256 of all pairs in order."""
    digest = hashlib.sha256()
    sizes = {}
    for split in SPLITS:
        sizes[split] = 0
        with pq.ParquetWriter(draft / f"{split}.parquet", ROW_SCHEMA, compression="zstd") as writer:
            for rows in _batched(splits[split]):
                for source, target, _ in rows:
                    digest.update(f"{split}\0{source}\0{target}\n".encode())
                columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
                writer.write_table(pa.Table.from_arrays(columns, schema=ROW_SCHEMA))
                sizes[split] += len(rows)
        if not sizes[split]:
            raise FetchError(f"{split}: the source has no pairs here; its layout may have changed")
    return {"pairs": sizes, "digest": digest.hexdigest()}


def write_table(
    path: Path, rows: Iterable[Values], absorb: Callable[[bytes], object], schema: pa.Schema = ROW_SCHEMA
) -> None:
    """Write `rows` as an Arrow stream, one batch in memory at a time, and pass the bytes of the text to `absorb`."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in _batched(rows):
            # Normalised text has neither tabs nor line ends, so different lists of pairs have different bytes.
            absorb("".join(f"{row[0]}\t{row[1]}\n" for row in batch).encode())
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _batched(rows: Iterable[Values]) -> Iterator[list[Values]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _ROWS_PER_BATCH)):
        yield batch

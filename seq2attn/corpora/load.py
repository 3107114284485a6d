"""From any source of sentence pairs to cleaned, memory-mapped `datasets` tables, with counts and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from seq2attn.config.schema import DataConfig, JoinConfig
from seq2attn.corpora import catalog
from seq2attn.data.cache import build_once
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_held_out, clean_training
from seq2attn.data.derived import JoinedRow, join_split
from seq2attn.data.files import Pair, read_rows, resolve_files
from seq2attn.data.store import OWN, Corpus, Row, data_folder
from seq2attn.errors import ConfigError, DataError

# Part of every digest: raise it when the cleaning changes.
_FORMAT_VERSION = 3
# Part of every cache key: raise it when the layout of the cache changes.
_LAYOUT_VERSION = 2

# Training comes last, because its cleaning needs the held-out sentences.
_SPLITS = ("validation", "test", "train")
_ROWS_PER_BATCH = 10_000
_SCHEMA = pa.schema([("source", pa.string()), ("target", pa.string()), ("document", pa.string())])
_JOINED_SCHEMA = _SCHEMA.append(pa.field("members", pa.list_(pa.int32())))
_CARD = "card.json"
HOW_TO_NAME_DOCUMENTS = "give a .jsonl or .parquet file with a field document"


@dataclass(frozen=True)
class _Origin:
    """The source of a corpus's pairs; `swapped`: the files have the opposite direction."""

    name: str
    source_language: str
    target_language: str
    files: Mapping[str, str | list[str]]
    swapped: bool = False

    @property
    def file_languages(self) -> Pair:
        pair = self.source_language, self.target_language
        return pair[::-1] if self.swapped else pair

    def read(self, split: str) -> Iterator[Row]:
        rows = read_rows(self.files[split], *self.file_languages)
        return ((target, source, document) for source, target, document in rows) if self.swapped else rows


def cache_folder(config: DataConfig) -> Path:
    """The folder of everything that can be rebuilt from corpora."""
    return data_folder(config.folder) / "cache"


def load_corpus(config: DataConfig) -> Corpus:
    """The pairs selected by `config`: cleaned the first time, later read from the cache.

    Raises: ConfigError if it names no complete corpus, or languages that the corpus lacks; DataError if text is missing
    or broken, or a split is empty after cleaning; FetchError if a catalogue corpus cannot be fetched.
    """
    origin = _find_origin(config)
    folder = cache_folder(config) / f"corpus-{_cache_key(origin, config)}"
    build_once(folder, lambda draft: _build(draft, origin, config))
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        splits = {split: datasets.Dataset.from_file(str(folder / f"{split}.arrow")) for split in _SPLITS}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{folder}: damaged cache; delete the folder and run the command again") from error
    return Corpus(
        name=origin.name,
        source_language=origin.source_language,
        target_language=origin.target_language,
        splits=splits,
        counts=card["counts"],
        digest=card["digest"],
    )


def _find_origin(config: DataConfig) -> _Origin:
    own = {"train": config.train, "validation": config.validation, "test": config.test}
    if config.corpus is not None:
        given = [f"data.{split}" for split, spec in own.items() if spec is not None]
        if given:
            raise ConfigError(f"{' and '.join(given)}: data.corpus has its own splits; give one or the other")
        return _catalogue_origin(config, config.corpus)
    missing = [f"data.{split}" for split, spec in own.items() if spec is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: missing; give data.corpus (see `seq2attn data list`), or all of data.train, "
            "data.validation and data.test"
        )
    if config.source_language is None or config.target_language is None:
        raise ConfigError("data.source_language and data.target_language: your own files need both, as in de and en")
    files = {split: spec for split, spec in own.items() if spec is not None}
    return _Origin(OWN, config.source_language, config.target_language, files)


def _catalogue_origin(config: DataConfig, name: str) -> _Origin:
    entry = catalog.find(name)
    languages = (entry.source_language, entry.target_language)
    for source, target in (languages, languages[::-1]):
        if config.source_language in (None, source) and config.target_language in (None, target):
            files = catalog.read_splits(name, data_folder(config.folder))
            swapped = (source, target) != languages
            return _Origin(name, source, target, {split: str(path) for split, path in files.items()}, swapped)
    raise ConfigError(
        f"data.source_language and data.target_language: {name} has {' and '.join(languages)}, "
        f"not {config.source_language or 'any'} and {config.target_language or 'any'}; leave them out, or swap them"
    )


def _cleaning_settings(origin: _Origin, config: DataConfig) -> dict[str, Any]:
    limits = {"max_source_words", "max_target_words", "max_length_ratio", "split_clauses"}
    languages = {"source_language": origin.source_language, "target_language": origin.target_language}
    # Without joining, keep the digest of versions that could not join.
    join = {} if config.join == 1 else config.model_dump(include={"join"})
    return {"format_version": _FORMAT_VERSION} | languages | config.model_dump(include=limits) | join


def _cache_key(origin: _Origin, config: DataConfig) -> str:
    """A digest of everything that affects the cleaned text; a file counts as its path, size and modification time."""
    files = []
    for split in _SPLITS:
        for path in resolve_files(origin.files[split], *origin.file_languages):
            status = path.stat()
            files.append([split, str(path.resolve()), status.st_size, status.st_mtime_ns])
    key = json.dumps([_LAYOUT_VERSION, _cleaning_settings(origin, config), origin.swapped, files])
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def _build(folder: Path, origin: _Origin, config: DataConfig) -> None:
    settings = _cleaning_settings(origin, config)
    digest = hashlib.sha256(json.dumps(settings).encode())
    held_out_sources: set[str] = set()
    counts = {split: SplitCounts() for split in _SPLITS}
    groups = config.join if isinstance(config.join, JoinConfig) else None
    consecutive = config.join if isinstance(config.join, int) else 1
    for split in _SPLITS:
        rows = origin.read(split)
        if split == "train":
            rows = _with_documents(rows, origin) if consecutive > 1 else rows
            rules = TrainingRules(
                source_language=origin.source_language,
                target_language=origin.target_language,
                max_source_words=config.max_source_words,
                max_target_words=config.max_target_words,
                max_length_ratio=config.max_length_ratio,
                split_clauses=config.split_clauses,
                join=consecutive,
                held_out_sources=held_out_sources,
            )
            kept = clean_training(rows, rules, counts[split])
        else:
            kept = _remember_sources(clean_held_out(rows, counts[split]), held_out_sources)
        digest.update(f"{split}\n".encode())
        if groups is None:
            _write_split(folder / f"{split}.arrow", kept, digest.update)
        else:
            languages = origin.source_language, origin.target_language
            joined = join_split(kept, groups, languages, split, repeat_singles=split == "train")
            _write_split(folder / f"{split}.arrow", _counted(joined, counts[split]), digest.update, _JOINED_SCHEMA)
        _check_not_empty(origin, split, counts[split])
    card = {"digest": digest.hexdigest(), "counts": {split: asdict(counts[split]) for split in _SPLITS}}
    (folder / _CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")


def _remember_sources(rows: Iterable[Row], sources: set[str]) -> Iterator[Row]:
    for row in rows:
        sources.add(row[0])
        yield row


def _with_documents(rows: Iterable[Row], origin: _Origin) -> Iterator[Row]:
    """The rows. Raises ConfigError after the last if none names a document."""
    found = False
    for row in rows:
        found = found or row[2] is not None
        yield row
    if not found:
        raise ConfigError(f"data.join: {origin.files['train']} names no documents; {HOW_TO_NAME_DOCUMENTS}")


def _counted(rows: Iterable[JoinedRow], counts: SplitCounts) -> Iterator[JoinedRow]:
    """The rows. After the last, counts all but one row for each kept sentence as joined."""
    written = 0
    for row in rows:
        written += 1
        yield row
    counts.joined, counts.kept = written - counts.kept, written


def _write_split(
    path: Path, rows: Iterator[Row | JoinedRow], absorb: Callable[[bytes], object], schema: pa.Schema = _SCHEMA
) -> None:
    """Write `rows` as an Arrow stream, one batch in memory at a time, and pass the bytes of the text to `absorb`."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        while batch := list(islice(rows, _ROWS_PER_BATCH)):
            # Normalised text has neither tabs nor line ends, so different lists of pairs have different bytes.
            absorb("".join(f"{row[0]}\t{row[1]}\n" for row in batch).encode())
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _check_not_empty(origin: _Origin, split: str, counts: SplitCounts) -> None:
    if counts.kept:
        return
    why = ", ".join(f"{number} dropped as {reason}" for reason, number in counts.dropped.items())
    raise DataError(f"{origin.files[split]}: no {split} pairs are left of {counts.read} read; {why or 'it is empty'}")

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

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.config.schema import DataConfig, JoinConfig
from seq2attn.corpora import catalog
from seq2attn.corpora.held_out import WordCounts, draw_rows
from seq2attn.data.cache import build_once
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_held_out, clean_training
from seq2attn.data.derived import JoinedRow, is_joinable, join_split
from seq2attn.data.files import Pair, read_rows, resolve_files
from seq2attn.data.store import OWN, Corpus, Row, data_folder
from seq2attn.errors import ConfigError, DataError

# Part of every digest: raise it when the cleaning changes.
_FORMAT_VERSION = 3
# Part of every cache key: raise it when the layout of the cache changes.
_LAYOUT_VERSION = 2

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
    def languages(self) -> Pair:
        return self.source_language, self.target_language

    @property
    def file_languages(self) -> Pair:
        return self.languages[::-1] if self.swapped else self.languages

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
        splits = {split: datasets.Dataset.from_file(str(folder / f"{split}.arrow")) for split in _splits(config)}
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
    # A setting that is not used keeps the digest of versions that did not have it.
    join = {} if config.join == 1 else config.model_dump(include={"join"})
    confirm = {} if config.confirm is None else config.model_dump(include={"confirm"})
    return {"format_version": _FORMAT_VERSION} | languages | config.model_dump(include=limits) | join | confirm


def _cache_key(origin: _Origin, config: DataConfig) -> str:
    """A digest of everything that affects the cleaned text; a file counts as its path, size and modification time."""
    files = []
    for split in origin.files:
        for path in resolve_files(origin.files[split], *origin.file_languages):
            status = path.stat()
            files.append([split, str(path.resolve()), status.st_size, status.st_mtime_ns])
    key = json.dumps([_LAYOUT_VERSION, _cleaning_settings(origin, config), origin.swapped, files])
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def _build(folder: Path, origin: _Origin, config: DataConfig) -> None:
    text = _CleanText(origin, config)
    digest = hashlib.sha256(json.dumps(_cleaning_settings(origin, config)).encode())
    splits = _splits(config)
    counts = {split: SplitCounts() for split in splits}
    for split in splits:
        kept = text.rows(split, counts[split])
        digest.update(f"{split}\n".encode())
        if isinstance(config.join, JoinConfig):
            joined = join_split(kept, config.join, origin.languages, split, training=split == "train")
            _write_split(folder / f"{split}.arrow", _counted(joined, counts[split]), digest.update, _JOINED_SCHEMA)
        else:
            _write_split(folder / f"{split}.arrow", kept, digest.update)
        _check_not_empty(origin, split, counts[split])
    card = {"digest": digest.hexdigest(), "counts": {split: asdict(counts[split]) for split in splits}}
    (folder / _CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")


def _splits(config: DataConfig) -> tuple[str, ...]:
    """The splits of a corpus. Training comes last, because its cleaning needs the held-out sentences."""
    return ("validation", "test", *(["confirm"] if config.confirm else []), "train")


class _CleanText:
    """The cleaned rows of each split, before they are joined."""

    def __init__(self, origin: _Origin, config: DataConfig) -> None:
        self._origin = origin
        self._config = config
        self._join = config.join if isinstance(config.join, JoinConfig) else None
        self._confirm = _draw_confirm(origin, config)
        self._held_out_sources: set[str] = set()
        self._word_counts: WordCounts | None = None
        if self._join and self._join.min_word_count > 1:
            self._word_counts = self._count_words()

    def rows(self, split: str, counts: SplitCounts) -> Iterator[Row]:
        """The split's rows; fills `counts`. Training must be read after all others."""
        rows = self._clean(split, counts)
        return rows if split == "train" else self._comparable(rows, counts)

    def _clean(self, split: str, counts: SplitCounts) -> Iterator[Row]:
        if split == "train":
            return clean_training(self._read(split), self._rules(), counts)
        return self._remembered(clean_held_out(self._read(split), counts))

    def _read(self, split: str) -> Iterator[Row]:
        if split == "confirm":
            return (row for number, row in enumerate(self._origin.read("train")) if number in self._confirm)
        rows = self._origin.read(split)
        if split != "train":
            return rows
        rows = (row for number, row in enumerate(rows) if number not in self._confirm) if self._confirm else rows
        return rows if self._join or self._config.join == 1 else _with_documents(rows, self._origin)

    def _rules(self) -> TrainingRules:
        return TrainingRules(
            source_language=self._origin.source_language,
            target_language=self._origin.target_language,
            max_source_words=self._config.max_source_words,
            max_target_words=self._config.max_target_words,
            max_length_ratio=self._config.max_length_ratio,
            split_clauses=self._config.split_clauses,
            join=self._config.join if isinstance(self._config.join, int) else 1,
            held_out_sources=self._held_out_sources,
        )

    def _remembered(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._held_out_sources.add(row[0])
            yield row

    def _count_words(self) -> WordCounts:
        """The words of the training rows, which are cleaned once more for this."""
        word_counts = WordCounts(self._origin.languages)
        for split in _splits(self._config):
            for source, target, _ in self._clean(split, SplitCounts()):
                if split == "train":
                    word_counts.add((source, target))
        return word_counts

    def _comparable(self, rows: Iterable[Row], counts: SplitCounts) -> Iterator[Row]:
        """The held-out rows that the settings of joining admit; the others are counted as dropped."""
        unspaced = is_unspaced(self._origin.source_language)
        for row in rows:
            reason = None
            if self._join and not is_joinable(count_words(row[0], unspaced), self._join):
                reason = "too_long_to_join"
            elif self._join and self._word_counts and self._word_counts.rarest(row[:2]) < self._join.min_word_count:
                reason = "rare_word"
            if reason is None:
                yield row
            else:
                counts.kept -= 1
                counts.drop(reason)


def _draw_confirm(origin: _Origin, config: DataConfig) -> frozenset[int]:
    """The training rows that make up the split `confirm`."""
    if config.confirm is None:
        return frozenset()
    documents = [document for _, _, document in origin.read("train")]
    return draw_rows(documents, config.confirm, origin.name.split("-")[0])


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

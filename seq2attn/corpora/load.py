"""From any source of sentence pairs to cleaned, memory-mapped `datasets` tables, with counts and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from seq2attn.config.schema import DataConfig, JoinConfig
from seq2attn.corpora import catalog
from seq2attn.corpora.shards import Cleaning, clean_shards, read_shard, shards_of
from seq2attn.corpora.splits import CleanText, Origin, splits_of
from seq2attn.data.cache import build_once, keyed_folder
from seq2attn.data.cleaning import SplitCounts
from seq2attn.data.derived import JoinedRow, join_split
from seq2attn.data.locations import files_of, identity
from seq2attn.data.store import OWN, ROW_SCHEMA, Corpus, data_folder, write_table
from seq2attn.data.workers import available_cores
from seq2attn.errors import ConfigError, DataError

# Part of every digest: raise it when the cleaning changes.
_FORMAT_VERSION = 3
# Part of every cache key: raise it when the layout of the cache changes.
_LAYOUT_VERSION = 2

_JOINED_SCHEMA = ROW_SCHEMA.append(pa.field("members", pa.list_(pa.int32())))
_CARD = "card.json"


def cache_folder(config: DataConfig) -> Path:
    """The folder of everything that can be rebuilt from corpora."""
    return data_folder(config.folder) / "cache"


def load_corpus(config: DataConfig) -> Corpus:
    """The pairs selected by `config`: cleaned the first time, later read from the cache.

    Raises: ConfigError if it names no complete corpus, or languages that the corpus lacks; DataError if text is missing
    or broken, or a split is empty after cleaning; FetchError if a catalogue corpus cannot be fetched.
    """
    origin = _find_origin(config)
    folder = _corpus_folder(origin, config)
    build_once(folder, lambda draft: _build(draft, origin, config))
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        shards = [read_shard(folder.parent / name) for name in card.get("shards", ())]
        files = {split: [folder / f"{split}.arrow"] for split in splits_of(config)}
        files |= {"train": [shard.file for shard in shards]} if shards else {}
        splits = {split: _open_tables(files[split]) for split in files}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{folder}: damaged cache; delete the folder and run the command again") from error
    return Corpus(
        name=origin.name,
        source_language=origin.source_language,
        target_language=origin.target_language,
        splits=splits,
        counts=card["counts"],
        digest=card["digest"],
        shards=shards,
    )


def processes_of(config: DataConfig) -> int:
    """How many processes clean and encode shards."""
    return config.processes or available_cores()


def _open_tables(files: Sequence[Path]) -> datasets.Dataset:
    tables = [datasets.Dataset.from_file(str(file)) for file in files]
    return datasets.concatenate_datasets(tables) if len(tables) > 1 else tables[0]


def _find_origin(config: DataConfig) -> Origin:
    own = {"train": config.train, "validation": config.validation, "test": config.test}
    if config.corpus is not None:
        given = [f"data.{split}" for split, spec in own.items() if spec is not None]
        if given:
            raise ConfigError(f"{' and '.join(given)}: data.corpus has its own splits; give one or the other")
        pair = language_pair(config)
        paths = catalog.read_splits(config.corpus, data_folder(config.folder))
        files = {split: str(path) for split, path in paths.items()}
        return Origin(config.corpus, *pair, files, swapped=pair[0] != catalog.find(config.corpus).source_language)
    missing = [f"data.{split}" for split, spec in own.items() if spec is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: missing; give data.corpus (see `seq2attn data list`), or all of data.train, "
            "data.validation and data.test"
        )
    return Origin(OWN, *language_pair(config), {split: spec for split, spec in own.items() if spec is not None})


def language_pair(config: DataConfig) -> tuple[str, str]:
    """The languages of source and target, without reading any text.

    Raises: ConfigError if none are given, or the corpus lacks them; DataError for an unknown corpus.
    """
    source, target = config.source_language, config.target_language
    if config.corpus is None:
        if source is not None and target is not None:
            return source, target
        raise ConfigError("data.source_language and data.target_language: your own files need both, as in de and en")
    entry = catalog.find(config.corpus)
    languages = (entry.source_language, entry.target_language)
    for pair in (languages, languages[::-1]):
        if source in (None, pair[0]) and target in (None, pair[1]):
            return pair
    raise ConfigError(
        f"data.source_language and data.target_language: {config.corpus} has {' and '.join(languages)}, "
        f"not {source or 'any'} and {target or 'any'}; leave them out, or swap them"
    )


def _cleaning_settings(origin: Origin, config: DataConfig) -> dict[str, Any]:
    limits = {"max_source_words", "max_target_words", "max_length_ratio", "split_clauses"}
    languages = {"source_language": origin.source_language, "target_language": origin.target_language}
    # A setting that is not used keeps the digest of versions that did not have it.
    join = {} if config.join == 1 else config.model_dump(include={"join"})
    if isinstance(config.join, JoinConfig):
        for name in ("min_training_word_count", "min_document_sentences", "max_held_out_words"):
            if getattr(config.join, name) == JoinConfig.model_fields[name].default:
                del join["join"][name]
    confirm = {} if config.confirm is None else config.model_dump(include={"confirm"})
    unique = config.model_dump(include={"drop_duplicates"}) if config.drop_duplicates else {}
    return {"format_version": _FORMAT_VERSION} | languages | config.model_dump(include=limits) | join | confirm | unique


def _corpus_folder(origin: Origin, config: DataConfig) -> Path:
    """By everything that affects the cleaned text; a file counts as its path, size and modification time."""
    files = []
    for split in origin.files:
        files += [[split, *identity(file)] for file in files_of(origin.files[split], *origin.file_languages)]
    settings = _cleaning_settings(origin, config)
    return keyed_folder(cache_folder(config), "corpus", _LAYOUT_VERSION, settings, origin.swapped, files)


def _build(folder: Path, origin: Origin, config: DataConfig) -> None:
    text = CleanText(origin, config)
    settings = _cleaning_settings(origin, config)
    digest = hashlib.sha256(json.dumps(settings).encode())
    splits = splits_of(config)
    counts = {split: SplitCounts() for split in splits}
    shards = shards_of(origin, config)
    names: list[str] = []
    for split in splits:
        digest.update(f"{split}\n".encode())
        if split == "train" and shards:
            cleaning = Cleaning(settings, text.rules_of_training(), cache_folder(config), processes_of(config))
            folders, counts[split] = clean_shards(shards, cleaning, config.drop_duplicates)
            digest.update("".join(read_shard(folder).digest for folder in folders).encode())
            names = [folder.name for folder in folders]
        elif isinstance(config.join, JoinConfig):
            kept = text.rows(split, counts[split])
            joined = join_split(kept, config.join, origin.languages, split, training=split == "train")
            rows = _counted(joined, counts[split])
            write_table(folder / f"{split}.arrow", rows, digest.update, _JOINED_SCHEMA)
        else:
            write_table(folder / f"{split}.arrow", text.rows(split, counts[split]), digest.update)
        _check_not_empty(origin, split, counts[split])
    card: dict[str, Any] = {"digest": digest.hexdigest(), "counts": {split: asdict(counts[split]) for split in splits}}
    (folder / _CARD).write_text(json.dumps(card | ({"shards": names} if names else {}), indent=2), encoding="utf-8")


def _counted(rows: Iterable[JoinedRow], counts: SplitCounts) -> Iterator[JoinedRow]:
    """The rows. After the last, counts all but one row for each kept sentence as joined."""
    written = 0
    for row in rows:
        written += 1
        yield row
    counts.joined, counts.kept = written - counts.kept, written


def _check_not_empty(origin: Origin, split: str, counts: SplitCounts) -> None:
    if counts.kept:
        return
    why = ", ".join(f"{number} dropped as {reason}" for reason, number in counts.dropped.items())
    raise DataError(f"{origin.files[split]}: no {split} pairs are left of {counts.read} read; {why or 'it is empty'}")

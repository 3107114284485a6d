"""Multi30k (Elliott et al. 2016, 2017): captions of photographs, from the hub or from a folder of text files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seq2attn.corpora.hub import load_tables
from seq2attn.data.files import read_pairs
from seq2attn.data.store import CatalogEntry, RawCorpus, Row
from seq2attn.errors import FetchError

FOLDER_VARIABLE = "SEQ2ATTN_MULTI30K"
_REPOSITORY = "bentrevett/multi30k"
_HUB_LANGUAGES = ("de", "en")
_FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def entries() -> Iterator[CatalogEntry]:
    """German and French, to and from English."""
    for source, target in (("de", "en"), ("en", "de"), ("fr", "en"), ("en", "fr")):
        on_hub = {source, target} == set(_HUB_LANGUAGES)
        folder = f"a folder of text files (--from or {FOLDER_VARIABLE})"
        yield CatalogEntry(
            name=f"multi30k-{source}-{target}",
            title="Multi30k, captions of photographs, test 2016",
            source_language=source,
            target_language=target,
            origin=f"{_REPOSITORY}, Hugging Face hub, or {folder}" if on_hub else folder,
            licence="CC BY-NC-SA 4.0 (captions)",
            citation="Elliott et al. 2016, Multi30K: Multilingual English-German Image Descriptions",
            size="29,000 + 1,014 + 1,000 pairs of about 12 words",
            tried=not on_hub,
        )


def load(entry: CatalogEntry, local: Path | None, report: Callable[[str], None]) -> RawCorpus:
    """The pairs of `entry`: from the folder `local`, else from the folder in the variable, else from the hub.

    Raises: FetchError if there is no such folder or the hub fails; DataError for broken text files.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    folder = local or (Path(named) if named else None)
    if folder is not None:
        return _from_folder(entry, folder, report)
    if not {entry.source_language, entry.target_language} <= set(_HUB_LANGUAGES):
        raise FetchError(
            f"{entry.name}: the hub has German and English only; give a folder of text files (train.*, val.* and "
            f"test_2016_flickr.*, plain or .gz) with --from or {FOLDER_VARIABLE}"
        )
    tables = load_tables(_REPOSITORY, None, None, None, report)
    missing = [split for split in _FILES if split not in tables]
    if missing or not set(_HUB_LANGUAGES) <= set(tables["train"].column_names):
        raise FetchError(f"{_REPOSITORY}: expected the splits {', '.join(_FILES)} with the columns de and en")
    splits = {split: _rows_of(tables[split], entry) for split in _FILES}
    return RawCorpus(splits, {"repository": _REPOSITORY})


def _from_folder(entry: CatalogEntry, folder: Path, report: Callable[[str], None]) -> RawCorpus:
    if not folder.is_dir():
        raise FetchError(f"{folder}: no such folder; expected train.{entry.source_language}.gz and the other files")
    report(f"Reading {folder} …")

    def rows_of(stem: str) -> Iterator[Row]:
        for source, target in read_pairs(str(folder / stem), entry.source_language, entry.target_language):
            yield source, target, None

    splits = {split: rows_of(stem) for split, stem in _FILES.items()}
    return RawCorpus(splits, {"files": [f"{stem}.*" for stem in _FILES.values()]})


def _rows_of(table: Any, entry: CatalogEntry) -> Iterator[Row]:
    for row in table:
        yield row[entry.source_language], row[entry.target_language], None

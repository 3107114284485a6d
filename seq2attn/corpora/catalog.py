"""The named public corpora: what there is, where it comes from, and how it is fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from seq2attn.corpora import bible, catalog, hub, multi30k, synthetic
from seq2attn.corpora import hub as hub_corpora
from seq2attn.data import store
from seq2attn.data.store import OWN, CatalogEntry, RawCorpus
from seq2attn.errors import DataError

__all__ = ["FAMILIES", "CatalogEntry", "Family", "family_of", "fetch", "find", "names", "read_splits"]

Load = Callable[[CatalogEntry, Path | None, Callable[[str], None]], RawCorpus]
"""Fetches an entry, from its source or from the local file or folder, and reports what it is doing."""


@dataclass(frozen=True)
class Family:
    """Corpora of one origin."""

    pattern: str
    """How their names are built, for people."""
    title: str
    entries: tuple[CatalogEntry, ...]
    load: Load


def _hub_families() -> Iterator[Family]:
    for name, corpus in hub_corpora.HUB_CORPORA.items():
        yield Family(f"{name}-XX-YY", corpus.title, tuple(hub.entries(name)), hub.load)


FAMILIES = (
    Family("synthetic", "Made-up language pair", tuple(synthetic.entries()), synthetic.load),
    Family(
        "bible-XX-YY",
        "Bible verses; en: Basic English, kjv: King James, web: World English",
        tuple(bible.entries()),
        bible.load,
    ),
    Family("multi30k-XX-YY", "Multi30k, captions of photographs", tuple(multi30k.entries()), multi30k.load),
    *_hub_families(),
)


def names() -> list[str]:
    """Every name that `find` knows."""
    return list(_by_name())


def find(name: str) -> CatalogEntry:
    """The corpus called `name`.

    Raises: DataError with the nearest name where there is none.
    """
    return _lookup(name)[0]


def family_of(name: str) -> Family:
    """The family that the corpus `name` belongs to.

    Raises: DataError where there is no such corpus.
    """
    return _lookup(name)[1]


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def fetch(name: str, folder: Path, *, local: Path | None = None, report: Callable[[str], None] = _tell) -> Path:
    """Fetch a corpus into the data folder `folder`, unless it is there; answers the corpus's own folder.

    local: a file or folder to take the text from, in place of the network.
    report: called with one line a step; by default they go to stderr.
    Raises: DataError where there is no such corpus; FetchError where its source fails.
    """
    entry, family = _lookup(name)
    place = store.corpus_folder(folder, name)
    if store.is_kept(folder, name):
        if local is not None:
            report(f"{place} is there already, so that {local} was not read; delete the folder to read it")
        return place
    corpus = family.load(entry, local, report)
    report(f"Writing {place} …")
    return store.keep(entry, corpus, folder)


def read_splits(name: str, folder: Path) -> dict[str, Path]:
    """The Parquet files "train", "validation" and "test" of a corpus, fetched first if need be.

    Columns: `source` and `target` (strings), `document` (string, null where the corpus names no documents).
    Raises: DataError where there is no such corpus; FetchError where its source fails.
    """
    fetch(name, folder)
    return store.split_files(folder, name)


@cache
def _by_name() -> Mapping[str, tuple[CatalogEntry, Family]]:
    return {entry.name: (entry, family) for family in FAMILIES for entry in family.entries}


def _lookup(name: str) -> tuple[CatalogEntry, Family]:
    known = _by_name()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "see `seq2attn data list`"
        raise DataError(f"{name!r}: no such corpus in the catalogue; {hint}")
    return known[name]


def describe_origin(name: str) -> dict[str, str]:
    """Title, origin, licence and citation of the corpus `name`; nothing of a user's own files."""
    if name == OWN:
        return {}
    entry = catalog.find(name)
    told = {"title": entry.title, "origin": entry.origin, "licence": entry.licence, "citation": entry.citation}
    return {key: words for key, words in told.items() if words}


def count_pairs(counts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The counts of each split (`Corpus.counts`) in one row: the reasons for dropping beside what was read and kept."""
    return {split: _flat(of_split) for split, of_split in counts.items()}


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    dropped = {f"dropped: {reason.replace('_', ' ')}": number for reason, number in counts["dropped"].items()}
    return {name: number for name, number in counts.items() if name != "dropped"} | dropped

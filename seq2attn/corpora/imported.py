"""Translated passages from any reader as a corpus in a folder: filtered, split by document, counted.

The folder has `train.jsonl`, `validation.jsonl` and `test.jsonl`, with the fields `source`, `target` and `document`,
and `card.json`, which says what was read, kept and dropped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.data.cache import build_once
from seq2attn.data.cleaning import is_too_long_for_a_sentence, normalise
from seq2attn.data.store import SPLITS
from seq2attn.errors import DataError

CARD = "card.json"
LONG_WORDS = 60
"""Sources of this many words and more are counted as long."""

# Percentages of the pairs. Documents are drawn by the hash of their names, test first.
_TEST_PERCENT = 12
_VALIDATION_PERCENT = 8
# Larger documents are in training, so that no document makes a held-out split much larger than that.
_LARGE_PERCENT = 3
# With fewer documents than this, the smaller parts of a document are drawn instead.
_FEW_DOCUMENTS = 10
_BLOCK_PAIRS, _LEAST_BLOCKS = 60, 50
# A text of so many words is not translated if this percentage of them is the same.
_COPIED_WORDS = 8
_COPIED_PERCENT = 75

_PLACEHOLDER = re.compile(r"%\([^)]*\)[a-zA-Z]|%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]+|\{[^}]*\}|\$\{?\w+\}?|https?://\S+")


@dataclass(frozen=True)
class Passage:
    """A text and its translation, as a reader found them."""

    source: str
    target: str
    document: str
    """The page or the catalogue that contains both."""
    part: str | None = None
    """The part of the document, such as the source file of a message; None if unknown."""


def parse_languages(text: str) -> tuple[str, str]:
    """The codes of source and target in a direction such as `en-fr`.

    Raises: DataError if `text` is not two different codes.
    """
    found = re.fullmatch(r"([a-z]{2,3})-([a-z]{2,3})", text)
    if not found or found[1] == found[2]:
        raise DataError(f"--languages {text}: expected the codes of two languages, SOURCE-TARGET, as in en-fr")
    return found[1], found[2]


def check_output(folder: Path) -> None:
    """Raise DataError unless a corpus can be written to `folder`: it must be new or empty."""
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: already holds files; name a new or empty folder with --out")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a new or empty folder with --out")


def write_corpus(
    folder: Path,
    passages: Iterable[Passage],
    languages: tuple[str, str],
    counts: Counter[str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the corpus to `folder`, whole or not at all; its card, which begins with `facts`.

    languages: codes of source and target. counts: what the reader counted, filled while `passages` are read; the number
    of passages dropped for each reason is added.

    Raises: DataError if `folder` is not empty or a split is; DiskError if it cannot be written.
    """
    check_output(folder)
    splits = divide(_named_documents(list(_kept(passages, counts))))
    _drop_shared(splits, counts)
    if empty := [split for split in SPLITS if not splits[split]]:
        why = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number) or "nothing was read"
        raise DataError(f"too few pairs: none for {' and '.join(empty)} ({why}); give more translated text")
    source_language, target_language = languages
    card = {
        "name": folder.resolve().name,
        "source_language": source_language,
        "target_language": target_language,
        **facts,
        "counts": dict(sorted(counts.items(), key=lambda item: item[0].startswith("dropped"))),
        **{name: {split: count(splits[split], languages) for split in SPLITS} for name, count in _SIZES.items()},
        "digest": _digest(splits),
    }
    if folder.is_dir():
        folder.rmdir()
    build_once(folder, lambda draft: _write(draft, splits, card))
    return card


def divide(passages: Sequence[Passage]) -> dict[str, list[Passage]]:
    """Whole documents in "train", "validation" and "test", drawn by the hash of their names.

    Documents are taken in the order of their hashes until test has 12 % of the pairs, then until validation has 8 %.
    Those with more than 3 % of the pairs come last, so that they are in training unless the others are too few.
    """
    sizes = Counter(passage.document for passage in passages)
    large = len(passages) * _LARGE_PERCENT / 100
    order = sorted(sizes, key=lambda name: (sizes[name] > large, hashlib.sha256(name.encode()).digest()))
    split_of = {}
    rest = iter(order)
    for split, percent in (("test", _TEST_PERCENT), ("validation", _VALIDATION_PERCENT), ("train", 100)):
        taken = 0
        while taken < len(passages) * percent / 100 and (name := next(rest, None)) is not None:
            split_of[name] = split
            taken += sizes[name]
    splits: dict[str, list[Passage]] = {split: [] for split in SPLITS}
    for passage in passages:
        splits[split_of[passage.document]].append(passage)
    return splits


def _kept(passages: Iterable[Passage], counts: Counter[str]) -> Iterator[Passage]:
    """The passages as normalised text, without unusable and repeated ones, which are counted."""
    seen: set[tuple[str, str]] = set()
    for passage in passages:
        source, target = normalise(passage.source), normalise(passage.target)
        reason = "repeated" if (source, target) in seen else _reason_to_drop(source, target)
        if reason:
            counts[f"dropped: {reason}"] += 1
            continue
        seen.add((source, target))
        yield Passage(source, target, passage.document, passage.part)


def _reason_to_drop(source: str, target: str) -> str | None:
    if not source or not target:
        return "empty"
    if not _has_letters(source) or not _has_letters(target):
        return "no letters"
    if _is_copy(source, target):
        return "the same on both sides"
    return "too long" if is_too_long_for_a_sentence(source, target) else None


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, _PLACEHOLDER.sub("", text)))


def _is_copy(source: str, target: str) -> bool:
    """Whether the text is not translated; a longer one may differ in a few words."""
    words, other_words = Counter(source.casefold().split()), Counter(target.casefold().split())
    longer = max(words.total(), other_words.total())
    least = _COPIED_PERCENT if longer >= _COPIED_WORDS else 100
    return (words & other_words).total() * 100 >= longer * least


def _named_documents(passages: Sequence[Passage]) -> list[Passage]:
    """The passages under the names of documents small enough to be divided.

    These are the documents themselves; if they are few, their parts; if those are few too, blocks of up to 60 pairs.
    """
    for name_of in (_by_document, _by_part):
        names = [name_of(passage) for passage in passages]
        if len(set(names)) >= _FEW_DOCUMENTS:
            break
    else:
        names = _block_names(passages)
    return [replace(passage, document=name, part=None) for passage, name in zip(passages, names, strict=True)]


def _by_document(passage: Passage) -> str:
    return passage.document


def _by_part(passage: Passage) -> str:
    return f"{passage.document}#{passage.part}" if passage.part else passage.document


def _block_names(passages: Sequence[Passage]) -> list[str]:
    size = max(1, min(_BLOCK_PAIRS, len(passages) // _LEAST_BLOCKS))
    places: Counter[str] = Counter()
    names = []
    for passage in passages:
        names.append(f"{passage.document}#{places[passage.document] // size + 1}")
        places[passage.document] += 1
    return names


def _drop_shared(splits: dict[str, list[Passage]], counts: Counter[str]) -> None:
    """Drop from validation what occurs in test, and from training what occurs in either, on either side."""
    sources = {passage.source for passage in splits["test"]}
    targets = {passage.target for passage in splits["test"]}
    for split in ("validation", "train"):
        passages = splits[split]
        splits[split] = [
            passage for passage in passages if passage.source not in sources and passage.target not in targets
        ]
        counts[f"dropped: {split} pairs that share a side with a held-out one"] = len(passages) - len(splits[split])
        sources |= {passage.source for passage in splits[split]}
        targets |= {passage.target for passage in splits[split]}


def _count_long(passages: Sequence[Passage], languages: tuple[str, str]) -> int:
    unspaced = is_unspaced(languages[0])
    return sum(count_words(passage.source, unspaced) >= LONG_WORDS for passage in passages)


_SIZES: Mapping[str, Callable[[Sequence[Passage], tuple[str, str]], int]] = {
    "pairs": lambda passages, _: len(passages),
    "documents": lambda passages, _: len({passage.document for passage in passages}),
    "long_sources": _count_long,
}


def _lines(passages: Iterable[Passage]) -> Iterator[str]:
    for passage in passages:
        record = {"source": passage.source, "target": passage.target, "document": passage.document}
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _digest(splits: Mapping[str, Sequence[Passage]]) -> str:
    """SHA-256 of the three files, in order."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for line in _lines(splits[split]):
            digest.update(line.encode())
    return digest.hexdigest()


def _write(draft: Path, splits: Mapping[str, Sequence[Passage]], card: Mapping[str, Any]) -> None:
    for split in SPLITS:
        with (draft / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(splits[split]))
    (draft / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

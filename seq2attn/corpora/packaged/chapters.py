"""How Bibles are divided: by chapter, not by verse, and in the same way for every corpus of them"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from seq2attn.data.store import Row

# Percentages of the chapters: about 3,400 verses of a whole Bible for test and 1,300 for validation.
_TEST_PERCENT = 12
_VALIDATION_PERCENT = 4


def divide(documents: Mapping[str, Sequence[tuple[str, str]]], counts: Counter[str]) -> dict[str, list[Row]]:
    """Training, validation and test from the pairs of each document, a chapter: `book.chapter`.

    Verses are dropped from validation that occur in test, and from training that occur in either, on either side;
    `counts` says how many.
    """
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for document, pairs in documents.items():
        splits[split_of(document)] += [(source, target, document) for source, target in pairs]
    _drop_repeats(splits, counts)
    return splits


def split_of(document: str) -> str:
    """The split of a chapter, `book.chapter`; books count from 1 = Genesis to 66 = Revelation."""
    percent = int.from_bytes(hashlib.sha256(document.encode()).digest()[:4]) % 100
    if percent < _TEST_PERCENT:
        return "test"
    return "validation" if percent < _TEST_PERCENT + _VALIDATION_PERCENT else "train"


def _drop_repeats(splits: dict[str, list[Row]], counts: Counter[str]) -> None:
    seen_sources = {source for source, _, _ in splits["test"]}
    seen_targets = {target for _, target, _ in splits["test"]}
    for split in ("validation", "train"):
        rows = splits[split]
        splits[split] = [row for row in rows if row[0] not in seen_sources and row[1] not in seen_targets]
        counts[f"dropped: {split} verses repeated from a later split"] = len(rows) - len(splits[split])
        seen_sources |= {source for source, _, _ in splits[split]}
        seen_targets |= {target for _, target, _ in splits[split]}

"""What a result says of the corpus behind it: where it comes from, and what cleaning did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seq2attn.data import catalog
from seq2attn.data.corpus import OWN


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

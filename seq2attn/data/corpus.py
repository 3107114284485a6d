"""Cleaned sentence pairs, as every reader of a corpus takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import datasets

OWN = "own"
"""What a corpus from a user's own files is called."""


@dataclass(frozen=True)
class Corpus:
    """Cleaned sentence pairs of one direction of translation."""

    name: str
    """The catalogue's name, or `OWN`."""
    source_language: str
    target_language: str
    splits: Mapping[str, datasets.Dataset]
    """The tables "train", "validation" and "test", with the columns "source" and "target", raw text, normalised, and
    "document": what both stand in, null where the text does not say.
    """
    counts: Mapping[str, Mapping[str, Any]]
    """For each split the pairs read, kept, added as clauses, added joined, and dropped by reason."""
    digest: str
    """SHA-256 of the cleaning settings and of every pair that was kept."""

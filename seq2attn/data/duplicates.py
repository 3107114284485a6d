"""Repeated pairs of a corpus that does not fit into memory, found by a digest of 16 bytes for each pair.

Two different pairs have the same digest with a probability of 1e-22 among 100 million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]

DIGEST_BYTES = 16

# Digests compared at once: those with the same remainder, about 60 bytes of memory each.
_PAIRS_AT_ONCE = 1 << 22
_READ_PAIRS = 1 << 20


def digest_of(source: str, target: str) -> bytes:
    """The digest of a normalised pair, which contains no tab."""
    return hashlib.blake2b(f"{source}\t{target}".encode(), digest_size=DIGEST_BYTES).digest()


def first_occurrences(files: Sequence[Path]) -> list[NDArray[np.bool_]]:
    """For each file of digests, whether each of its pairs is the first of its kind in all files.

    Takes a byte of memory for each pair, and some 250 MB.
    """
    sizes = [file.stat().st_size // DIGEST_BYTES for file in files]
    first = np.ones(sum(sizes), dtype=np.bool_)
    n_parts = max(1, -(-len(first) // _PAIRS_AT_ONCE))
    for remainder in range(n_parts):
        parts = list(_with_remainder(files, remainder, n_parts))
        rows = np.concatenate([rows for rows, _ in parts])
        digests = np.concatenate([digests for _, digests in parts])
        # Equal digests stay in the order of their rows.
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        digests = digests[order]
        repeats = (digests[1:] == digests[:-1]).all(axis=1)
        first[rows[order[1:][repeats]]] = False
    return np.split(first, np.cumsum(sizes)[:-1])


def _with_remainder(files: Sequence[Path], remainder: int, divisor: int) -> Iterator[tuple[NDArray[np.int64], Digests]]:
    """The digests with one remainder, and their rows in the whole corpus."""
    start = 0
    for file in files:
        with file.open("rb") as content:
            while data := content.read(_READ_PAIRS * DIGEST_BYTES):
                digests = np.frombuffer(data, dtype=np.uint64).reshape(-1, 2)
                chosen = np.flatnonzero(digests[:, 0] % np.uint64(divisor) == remainder)
                yield start + chosen, digests[chosen]
                start += len(digests)

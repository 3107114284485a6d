"""Which sentences are held out: a split drawn from training, and no sentences with rare words"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from seq2attn.config.languages import is_unspaced
from seq2attn.data.files import Pair
from seq2attn.errors import ConfigError

_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")
_CHARACTER = re.compile(r"\S")


def draw_rows(documents: Sequence[str | None], n_rows: int, family: str) -> frozenset[int]:
    """The indices of training rows that make up the split `confirm`, the same ones on every machine.

    Documents are drawn whole until at least `n_rows` are drawn; rows without a document are drawn one at a time. The
    order is that of the SHA-256 of `{family}-train-{document or row}`, so that all language pairs of a family hold out
    the same sentences.

    Args:
        documents: the document of each row.
        n_rows: rows to draw.
        family: of the corpus: `bible`, `multi30k`, …

    Raises: ConfigError if more than half of the rows would be drawn.
    """
    units: dict[str, list[int]] = {}
    for row, document in enumerate(documents):
        units.setdefault(str(row) if document is None else document, []).append(row)
    drawn: list[int] = []
    for unit in sorted(units, key=lambda unit: hashlib.sha256(f"{family}-train-{unit}".encode()).hexdigest()):
        if len(drawn) >= n_rows:
            break
        drawn += units[unit]
    if 2 * len(drawn) > len(documents):
        raise ConfigError(
            f"data.confirm: {len(drawn)} of {len(documents)} training pairs would be held out; leave more than half"
        )
    return frozenset(drawn)


class WordCounts:
    """For each side of a corpus, the number of training pairs that contain a word or punctuation mark."""

    def __init__(self, languages: Pair) -> None:
        """`languages`: of source and target; in those written without spaces, characters count."""
        self._patterns = [_CHARACTER if is_unspaced(language) else _WORD_OR_MARK for language in languages]
        self._counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())

    def add(self, pair: Pair) -> None:
        """Count a training pair."""
        for counts, words in zip(self._counts, self._words(pair), strict=True):
            counts.update(words)

    def rarest(self, pair: Pair) -> int:
        """The count of the pair's rarest word on either side; words differ in more than upper and lower case."""
        return min(
            (counts[word] for counts, words in zip(self._counts, self._words(pair), strict=True) for word in words),
            default=0,
        )

    def _words(self, pair: Pair) -> list[set[str]]:
        return [set(pattern.findall(text.lower())) for pattern, text in zip(self._patterns, pair, strict=True)]

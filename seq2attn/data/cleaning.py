"""Text normalisation, and the rules by which pairs are kept or dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.data.derived import clause_pairs, consecutive_groups, join_texts
from seq2attn.data.store import Row

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_SPARED_WORDS = 5
# Longer text is not a sentence but, for instance, a file without line ends; it would exhaust the memory.
_LONGEST_CHARACTERS = 20_000
_TOO_LONG = ("too_long_source", "too_long_target")


def is_too_long_for_a_sentence(source: str, target: str) -> bool:
    """Whether a side is longer than any sentence."""
    return max(len(source), len(target)) > _LONGEST_CHARACTERS


def normalise(text: str) -> str:
    """`text` in Unicode NFC, with each run of whitespace and control characters as one space, and stripped.

    NUL is removed. U+2581 becomes `_`: it is SentencePiece's sign for a space and would be decoded as one.
    """
    text = text.replace("\0", "").replace("\N{LOWER ONE EIGHTH BLOCK}", "_")
    # Control characters are rare and the search for them is slow, and this runs on every text of a corpus.
    if not text.isprintable():
        text = _CONTROLS.sub(" ", text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


@dataclass
class SplitCounts:
    """The effect of cleaning on one split, in pairs: `read` = `kept` - `clauses` - `joined` + all `dropped`."""

    read: int = 0
    kept: int = 0
    clauses: int = 0
    joined: int = 0
    """Inputs of several sentences and, with `data.join.singles`, repeated single ones."""
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, number: int = 1) -> None:
        """Count dropped pairs."""
        self.dropped[reason] = self.dropped.get(reason, 0) + number

    def add(self, other: SplitCounts) -> None:
        """Add the counts of another part of the split."""
        self.read += other.read
        self.kept += other.kept
        self.clauses += other.clauses
        self.joined += other.joined
        for reason, number in other.dropped.items():
            self.drop(reason, number)


@dataclass(frozen=True)
class TrainingRules:
    """Which pairs are used for training; the section `data` of the configuration describes each limit."""

    source_language: str
    target_language: str
    max_source_words: int | None
    max_target_words: int | None
    max_length_ratio: float
    split_clauses: bool
    join: int
    held_out_sources: Set[str]

    def reason_to_drop(self, source: str, target: str) -> str | None:
        """Why the normalised pair is dropped; None if it is kept."""
        if not source or not target:
            return "empty"
        if is_too_long_for_a_sentence(source, target):
            return "no_sentence"
        source_words, target_words = self.count_both(source, target)
        if self.max_source_words is not None and source_words > self.max_source_words:
            return _TOO_LONG[0]
        if self.max_target_words is not None and target_words > self.max_target_words:
            return _TOO_LONG[1]
        shorter, longer = sorted((source_words, target_words))
        if longer > _SPARED_WORDS and longer > self.max_length_ratio * shorter:
            return "length_ratio"
        if source in self.held_out_sources:
            return "in_validation_or_test"
        return None

    def count_both(self, source: str, target: str) -> tuple[int, int]:
        """Words of source and target; characters in languages written without spaces."""
        return (
            count_words(source, is_unspaced(self.source_language)),
            count_words(target, is_unspaced(self.target_language)),
        )


def clean_held_out(rows: Iterable[Row], counts: SplitCounts) -> Iterator[Row]:
    """The normalised validation or test rows, except empty and far too long ones; fills `counts`."""
    for source, target, document in _normalised(rows, counts):
        if not source or not target:
            counts.drop("empty")
        elif is_too_long_for_a_sentence(source, target):
            counts.drop("no_sentence")
        else:
            counts.kept += 1
            yield source, target, document


def clean_training(rows: Iterable[Row], rules: TrainingRules, counts: SplitCounts) -> Iterator[Row]:
    """The normalised training rows that `rules` keep, each followed by its clauses if `rules.split_clauses`.

    A pair that is dropped only for its length still yields its clauses. Repeated training pairs are kept. The last row
    of a document is followed by the joined rows of the document if `rules.join` is above 1. Clauses and joined rows
    have no document. Fills `counts`.
    """
    for document, document_rows in groupby(_normalised(rows, counts), key=itemgetter(2)):
        to_join: list[Row] = []
        for source, target, _ in document_rows:
            reason = rules.reason_to_drop(source, target)
            if reason is None:
                counts.kept += 1
                yield source, target, document
                if rules.join > 1 and document is not None:
                    to_join.append((source, target, document))
            else:
                counts.drop(reason)
            if rules.split_clauses and reason in (None, *_TOO_LONG):
                for clause in clause_pairs(source, target, rules.count_both):
                    if rules.reason_to_drop(*clause) is None:
                        counts.kept += 1
                        counts.clauses += 1
                        yield *clause, None
        for joined in _joined(to_join, rules):
            counts.kept += 1
            counts.joined += 1
            yield joined


def _joined(rows: Sequence[Row], rules: TrainingRules) -> Iterator[Row]:
    """Groups of 2 to `rules.join` consecutive rows of a document, each joined into one row, if the rules keep it."""
    sources, targets, documents = zip(*rows, strict=True) if rows else ((), (), ())
    lengths = [rules.count_both(source, "")[0] for source in sources]
    groups = [group for size in range(2, rules.join + 1) for group in consecutive_groups(documents, lengths, size)]
    # The smaller group at the end of a document can be the same for several sizes.
    for group in dict.fromkeys(group for group in groups if len(group) > 1):
        source = join_texts(sources[group.start : group.stop], rules.source_language)
        target = join_texts(targets[group.start : group.stop], rules.target_language)
        if rules.reason_to_drop(source, target) is None:
            yield source, target, None


def _normalised(rows: Iterable[Row], counts: SplitCounts) -> Iterator[Row]:
    for source, target, document in rows:
        counts.read += 1
        yield normalise(source), normalise(target), document

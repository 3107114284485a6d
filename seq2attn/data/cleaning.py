"""Normalised text, and the rules that keep or drop a pair."""

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
# What is longer is no sentence, but a file without line ends or a piece of another; it would take all memory.
_LONGEST_CHARACTERS = 20_000
_TOO_LONG = ("too_long_source", "too_long_target")


def is_no_sentence(source: str, target: str) -> bool:
    """Whether a side is longer than any sentence."""
    return max(len(source), len(target)) > _LONGEST_CHARACTERS


def normalise(text: str) -> str:
    """`text` in Unicode NFC, each run of blanks and control characters one space, none at either end.

    NUL is removed. U+2581 becomes `_`: SentencePiece writes spaces with it, so that a text's own would come back as
    a space.
    """
    text = text.replace("\0", "").replace("\N{LOWER ONE EIGHTH BLOCK}", "_")
    # Such characters are rare, and to look for each is dear: all text of a corpus comes by here.
    if not text.isprintable():
        text = _CONTROLS.sub(" ", text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


@dataclass
class SplitCounts:
    """What cleaning did to one split, in pairs: `read` = `kept` - `clauses` - `joined` + all `dropped`."""

    read: int = 0
    kept: int = 0
    clauses: int = 0
    joined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        """Count one pair that is left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


@dataclass(frozen=True)
class TrainingRules:
    """Which pairs train a model; `data` in the configuration describes each limit."""

    source_language: str
    target_language: str
    max_source_words: int | None
    max_target_words: int | None
    max_length_ratio: float
    split_clauses: bool
    join: int
    held_out_sources: Set[str]

    def reason_to_drop(self, source: str, target: str) -> str | None:
        """Why the normalised pair is left out, None where it stays."""
        if not source or not target:
            return "empty"
        if is_no_sentence(source, target):
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
        """Words of source and target; characters where the language writes without spaces."""
        return (
            count_words(source, is_unspaced(self.source_language)),
            count_words(target, is_unspaced(self.target_language)),
        )


def clean_held_out(rows: Iterable[Row], counts: SplitCounts) -> Iterator[Row]:
    """Validation or test rows, normalised, without the empty ones and what is no sentence; fills `counts`."""
    for source, target, document in _normalised(rows, counts):
        if not source or not target:
            counts.drop("empty")
        elif is_no_sentence(source, target):
            counts.drop("no_sentence")
        else:
            counts.kept += 1
            yield source, target, document


def clean_training(rows: Iterable[Row], rules: TrainingRules, counts: SplitCounts) -> Iterator[Row]:
    """Training rows, normalised, that `rules` keep, each followed by its clauses where they are asked for.

    A pair that is left out for its length alone still gives its clauses. Pairs that occur more than once in training
    stay. After the last row of a document come its joined ones where they are asked for; they and clauses have no
    document. `counts` is filled on the way.
    """
    for document, of_document in groupby(_normalised(rows, counts), key=itemgetter(2)):
        whole: list[Row] = []
        for source, target, _ in of_document:
            reason = rules.reason_to_drop(source, target)
            if reason is None:
                counts.kept += 1
                yield source, target, document
                if rules.join > 1 and document is not None:
                    whole.append((source, target, document))
            else:
                counts.drop(reason)
            if rules.split_clauses and reason in (None, *_TOO_LONG):
                for clause in clause_pairs(source, target, rules.count_both):
                    if rules.reason_to_drop(*clause) is None:
                        counts.kept += 1
                        counts.clauses += 1
                        yield *clause, None
        for joined in _joined(whole, rules):
            counts.kept += 1
            counts.joined += 1
            yield joined


def _joined(rows: Sequence[Row], rules: TrainingRules) -> Iterator[Row]:
    """Groups of 2 up to `rules.join` consecutive rows of a document, each a row that the rules keep."""
    sources, targets, documents = zip(*rows, strict=True) if rows else ((), (), ())
    lengths = [rules.count_both(source, "")[0] for source in sources]
    groups = [group for size in range(2, rules.join + 1) for group in consecutive_groups(documents, lengths, size)]
    # What is left at the end of a document is the same for several sizes.
    for group in dict.fromkeys(group for group in groups if len(group) > 1):
        source = join_texts(sources[group.start : group.stop], rules.source_language)
        target = join_texts(targets[group.start : group.stop], rules.target_language)
        if rules.reason_to_drop(source, target) is None:
            yield source, target, None


def _normalised(rows: Iterable[Row], counts: SplitCounts) -> Iterator[Row]:
    for source, target, document in rows:
        counts.read += 1
        yield normalise(source), normalise(target), document

"""The cleaned rows of each split of a corpus, before they are joined"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.config.schema import DataConfig, JoinConfig
from seq2attn.corpora.held_out import WordCounts, draw_rows
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_held_out, clean_training
from seq2attn.data.derived import divide_pair, is_joinable
from seq2attn.data.files import Pair, read_rows
from seq2attn.data.store import Row
from seq2attn.errors import ConfigError

HOW_TO_NAME_DOCUMENTS = "give a .jsonl or .parquet file with a field document"


@dataclass(frozen=True)
class Origin:
    """The source of a corpus's pairs; `swapped`: the files have the opposite direction."""

    name: str
    source_language: str
    target_language: str
    files: Mapping[str, str | list[str]]
    swapped: bool = False

    @property
    def languages(self) -> Pair:
        """Of source and target."""
        return self.source_language, self.target_language

    @property
    def file_languages(self) -> Pair:
        """Of the first and the second text in the files."""
        return self.languages[::-1] if self.swapped else self.languages

    def read(self, split: str) -> Iterator[Row]:
        """The split's rows as they are in the files."""
        rows = read_rows(self.files[split], *self.file_languages)
        return ((target, source, document) for source, target, document in rows) if self.swapped else rows


def splits_of(config: DataConfig) -> tuple[str, ...]:
    """The splits of a corpus. Training comes last, because its cleaning needs the held-out sentences."""
    return ("validation", "test", *(["confirm"] if config.confirm else []), "train")


class _TrainingText(NamedTuple):
    """What the training rows contain, for comparison with held-out ones."""

    sources: set[str]
    word_counts: WordCounts


class CleanText:
    """The cleaned rows of each split, before they are joined."""

    def __init__(self, origin: Origin, config: DataConfig) -> None:
        self._origin = origin
        self._config = config
        self._join = config.join if isinstance(config.join, JoinConfig) else None
        self._confirm = _draw_confirm(origin, config)
        self._held_out_sources: set[str] = set()
        self._training: _TrainingText | None = None
        if self._join and (_least_count(self._join) > 1 or self._join.clauses):
            self._training = self._read_training()

    def rows(self, split: str, counts: SplitCounts) -> Iterator[Row]:
        """The split's rows; fills `counts`. Training must be read after all others."""
        return self._comparable(self._clean(split, counts), split, counts)

    def _clean(self, split: str, counts: SplitCounts) -> Iterator[Row]:
        if split == "train":
            rows = clean_training(self._read(split), self.rules_of_training(), counts)
        else:
            rows = self._remembered(clean_held_out(self._read(split), counts))
        return self._clauses(rows, counts, self._join) if self._join and self._join.clauses else rows

    def _clauses(self, rows: Iterable[Row], counts: SplitCounts, join: JoinConfig) -> Iterator[Row]:
        """The clauses of the rows in place of them, each once."""
        seen: set[Pair] = set()
        count_both = self.rules_of_training().count_both
        for source, target, document in rows:
            parts = divide_pair((source, target), join.max_sentence_words, count_both)
            counts.kept += len(parts) - 1
            counts.clauses += len(parts) - 1
            for part in parts:
                if part in seen:
                    counts.kept -= 1
                    counts.drop("repeated_clause")
                else:
                    seen.add(part)
                    yield *part, document

    def _read(self, split: str) -> Iterator[Row]:
        if split == "confirm":
            return (row for number, row in enumerate(self._origin.read("train")) if number in self._confirm)
        rows = self._origin.read(split)
        if split != "train":
            return rows
        rows = (row for number, row in enumerate(rows) if number not in self._confirm) if self._confirm else rows
        return rows if self._join or self._config.join == 1 else _with_documents(rows, self._origin)

    def rules_of_training(self) -> TrainingRules:
        """Which training pairs are kept; complete once all other splits have been read."""
        return TrainingRules(
            source_language=self._origin.source_language,
            target_language=self._origin.target_language,
            max_source_words=self._config.max_source_words,
            max_target_words=self._config.max_target_words,
            max_length_ratio=self._config.max_length_ratio,
            split_clauses=self._config.split_clauses,
            join=self._config.join if isinstance(self._config.join, int) else 1,
            held_out_sources=self._held_out_sources,
        )

    def _remembered(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._held_out_sources.add(row[0])
            yield row

    def _read_training(self) -> _TrainingText:
        """What the training rows contain; they are cleaned once more for this."""
        training = _TrainingText(set(), WordCounts(self._origin.languages))
        for split in splits_of(self._config):
            for source, target, _ in self._clean(split, SplitCounts()):
                if split == "train":
                    training.sources.add(source)
                    training.word_counts.add((source, target))
        return training

    def _comparable(self, rows: Iterable[Row], split: str, counts: SplitCounts) -> Iterator[Row]:
        """The rows that the settings of joining admit; the others are counted as dropped."""
        for row in rows:
            reason = self._reason_to_leave_out(row, split, self._join) if self._join else None
            if reason is None:
                yield row
            else:
                counts.kept -= 1
                counts.drop(reason)

    def _reason_to_leave_out(self, row: Row, split: str, join: JoinConfig) -> str | None:
        least = join.min_training_word_count if split == "train" else join.min_word_count
        if least is None:
            return None
        words = count_words(row[0], is_unspaced(self._origin.source_language))
        if not is_joinable(words, join):
            return "too_long_to_join"
        if split != "train" and join.max_held_out_words is not None and words > join.max_held_out_words:
            return "too_long"
        if self._training is None:
            return None
        if join.clauses and split != "train" and row[0] in self._training.sources:
            return "in_training"
        is_rare = least > 1 and self._training.word_counts.rarest(row[:2]) < least
        return "rare_word" if is_rare else None


def _least_count(join: JoinConfig) -> int:
    """The highest number of training pairs that a word must occur in, held out or in training."""
    return max(join.min_word_count, join.min_training_word_count or 1)


def _draw_confirm(origin: Origin, config: DataConfig) -> frozenset[int]:
    """The training rows that make up the split `confirm`."""
    if config.confirm is None:
        return frozenset()
    documents = [document for _, _, document in origin.read("train")]
    return draw_rows(documents, config.confirm, origin.name.split("-")[0])


def _with_documents(rows: Iterable[Row], origin: Origin) -> Iterator[Row]:
    """The rows. Raises ConfigError after the last if none names a document."""
    found = False
    for row in rows:
        found = found or row[2] is not None
        yield row
    if not found:
        raise ConfigError(f"data.join: {origin.files['train']} names no documents; {HOW_TO_NAME_DOCUMENTS}")

"""Held-out sentences: a split drawn from training, and sentences without rare words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seq2attn
from seq2attn.config.schema import DataConfig
from seq2attn.corpora.held_out import WordCounts, draw_rows
from seq2attn.corpora.load import load_corpus
from seq2attn.data.derived import divide_pair
from seq2attn.data.store import Corpus
from seq2attn.errors import ConfigError, DataError


def test_rows_without_documents_are_drawn_by_the_hash_of_their_number() -> None:
    by_hash = sorted(range(100), key=lambda row: hashlib.sha256(f"multi30k-train-{row}".encode()).hexdigest())
    assert draw_rows([None] * 100, 7, "multi30k") == set(by_hash[:7])
    assert draw_rows([None] * 100, 7, "bible") != set(by_hash[:7])


@given(
    documents=st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), min_size=8, max_size=60),
    n_rows=st.integers(1, 8),
)
def test_documents_are_drawn_whole(documents: list[str | None], n_rows: int) -> None:
    try:
        drawn = draw_rows(documents, n_rows, "bible")
    except ConfigError:
        return
    assert n_rows <= len(drawn) <= len(documents) / 2
    for document in set(documents) - {None}:
        rows = {row for row, other in enumerate(documents) if other == document}
        assert rows <= drawn or not rows & drawn
    # Without the last unit there would be too few.
    units = [{row for row in drawn if documents[row] == document} for document in set(documents) - {None}]
    units += [{row} for row in drawn if documents[row] is None]
    assert any(len(drawn) - len(unit) < n_rows for unit in units if unit)


def test_more_than_half_of_training_is_never_held_out() -> None:
    with pytest.raises(ConfigError, match=r"data\.confirm: 6 of 10 training pairs would be held out"):
        draw_rows([None] * 10, 6, "bible")


def test_the_rarest_word_counts_on_either_side_and_marks_count_as_words() -> None:
    counts = WordCounts(("de", "en"))
    for pair in (("Ein Hund, ein Hund.", "A dog."), ("Ein Mann.", "A man."), ("Der Hund!", "The dog!")):
        counts.add(pair)
    assert counts.rarest(("ein hund.", "a dog.")) == 2
    assert counts.rarest(("ein hund.", "a man.")) == 1
    assert counts.rarest(("Hund,", "dog")) == 1, "one comma, on the source side"
    assert counts.rarest(("Hund", "cat")) == 0
    assert counts.rarest(("Hund!", "dog!")) == 1


def test_languages_without_spaces_are_counted_by_character() -> None:
    counts = WordCounts(("zh", "en"))
    for pair in (("他来了", "he came"), ("他走了", "he went")):
        counts.add(pair)
    assert counts.rarest(("他了", "he")) == 2
    assert counts.rarest(("来", "he")) == 1


def corpus_of(folder: Path, splits: Mapping[str, list[tuple[str, str]]], **keys: object) -> Corpus:
    for split, lines in splits.items():
        records = [{"source": source, "target": source.upper(), "document": document} for source, document in lines]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
        keys[split] = str(folder / f"{split}.jsonl")
    languages = {"source_language": "fr", "target_language": "en", "folder": str(folder / "data")}
    return load_corpus(DataConfig.model_validate(keys | languages))


CHAPTERS = {
    "train": [(f"training {document} {row}", document) for document in "abcdef" for row in range(4)],
    "validation": [("validation", "v")],
    "test": [("test", "t")],
}


def test_confirm_takes_whole_documents_out_of_training(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CHAPTERS, confirm=5)
    confirm, train = corpus.splits["confirm"], corpus.splits["train"]
    assert len(confirm) == 8, "two documents of four"
    assert not set(confirm["document"]) & set(train["document"])
    assert sorted([*confirm["source"], *train["source"]]) == sorted(source for source, _ in CHAPTERS["train"])
    assert corpus.counts["confirm"]["read"] == 8
    assert corpus.counts["train"]["read"] == 16
    without = corpus_of(tmp_path, CHAPTERS)
    assert "confirm" not in without.splits
    assert without.digest != corpus.digest


def test_no_sentence_of_confirm_stays_in_training_in_another_document(tmp_path: Path) -> None:
    lines = [(f"{row % 10}", None) for row in range(40)]
    corpus = corpus_of(tmp_path, CHAPTERS | {"train": lines}, confirm=3)  # type: ignore[dict-item]
    confirm = set(corpus.splits["confirm"]["source"])
    assert not confirm & set(corpus.splits["train"]["source"])
    assert corpus.counts["train"]["dropped"]["in_validation_or_test"] == 4 * len(confirm) - 3


def test_confirm_is_joined_as_the_other_splits(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CHAPTERS, confirm=4, join={"sizes": "1..2"})
    assert [len(members) for members in corpus.splits["confirm"]["members"]] == [1, 1, 1, 1, 2, 2]


def test_sentences_too_long_to_join_stay_in_training_alone(tmp_path: Path) -> None:
    lines = [("one two three", "a"), ("one", "a"), ("two", "a")]
    splits = {"train": lines, "validation": [("vone", "v"), ("vone vtwo", "v")], "test": [("tone", "t")]}
    corpus = corpus_of(tmp_path, splits, join={"sizes": "1..2", "max_sentence_words": 1, "order": "document"})
    assert list(corpus.splits["train"]["source"]) == ["one two three", "one", "two", "one two"]
    assert list(corpus.splits["train"]["members"])[-1] == [1, 2]
    assert list(corpus.splits["validation"]["source"]) == ["vone"]
    assert corpus.counts["validation"]["dropped"] == {"too_long_to_join": 1}
    assert corpus.counts["validation"]["kept"] == 1


def test_held_out_sentences_with_rare_words_are_left_out(tmp_path: Path) -> None:
    train = [("a b", "x"), ("a c", "x"), ("a d b", "x"), ("a b e", "x"), ("held b", "x")]
    splits = {"train": train, "validation": [("A b", "v"), ("a d", "v")], "test": [("held b", "t"), ("b", "t")]}
    corpus = corpus_of(tmp_path, splits, join={"sizes": "1..2", "min_word_count": 3})
    assert list(corpus.splits["validation"]["source"]) == ["A b"]
    # The training pair equal to a test sentence is dropped from training, so "held" is in no training pair.
    assert list(corpus.splits["test"]["source"]) == ["b"]
    assert corpus.counts["test"]["dropped"] == {"rare_word": 1}
    assert len(corpus.splits["train"]) > 4


def test_training_without_long_sentences_and_rare_words(tmp_path: Path) -> None:
    train = [("a b", "x"), ("b a", "x"), ("a d", "x"), ("a b b", "x"), ("b a a", "x")]
    splits = {"train": train, "validation": [("A b", "v")], "test": [("a B", "t")]}
    join = {"sizes": "1..2", "min_training_word_count": 2, "max_sentence_words": 2}
    corpus = corpus_of(tmp_path, splits, join=join)
    assert [row["source"] for row in corpus.splits["train"] if len(row["members"]) == 1] == ["a b", "b a"]
    assert corpus.counts["train"]["dropped"] == {"rare_word": 1, "too_long_to_join": 2}
    assert list(corpus.splits["validation"]["source"]) == ["A b"]


def test_held_out_sentences_can_be_shorter_than_those_of_training(tmp_path: Path) -> None:
    splits = {
        "train": [("a b c", "x"), ("b a", "x")],
        "validation": [("a b", "v")],
        "test": [("a c b", "t"), ("b", "t")],
    }
    join = {"sizes": "1..2", "max_sentence_words": 3, "max_held_out_words": 2}
    corpus = corpus_of(tmp_path, splits, join=join)
    assert {row["source"] for row in corpus.splits["train"] if len(row["members"]) == 1} == {"a b c", "b a"}
    assert list(corpus.splits["test"]["source"]) == ["b"]
    assert corpus.counts["test"]["dropped"] == {"too_long": 1}


def test_a_training_clause_is_not_left_out_for_being_in_training(tmp_path: Path) -> None:
    splits = {"train": [("a b; c d.", "x")], "validation": [("v w; a b;", "v")], "test": [("t u.", "t")]}
    corpus = corpus_of(tmp_path, splits, join={"sizes": "1..2", "clauses": True, "min_training_word_count": 1})
    assert [row["source"] for row in corpus.splits["train"] if len(row["members"]) == 1] == ["a b;", "c d."]


def test_an_unused_filter_keeps_the_digest_of_runs_that_were_trained_before_it(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CHAPTERS, join={"sizes": "1..2"})
    assert corpus.digest == "edd0488749de1b76ba18d533d334f152e3a288111abb07034ff7d97197732fa7"
    for used in ({"min_training_word_count": 1}, {"min_document_sentences": 2}, {"max_held_out_words": 9}):
        assert corpus_of(tmp_path, CHAPTERS, join={"sizes": "1..2"} | used).digest != corpus.digest


def test_a_split_that_was_not_drawn_is_named_in_one_line(tiny_run: Path) -> None:
    with pytest.raises(DataError, match=r"its corpus has no split confirm; train with data\.confirm"):
        seq2attn.evaluate(tiny_run, split="confirm")


def test_clauses_are_joined_in_place_of_their_sentences(tmp_path: Path) -> None:
    splits = {
        "train": [("a b; c d. e f.", "x"), ("a b;", "x"), ("g h i, j k l.", "x")],
        "validation": [("v w; a b;", "v")],
        "test": [("t u.", "t")],
    }
    corpus = corpus_of(tmp_path, splits, join={"sizes": "1..2", "clauses": True, "max_sentence_words": 4})
    train = [row["source"] for row in corpus.splits["train"] if len(row["members"]) == 1]
    assert train == ["a b;", "c d.", "e f.", "g h i,", "j k l."]
    assert corpus.counts["train"]["dropped"] == {"repeated_clause": 1}
    assert list(corpus.splits["validation"]["source"]) == ["v w;"], "a b; is in training"
    assert corpus.counts["validation"]["dropped"] == {"in_training": 1}
    for counts in corpus.counts.values():
        assert counts["read"] == counts["kept"] - counts["clauses"] - counts["joined"] + sum(counts["dropped"].values())


def test_without_commas_in_common_a_long_clause_stays_whole() -> None:
    def words(source: str, target: str) -> tuple[int, int]:
        return len(source.split()), len(target.split())

    assert divide_pair(("a b, c; d", "a b c; d"), 2, words) == [("a b, c;", "a b c;"), ("d", "d")]
    assert divide_pair(("a b, c; d", "a b, c; d"), 2, words) == [("a b,", "a b,"), ("c;", "c;"), ("d", "d")]
    assert divide_pair(("a b, c; d", "a b, c; d"), None, words) == [("a b, c;", "a b, c;"), ("d", "d")]
    assert divide_pair(("a b", "a b"), 1, words) == [("a b", "a b")]

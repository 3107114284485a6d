"""Joined sentences: which rows are joined, and that no row is used twice or lost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.schema import DataConfig, JoinConfig
from seq2attn.corpora.load import load_corpus
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_training
from seq2attn.data.derived import BLOCK_SENTENCES, JoinedRow, consecutive_groups, join_split, join_texts
from seq2attn.data.files import read_rows
from seq2attn.data.store import Corpus, Row
from seq2attn.errors import ConfigError, DataError

RULES = TrainingRules("fr", "en", None, None, 4.0, split_clauses=False, join=3, held_out_sources=frozenset())
DOCUMENTS = st.one_of(st.none(), st.sampled_from("ab"))


@given(
    rows=st.lists(st.tuples(DOCUMENTS, st.integers(1, 90)), max_size=30),
    size=st.integers(1, 6),
    longest=st.integers(1, 200),
)
def test_every_row_is_in_one_group_of_one_document(rows: list[tuple[str | None, int]], size: int, longest: int) -> None:
    documents, lengths = [row[0] for row in rows], [row[1] for row in rows]
    groups = consecutive_groups(documents, lengths, size, longest)
    assert [row for group in groups for row in group] == list(range(len(rows)))
    for group in groups:
        assert 1 <= len(group) <= size
        assert len({documents[row] for row in group}) == 1
        assert len(group) == 1 or documents[group.start] is not None
        assert len(group) == 1 or sum(lengths[row] for row in group) <= longest
    for group, after in pairwise(groups):
        same = documents[group.start] == documents[after.start] is not None
        fits = sum(lengths[row] for row in group) + lengths[after.start] <= longest
        assert not (same and fits and len(group) < size), "a group ended early"


def test_groups_of_two() -> None:
    documents = ["a", "a", "a", "b", "b", None, None]
    assert consecutive_groups(documents, [1] * 7, 2) == [
        *(range(0, 2), range(2, 3), range(3, 5), range(5, 6), range(6, 7))
    ]


def test_a_language_without_spaces_is_joined_without_them() -> None:
    assert join_texts(["他来了。", "他走了。"], "zh") == "他来了。他走了。"
    assert join_texts(["Il vint.", "Il partit."], "fr") == "Il vint. Il partit."


def test_joined_training_pairs_come_after_their_document() -> None:
    rows: list[Row] = [("a", "1", "x"), ("b", "2", "x"), (" ", "3", "x"), ("c", "4", "x"), ("d", "5", "y")]
    counts = SplitCounts()
    kept = [(source, target) for source, target, _ in clean_training(rows, RULES, counts)]
    alone, joined = [("a", "1"), ("b", "2"), ("c", "4")], [("a b", "1 2"), ("a b c", "1 2 4")]
    assert kept == [*alone, *joined, ("d", "5")]
    assert counts == SplitCounts(read=5, kept=6, joined=2, dropped={"empty": 1})


@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "b c", "d e f", ""]), st.just("x y"), DOCUMENTS), max_size=15),
    limit=st.one_of(st.none(), st.integers(1, 8)),
    join=st.integers(1, 4),
)
def test_joined_training_pairs_obey_the_cleaning_rules(rows: list[Row], limit: int | None, join: int) -> None:
    rules = TrainingRules("fr", "en", limit, None, 4.0, False, join, frozenset({"a b c"}))
    counts = SplitCounts()
    kept = list(clean_training(rows, rules, counts))
    assert all(rules.reason_to_drop(source, target) is None for source, target, _ in kept)
    assert counts.read == len(rows) == counts.kept - counts.joined + sum(counts.dropped.values())
    unjoined = list(clean_training(rows, replace(rules, join=1), SplitCounts()))
    assert [row for row in kept if row in unjoined and row[2] is not None] == [
        row for row in unjoined if row[2] is not None
    ]


def corpus_of(folder: Path, **keys: object) -> Corpus:
    """A corpus of two documents in training and one in each other split."""
    for split, documents in (("train", "aabb"), ("validation", "cc"), ("test", "ddd")):
        records = [
            {"source": f"{split} {row}", "target": f"{row} {split}", "document": document}
            for row, document in enumerate(documents)
        ]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
        keys[split] = str(folder / f"{split}.jsonl")
    languages = {"source_language": "fr", "target_language": "en", "folder": str(folder / "data")}
    return load_corpus(DataConfig.model_validate(keys | languages))


def test_a_corpus_keeps_the_document_of_each_line(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path)
    assert list(corpus.splits["train"]["document"]) == ["a", "a", "b", "b"]
    assert list(corpus.splits["test"]["document"]) == ["d", "d", "d"]


def test_only_training_text_is_joined(tmp_path: Path) -> None:
    joined = corpus_of(tmp_path, join=2)
    assert list(joined.splits["train"]["source"]) == [
        *("train 0", "train 1", "train 0 train 1"),
        *("train 2", "train 3", "train 2 train 3"),
    ]
    assert list(joined.splits["train"]["target"])[2] == "0 train 1 train"
    assert joined.counts["train"]["joined"] == 2
    alone = corpus_of(tmp_path)
    assert joined.digest != alone.digest
    assert [len(joined.splits[split]) for split in ("validation", "test")] == [2, 3]


def test_text_without_documents_cannot_be_joined(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.tsv").write_text(f"a {split}\tb\n", encoding="utf-8")
    keys = {split: str(tmp_path / f"{split}.tsv") for split in ("train", "validation", "test")}
    languages = {"source_language": "fr", "target_language": "en", "folder": str(tmp_path / "data")}
    with pytest.raises(ConfigError, match=r"data\.join: .*train\.tsv names no documents; give a \.jsonl or \.parquet"):
        load_corpus(DataConfig.model_validate({**keys, **languages, "join": 2}))


def test_documents_are_read_from_jsonl_and_parquet_and_must_be_text(tmp_path: Path) -> None:
    table = pa.table({"fr": ["a", "b"], "en": ["c", "d"], "document": ["1.1", None]})
    pq.write_table(table, tmp_path / "text.parquet")
    assert list(read_rows(str(tmp_path / "text.parquet"), "fr", "en")) == [("a", "c", "1.1"), ("b", "d", None)]
    (tmp_path / "text.jsonl").write_text('{"fr": "a", "en": "b", "document": 7}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.jsonl:1: document is int; expected text"):
        list(read_rows(str(tmp_path / "text.jsonl"), "fr", "en"))


def joined(rows: list[Row], split: str = "test", training: bool = False, **settings: object) -> list[JoinedRow]:
    join = JoinConfig.model_validate({"sizes": "1..4"} | settings)
    return list(join_split(rows, join, ("fr", "en"), split, training))


def numbered(documents: list[str | None]) -> list[Row]:
    """Rows whose text is their number, so a joined text shows its members."""
    return [(f"{row}", f"t{row}", document) for row, document in enumerate(documents)]


DOCUMENT_RUNS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(1, 70)), max_size=4, unique_by=lambda run: run[0]
)


@given(runs=DOCUMENT_RUNS, order=st.sampled_from(["random", "document"]), seed=st.integers(0, 5))
def test_every_sentence_is_in_one_group_of_each_size(runs: list[tuple[str | None, int]], order: str, seed: int) -> None:
    rows = numbered([document for document, length in runs for _ in range(length)])
    found = joined(rows, order=order, seed=seed)
    singles = [row for row in found if len(row.members) == 1]
    assert [row.members for row in singles] == [(number,) for number in range(len(rows))]
    for row in found:
        assert row.source == " ".join(str(number) for number in row.members)
        assert row.target == " ".join(f"t{number}" for number in row.members)
        assert len(row.members) <= 4
        assert len({rows[number][2] for number in row.members}) == 1
        if order == "document":
            assert list(row.members) == list(range(row.members[0], row.members[-1] + 1))
    blocks = Counter(row.document for row in singles)
    for size in (2, 3, 4):
        full_groups = Counter(row.document for row in found if len(row.members) == size)
        assert all(full_groups[block] >= length // size for block, length in blocks.items())
    # Once alone, and once in a group of each larger size; some sizes may leave a document's last sentence alone.
    times = Counter(number for row in found for number in row.members)
    assert all(1 <= times[number] <= 4 for number in range(len(rows)))
    assert sum(4 - count for count in times.values()) <= 3 * len(blocks)


def test_text_without_documents_is_joined_inside_blocks() -> None:
    found = joined(numbered([None] * (2 * BLOCK_SENTENCES + 1)), sizes=[1, 2, 3, 4, 6, 8])
    assert {row.document for row in found} == {"block 0", "block 1", "block 2"}
    for row in found:
        assert {f"block {number // BLOCK_SENTENCES}" for number in row.members} == {row.document}
    times = Counter(number for row in found for number in row.members)
    assert set(times.values()) == {1, 6}, "24 is a multiple of all six sizes"
    assert [number for number, count in times.items() if count == 1] == [2 * BLOCK_SENTENCES]


def test_small_documents_are_taken_together() -> None:
    rows = numbered(["a"] * 3 + ["b"] * 2 + ["c"] * 9 + ["d"] * 2 + ["e"])
    found = joined(rows, sizes=[1, 4], min_document_sentences=5)
    of_row = {row.members[0]: row.document for row in found if len(row.members) == 1}
    assert [of_row[number] for number in range(len(rows))] == ["a"] * 5 + ["c"] * 9 + ["d"] * 3, "d and e are the rest"
    for row in found:
        assert {of_row[number] for number in row.members} == {row.document}
    groups = Counter((row.document, len(row.members)) for row in found if len(row.members) > 1)
    assert groups == {("a", 2): 1, ("a", 3): 1, ("c", 3): 3, ("d", 3): 1}, "divided evenly"
    assert joined(rows, min_document_sentences=1) == joined(rows)


@given(n=st.integers(5, 60), size=st.integers(2, 13))
def test_documents_are_divided_evenly(n: int, size: int) -> None:
    found = joined(numbered(["a"] * n), sizes=[1, size], min_document_sentences=2)
    groups = [row.members for row in found if len(row.members) > 1]
    assert sorted(number for group in groups for number in group) == list(range(n)) or size == 2
    sizes = {len(group) for group in groups}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_small_documents_count_only_the_sentences_that_can_be_joined() -> None:
    rows: list[Row] = [("a b c", "x", "a"), ("a", "x", "a"), ("a", "x", "b"), ("a", "x", "c"), ("a", "x", "c")]
    found = joined(rows, sizes=[1, 2], max_sentence_words=2, min_document_sentences=2)
    assert [row.document for row in found if len(row.members) == 1] == ["a", "a", "a", "c", "c"]


def test_groups_depend_only_on_seed_split_and_size() -> None:
    rows = numbered([None] * 130)
    assert joined(rows) == joined(rows)
    assert joined(rows) != joined(rows, seed=2)
    assert joined(rows) != joined(rows, split="validation")
    # Leaving out a size does not change the others.
    fewer = joined(rows, sizes=[1, 3])
    assert [row for row in joined(rows) if len(row.members) == 3] == [row for row in fewer if len(row.members) == 3]


def test_single_sentences_are_repeated_only_in_training() -> None:
    rows = numbered(["a"] * 6)
    training = joined(rows, "train", training=True, singles=3)
    assert Counter(len(row.members) for row in training) == {1: 18, 2: 3 + 1, 3: 2, 4: 1}, "4 of 6 leave 2"
    assert Counter(len(row.members) for row in joined(rows, singles=3))[1] == 6


def test_held_out_sentences_are_grouped_several_times() -> None:
    rows = numbered([None] * 48)
    found = joined(rows, sizes=[1, 4], draws=3)
    assert Counter(number for row in found for number in row.members) == dict.fromkeys(range(48), 4)
    assert len({row.members for row in found}) == 48 + 36, "each time in other groups"
    once = joined(rows, sizes=[1, 4])
    assert [row for row in found if row in once] == once, "further draws change nothing of the first"
    assert Counter(len(row.members) for row in joined(rows, "train", training=True, sizes=[1, 4], draws=3))[4] == 12


def test_blocks_of_training_count_the_sentences_that_can_be_joined() -> None:
    rows: list[Row] = [("a b c" if row % 2 else "a", "x", None) for row in range(2 * BLOCK_SENTENCES)]
    found = joined(rows, "train", training=True, sizes=[1, 8], max_sentence_words=2)
    assert {row.document for row in found if len(row.members) == 8} == {"block 0"}
    assert Counter(len(row.members) for row in found) == {1: 48, 8: 3}
    assert all(number % 2 == 0 for row in found if len(row.members) == 8 for number in row.members)


def test_no_group_is_longer_than_the_limit() -> None:
    rows: list[Row] = [("a b c", "x", "d"), ("a b c d e f g", "x", "d"), ("a", "x", "d"), ("a b", "x", "d")]
    found = joined(rows, order="document", max_words=4)
    assert [row.members for row in found] == [(0,), (1,), (2,), (3,), (2, 3), (2, 3), (2, 3)]


def test_all_splits_of_a_corpus_are_joined(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, join={"sizes": "1..3", "order": "document", "singles": 2})
    test = corpus.splits["test"]
    assert list(test["source"]) == [
        *("test 0", "test 1", "test 2"),
        *("test 0 test 1", "test 0 test 1 test 2"),
    ]
    assert list(test["members"]) == [[0], [1], [2], [0, 1], [0, 1, 2]]
    assert list(test["document"]) == ["d"] * 5
    train = list(corpus.splits["train"]["source"])
    assert train.count("train 0") == 2
    assert train.count("train 2 train 3") == 2, "once as a pair, once as the remainder of a document of two for size 3"
    assert corpus.counts["train"]["kept"] == len(train) == 12
    assert corpus.counts["train"]["joined"] == 8
    assert corpus.counts["train"]["read"] == 4


def test_a_sentence_of_test_is_in_no_joined_training_pair(tmp_path: Path) -> None:
    for split, lines in {"train": "a\tb\nheld out\tx\nc\td\n", "validation": "v\tw\n", "test": "held out\ty\n"}.items():
        (tmp_path / f"{split}.tsv").write_text(lines, encoding="utf-8")
    keys = {split: str(tmp_path / f"{split}.tsv") for split in ("train", "validation", "test")}
    languages = {"source_language": "fr", "target_language": "en", "folder": str(tmp_path / "data")}
    corpus = load_corpus(DataConfig.model_validate({**keys, **languages, "join": {"sizes": "1..2"}}))
    assert not [source for source in corpus.splits["train"]["source"] if "held out" in source]

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.cleaning import SplitCounts, TrainingRules, normalise
from seq2attn.data.cleaning import clean_held_out as clean_held_out_rows
from seq2attn.data.cleaning import clean_training as clean_training_rows

Pair = tuple[str, str]

RULES = TrainingRules(
    source_language="fr",
    target_language="en",
    max_source_words=None,
    max_target_words=None,
    max_length_ratio=4.0,
    split_clauses=False,
    join=1,
    held_out_sources=frozenset(),
)


def clean_held_out(pairs: Sequence[Pair], counts: SplitCounts) -> Iterator[Pair]:
    return (row[:2] for row in clean_held_out_rows([(*pair, None) for pair in pairs], counts))


def clean_training(pairs: Sequence[Pair], rules: TrainingRules, counts: SplitCounts) -> Iterator[Pair]:
    return (row[:2] for row in clean_training_rows([(*pair, None) for pair in pairs], rules, counts))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (" a\tb\u2028c\x85d\re\u00a0\u3000f\x07 ", "a b c d e f"),
        ("e\u0301te\u0301", "été"),
        ("nu\0l\0", "nul"),
        ("\u2581a\u2581b", "_a_b"),
        ("a\u200bb \u200f\u0627", "a\u200bb \u200f\u0627"),
        (" \n\0\t", ""),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@given(st.text())
def test_normalised_text_is_nfc_on_one_line_and_stays_unchanged(raw: str) -> None:
    text = normalise(raw)
    assert normalise(text) == text
    assert unicodedata.is_normalized("NFC", text)
    assert " ".join(text.split()) == text
    assert not any(unicodedata.category(character) == "Cc" for character in text)


@pytest.mark.parametrize(
    ("source", "target", "rules", "reason"),
    [
        ("", "a", RULES, "empty"),
        ("a", "", RULES, "empty"),
        ("a b c", "a", replace(RULES, max_source_words=2), "too_long_source"),
        ("a b", "a", replace(RULES, max_source_words=2), None),
        ("a", "a b c", replace(RULES, max_target_words=2), "too_long_target"),
        ("a", "b b b b b", RULES, None),
        ("a", "b b b b b b", RULES, "length_ratio"),
        ("a a", "b b b b b b b b", RULES, None),
        ("b b b b b b b b b", "a a", RULES, "length_ratio"),
        ("a b", "x", replace(RULES, held_out_sources={"a b"}), "in_validation_or_test"),
        ("那所房子很老", "old", replace(RULES, source_language="zh"), "length_ratio"),
    ],
)
def test_reason_to_drop(source: str, target: str, rules: TrainingRules, reason: str | None) -> None:
    assert rules.reason_to_drop(source, target) == reason


def test_dropped_pairs_are_counted_by_reason() -> None:
    rules = replace(RULES, max_source_words=3, split_clauses=True, held_out_sources={"t"})
    pairs = [("a", "b"), ("a", "b"), (" ", "b"), ("a b c d", "b"), ("t\n", "new"), ("a. b!", "x; y!")]
    counts = SplitCounts()
    kept = list(clean_training(pairs, rules, counts))
    assert kept == [("a", "b"), ("a", "b"), ("a. b!", "x; y!"), ("a.", "x;"), ("b!", "y!")]
    assert counts == SplitCounts(
        read=6, kept=5, clauses=2, dropped={"empty": 1, "too_long_source": 1, "in_validation_or_test": 1}
    )


def test_held_out_pairs_are_never_dropped_for_their_length() -> None:
    counts = SplitCounts()
    pairs = [("a " * 500, "b"), ("", "b"), ("t", "u")]
    assert list(clean_held_out(pairs, counts)) == [("a " * 499 + "a", "b"), ("t", "u")]
    assert counts == SplitCounts(read=3, kept=2, dropped={"empty": 1})


def test_clauses_obey_the_rules_for_pairs() -> None:
    rules = replace(RULES, split_clauses=True, held_out_sources={"Il vint;"})
    kept = clean_training([("Il vint; il vit.", "He came; he saw.")], rules, SplitCounts())
    assert list(kept) == [("Il vint; il vit.", "He came; he saw."), ("il vit.", "he saw.")]


def test_a_pair_too_long_to_train_on_yields_its_clauses() -> None:
    rules = replace(RULES, max_source_words=3, split_clauses=True)
    counts = SplitCounts()
    assert list(clean_training([("a b. c d.", "x y; z w!")], rules, counts)) == [("a b.", "x y;"), ("c d.", "z w!")]
    assert counts == SplitCounts(read=1, kept=2, clauses=2, dropped={"too_long_source": 1})


SIDES = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(["a", "b.", "c,", "d;"]), max_size=30).map(" ".join))


@given(
    pairs=st.lists(st.tuples(SIDES, SIDES), max_size=10),
    limit=st.one_of(st.none(), st.integers(1, 20)),
    split_clauses=st.booleans(),
    held_out=st.frozensets(SIDES.map(normalise), max_size=3),
)
def test_any_pair_is_kept_or_counted(
    pairs: list[tuple[str, str]], limit: int | None, split_clauses: bool, held_out: frozenset[str]
) -> None:
    rules = replace(RULES, max_source_words=limit, split_clauses=split_clauses, held_out_sources=held_out)
    counts = SplitCounts()
    kept = list(clean_training(pairs, rules, counts))
    assert counts.read == len(pairs)
    assert counts.kept == len(kept)
    assert counts.read == counts.kept - counts.clauses + sum(counts.dropped.values())
    assert all(rules.reason_to_drop(*pair) is None for pair in kept)
    assert all(normalise(side) == side for pair in kept for side in pair)


@pytest.mark.parametrize(("length", "reason"), [(20_000, None), (20_001, "no_sentence")])
def test_text_longer_than_any_sentence_is_always_dropped(length: int, reason: str | None) -> None:
    pair = "a" * length, "b" * 20_000
    assert RULES.reason_to_drop(*pair) == reason
    counts = SplitCounts()
    assert list(clean_held_out([pair], counts)) == ([pair] if reason is None else [])
    assert counts.dropped == ({} if reason is None else {reason: 1})

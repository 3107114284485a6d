from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.cleaning import normalise
from seq2attn.data.derived import clause_pairs


def count(source: str, target: str) -> tuple[int, int]:
    return len(source.split()), len(target.split())


@pytest.mark.parametrize(
    ("source", "target", "clauses"),
    [
        ("Il vint; il vit.", "He came: he saw", [("Il vint;", "He came:"), ("il vit.", "he saw")]),
        ("Qui ? Moi !", "Who? I!", [("Qui ?", "Who?"), ("Moi !", "I!")]),
        ("« Viens! » Il vint.", '"Come!" He came.', [("« Viens! »", '"Come!"'), ("Il vint.", "He came.")]),
        ("«Viens!» Il vint.", '"Come!" He came.', [("«Viens!»", '"Come!"'), ("Il vint.", "He came.")]),
        ("À 3.5 km; là.", "At 3.5 km; there.", [("À 3.5 km;", "At 3.5 km;"), ("là.", "there.")]),
        (
            "Il vint, puis il vit.",
            "He came, then he saw.",
            [("Il vint,", "He came,"), ("puis il vit.", "then he saw.")],
        ),
        ("À 1,5 km, là.", "At 1,5 km, there.", [("À 1,5 km,", "At 1,5 km,"), ("là.", "there.")]),
        ("Qui? Moi.", "I. Who?", []),
        ("Il vint. Il vit.", "He came and saw.", []),
        ("Il vint, il vit.", "He came; he saw.", []),
        ("Il vint.", "He came.", []),
        ("Oui: il vint, il vit et il vainquit tout.", "He came and saw and conquered it all: yes.", []),
    ],
)
def test_clauses_of_sides_with_the_same_structure(source: str, target: str, clauses: list[tuple[str, str]]) -> None:
    assert clause_pairs(source, target, count) == clauses


def test_neighbours_are_paired_and_strong_parts_are_split_at_commas() -> None:
    assert clause_pairs("a, b; c; d.", "A, B; C; D.", count) == [
        ("a, b;", "A, B;"),
        ("c;", "C;"),
        ("d.", "D."),
        ("a, b; c;", "A, B; C;"),
        ("c; d.", "C; D."),
        ("a,", "A,"),
        ("b;", "B;"),
    ]


def test_different_commas_in_one_part_do_not_affect_the_others() -> None:
    assert ("d,", "D,") in clause_pairs("a, b c; d, e.", "A B C; D, E.", count)


TEXT = st.text('ab .,;:!?"»', max_size=30).map(normalise)


@given(TEXT, TEXT)
def test_clauses_are_parts_of_both_sides_in_order_and_never_all(source: str, target: str) -> None:
    clauses = clause_pairs(source, target, count)
    assert len(set(clauses)) == len(clauses)
    for left, right in clauses:
        assert left in source
        assert right in target
        assert (left, right) != (source, target)
    if clauses:
        assert all(any(word in left for left, _ in clauses) for word in source.split())

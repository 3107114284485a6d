"""Marking where translations differ from their references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.report.diff import Mark, mark_differences

SENTENCES = st.lists(st.sampled_from(["the", "black", "cat,", "(cat)", "«", "...", "神创造", "وقال", "l'eau"])).map(
    " ".join
)


def marked(translation: str, reference: str) -> str:
    signs = {Mark.same: "{}", Mark.extra: "[{}]", Mark.missing: "<{}>"}
    return "".join(
        piece.blanks + signs[piece.mark].format(piece.text) for piece in mark_differences(translation, reference)
    )


@pytest.mark.parametrize(
    ("translation", "reference", "expected"),
    [
        ("Then God said to Noah,", "And God said to Noah.", "[Then]<And> God said to Noah[,]<.>"),
        ("And God said", "And God said to Noah", "And God said <to Noah>"),
        ("a very big house", "a house", "a [very big] house"),
        ("House", "house", "[House]<house>"),
        ("the (ark)", "the ark", "the [(]ark[)]"),
        ("神创造了天。", "神创造天地。", "神创造[了]天<地>。"),
        ("ก็ดี", "กดี", "[ก็]<ก>ดี"),
        ("", "And God", "<And God>"),
        ("And God", "", "[And God]"),
        ("", "", ""),
    ],
)
def test_differing_words_are_marked(translation: str, reference: str, expected: str) -> None:
    assert marked(translation, reference) == expected


@given(SENTENCES, SENTENCES)
def test_the_pieces_reconstruct_both_sentences(translation: str, reference: str) -> None:
    pieces = mark_differences(translation, reference)
    assert "".join(piece.blanks + piece.text for piece in pieces if piece.mark != Mark.missing) == translation
    theirs = "".join(piece.text for piece in pieces if piece.mark != Mark.extra)
    assert "".join(theirs.split()) == "".join(reference.split())


@given(SENTENCES)
def test_a_sentence_does_not_differ_from_itself(sentence: str) -> None:
    assert {piece.mark for piece in mark_differences(sentence, sentence)} <= {Mark.same}

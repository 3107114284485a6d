from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.attention.words import Tokens, group_subwords, merge_weights

PIECES = st.lists(
    st.sampled_from(["▁", "▁le", "ch", "at", "▁,", ".", "'", "神", "▁天地", "<0xC3>", "<0xA9>", "<unk>", "</s>"]),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ("▁le ▁cha t ▁noir", "le chat noir"),
        ("▁l ' hom me . </s>", "l'homme . ⟨end⟩"),
        ("▁( l ' homme ) ,", "( l'homme ),"),
        ("▁« ▁Di eu ▁»", "« Dieu »"),
        ("▁ « Dieu ▁ !", "« Dieu !"),
        ("<s> ▁peut - être", "⟨start⟩ peut-être"),
        ("▁ca f <0xC3> <0xA9>", "café"),
        ("▁ <0xE7> <0xA5> <0x9E> <0xE7> <0xA5> <0x9E>", "神 神"),
        ("<0xE7> <0xA5>", "\ufffd"),
        ("▁ca <unk> t", "ca⟨unknown⟩t"),
        ("▁起初 , 神 创造 。", "起初 , 神 创造 。"),
        ("▁في ▁البد ء", "في البدء"),
        ("▁하나 님이", "하나님이"),
        ("▁... ▁--", "... --"),
        ("▁a ▁", "a ▁"),
    ],
)
def test_words_end_at_spaces_and_punctuation_is_separate(pieces: str, words: str) -> None:
    assert group_subwords(pieces.split(" ")).words == tuple(words.split(" "))


@given(pieces=PIECES)
def test_every_subword_belongs_to_one_word_in_order(pieces: list[str]) -> None:
    tokens = group_subwords(pieces)
    assert len(tokens.word_of) == len(tokens.subwords) == len(pieces)
    assert tokens.word_of[0] == 0
    assert set(np.diff(tokens.word_of)) <= {0, 1}
    assert tokens.word_of[-1] == len(tokens.words) - 1
    assert all(tokens.words)


def merged_by_loops(weights: np.ndarray, rows: Tokens, columns: Tokens) -> list[list[float]]:
    """For each pair of words: the sum over the column's subwords, averaged over the row's subwords."""
    table = []
    for row_word in range(len(rows.words)):
        line = []
        for column_word in range(len(columns.words)):
            sums = []
            for row, of_row in enumerate(rows.word_of):
                if of_row == row_word:
                    here = [weights[row, j] for j, of_column in enumerate(columns.word_of) if of_column == column_word]
                    sums.append(sum(here))
            line.append(sum(sums) / len(sums))
        table.append(line)
    return table


@given(rows=PIECES, columns=PIECES, seed=st.integers(0, 99))
def test_merging_equals_loops_and_keeps_row_sums(rows: list[str], columns: list[str], seed: int) -> None:
    row_tokens, column_tokens = group_subwords(rows), group_subwords(columns)
    weights = np.random.default_rng(seed).dirichlet(np.full(len(columns), 0.3), size=(2, len(rows)))
    merged = merge_weights(weights, row_tokens, column_tokens)
    assert merged.shape == (2, len(row_tokens.words), len(column_tokens.words))
    np.testing.assert_allclose(merged.sum(axis=-1), 1.0)
    for head in range(2):
        np.testing.assert_allclose(merged[head], merged_by_loops(weights[head], row_tokens, column_tokens), atol=1e-12)

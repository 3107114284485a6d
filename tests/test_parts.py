from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.translate import split_ids

FIRST_WORD_ID = 50  # in these tests, ids from here on begin a word


def split(ids: list[int], most: int) -> list[list[int]]:
    return split_ids([*ids, EOS_ID], most, lambda window: [token_id >= FIRST_WORD_ID for token_id in window])


def test_a_line_that_fits_is_one_part() -> None:
    assert split([50, 10, 51], 4) == [[50, 10, 51, EOS_ID]]
    assert split([], 2) == [[EOS_ID]]


def test_a_long_line_is_split_before_words_as_late_as_possible() -> None:
    assert split([50, 51, 10, 11, 52, 12], 5) == [[50, 51, 10, 11, EOS_ID], [52, 12, EOS_ID]]
    assert split([50, 10, 51, 11, 12, 13], 5) == [[50, 10, EOS_ID], [51, 11, 12, 13, EOS_ID]]


def test_a_word_that_is_too_long_is_split_anywhere() -> None:
    assert split([50, 10, 11, 12, 13], 3) == [[50, 10, EOS_ID], [11, 12, EOS_ID], [13, EOS_ID]]


@given(ids=st.lists(st.integers(4, 99), max_size=80), most=st.integers(2, 20))
def test_nothing_is_lost_and_every_part_fits(ids: list[int], most: int) -> None:
    parts = split(ids, most)
    assert [token_id for part in parts for token_id in part[:-1]] == ids
    assert all(part[-1] == EOS_ID and len(part) <= most for part in parts)
    assert len(parts) == 1 or all(len(part) > 1 for part in parts)

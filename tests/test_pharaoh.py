"""Word alignments in Pharaoh format."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2attn.data.pharaoh import GoldLinks, read_links
from seq2attn.errors import DataError
from tests.command_line import write


def test_sure_and_possible_links_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.txt", "0-0 1-2 1?1 2p0\n\n  0-1\t0?1 \r\n")
    assert read_links(path, [(3, 3), (2, 2), (1, 2)]) == [
        GoldLinks(frozenset({(0, 0), (1, 2)}), frozenset({(1, 1), (2, 0)})),
        GoldLinks(frozenset(), frozenset()),
        GoldLinks(frozenset({(0, 1)}), frozenset()),
    ]


def test_one_based_links_are_shifted(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.txt", "1-1 3?2\n")
    assert read_links(path, [(3, 2)], one_based=True) == [GoldLinks(frozenset({(0, 0)}), frozenset({(2, 1)}))]


@pytest.mark.parametrize(
    ("line", "one_based", "found"),
    [
        ("0-0 3-1", False, "link 3-1 names source word 3, but its 3 words count from 0 to 2; give --one-based"),
        ("0-0 1-2", False, "link 1-2 names target word 2, but its 2 words count from 0 to 1; give --one-based"),
        ("1-1 0-1", True, "link 0-1 names source word 0, but its 3 words count from 1 to 3; leave out --one-based"),
        ("1-1 4-1", True, "link 4-1 names source word 4, but its 3 words count from 1 to 3"),
        ("0-0 1:1", False, "'1:1' is not a link; expected links such as 0-0 (sure)"),
        ("0--1", False, "'0--1' is not a link"),
        ("²-1", False, "is not a link"),
    ],
)
def test_a_wrong_link_names_file_and_line(tmp_path: Path, line: str, one_based: bool, found: str) -> None:
    path = write(tmp_path / "gold.txt", f"\n{line}\n")
    with pytest.raises(DataError) as error:
        read_links(path, [(3, 2), (3, 2)], one_based)
    assert str(error.value).startswith(f"{path}:2: ")
    assert found in str(error.value)


def test_the_number_of_lines_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.txt", "0-0\n0-0\n")
    with pytest.raises(DataError, match="more lines than the 1 sentence pairs"):
        read_links(path, [(1, 1)])
    with pytest.raises(DataError, match="2 lines, but there are 3 sentence pairs"):
        read_links(path, [(1, 1)] * 3)
    with pytest.raises(DataError, match="it has no words"):
        read_links(path, [(0, 1), (1, 1)])

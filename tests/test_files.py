from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.files import read_lines, read_pairs
from seq2attn.data.locations import resolve_files
from seq2attn.errors import DataError

PAIRS = [("Ein Haus.", "A house."), ("Zwei\u2028Häuser\x85!", "Two\rhouses!"), ("日本", "😀")]


def write(path: Path, data: bytes) -> str:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def read(spec: str | list[str]) -> list[tuple[str, str]]:
    return list(read_pairs(spec, "de", "en"))


def lines_of(texts: tuple[str, ...]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


@pytest.mark.parametrize("end", ["", ".gz"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, end: str) -> None:
    sources, targets = zip(*PAIRS, strict=True)
    write(tmp_path / f"train.de{end}", lines_of(sources))
    write(tmp_path / f"train.en{end}", lines_of(targets))
    tsv = write(tmp_path / f"a.tsv{end}", lines_of(tuple(map("\t".join, PAIRS))))
    assert read(str(tmp_path / "train")) == PAIRS
    assert read([str(tmp_path / f"train.de{end}"), str(tmp_path / f"train.en{end}")]) == PAIRS
    assert read(tsv) == PAIRS
    records = (
        [{"source": source, "target": target} for source, target in PAIRS],
        [{"translation": {"de": source, "en": target}} for source, target in PAIRS],
        [{"en": target, "de": source, "id": 1} for source, target in PAIRS],
    )
    for number, rows in enumerate(records):
        jsonl = lines_of(tuple(json.dumps(row, ensure_ascii=number == 0) for row in rows))
        assert read(write(tmp_path / f"{number}.jsonl{end}", jsonl)) == PAIRS
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{number}.parquet")
        assert read(str(tmp_path / f"{number}.parquet")) == PAIRS


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=5))
def test_only_a_line_feed_ends_a_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    # A carriage return before the line feed is part of the line end, and a leading U+FEFF is a byte-order mark.
    kept = [line.rstrip("\r").removeprefix("\ufeff") for line in lines]
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes(lines_of(tuple(kept)))
    assert list(read_lines(path)) == kept


def test_crlf_and_byte_order_mark_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rstill two\r\n\r\nlast\r")
    assert list(read_lines(path)) == ["one", "two\rstill two", "", "last\r"]


def test_a_plain_file_is_preferred_to_its_gz(tmp_path: Path) -> None:
    for name in ("t.de", "t.de.gz", "t.en.gz"):
        write(tmp_path / name, b"x\n")
    assert resolve_files(str(tmp_path / "t"), "de", "en") == (tmp_path / "t.de", tmp_path / "t.en.gz")


def test_empty_lines_and_nulls_are_empty_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.tsv", b"a\tb\n\n")) == [("a", "b"), ("", "")]
    assert read(write(tmp_path / "a.jsonl", b'{"de": null, "en": "b"}\n\n')) == [("", "b"), ("", "")]
    pq.write_table(pa.table({"source": ["a", None], "target": ["b", "c"]}), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")) == [("a", "b"), ("", "c")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"a\tb\nno tab\n", r"a\.tsv:2: 1 tab-separated field"),
        ("a.tsv", b"a\tb\tc\n", r"a\.tsv:1: 3 tab-separated field"),
        ("a.tsv", b"a\tb\na\t\xff\n", r"a\.tsv:2: not valid UTF-8 \(byte 0xff at column 3\)"),
        ("a.tsv", "a\tb\n".encode("utf-16"), r"a\.tsv:1: not valid UTF-8"),
        ("a.jsonl", b'{"source": "a", "target": "b"}\n{"source": \n', r"a\.jsonl:2: not valid JSON"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: not valid JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl:1: expected a JSON object, found list"),
        ("a.jsonl", b'{"fr": "a", "en": "b"}\n', r"a\.jsonl:1: found fr, en; expected source and target, de and en"),
        ("a.jsonl", b'{"de": 3, "en": "b"}\n', r"a\.jsonl:1: de is int; expected text"),
        ("a.jsonl", b'{"de": "\\ud83d", "en": "b"}\n', r"a\.jsonl:1: de contains a lone surrogate \\ud83d"),
        ("a.parquet", b"not Parquet at all", r"a\.parquet: truncated or damaged Parquet file"),
        ("a.tsv.gz", b"", r"a\.tsv\.gz:1: truncated or damaged gzip data"),
    ],
)
def test_broken_text_is_an_error_with_file_and_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data or gzip.compress(b"a\tb\n")[:-12])
    with pytest.raises(DataError, match=message) as caught:
        read(str(path))
    assert "\n" not in str(caught.value)


def test_plain_text_named_gz(tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(b"a\tb\n")
    with pytest.raises(DataError, match=r"a\.tsv\.gz:1: truncated or damaged gzip data"):
        read(str(tmp_path / "a.tsv.gz"))


@pytest.mark.parametrize(("sources", "targets", "longer"), [(5, 3, "t.de"), (3, 5, "t.en")])
def test_unequal_line_counts_name_the_longer_file(tmp_path: Path, sources: int, targets: int, longer: str) -> None:
    write(tmp_path / "t.de", b"x\n" * sources)
    write(tmp_path / "t.en", b"x\n" * targets)
    with pytest.raises(DataError, match=rf"{longer}:4: 2 more line\(s\) than .*, which ends after line 3"):
        read(str(tmp_path / "t"))


def test_parquet_without_the_columns_or_with_broken_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "source": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet:1: found source; expected source and target"):
        read(str(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: found text; expected"):
        read(str(tmp_path / "b.parquet"))
    broken = pa.array([b"a", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"source": broken, "target": ["a", "b"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c\.parquet:1: not valid UTF-8"):
        read(str(tmp_path / "c.parquet"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("none.tsv", r"none\.tsv: no such file"),
        ("none", r"none: found neither .*none\.de nor .*none\.de\.gz"),
        (["one.de"], r"1 file name\(s\); expected"),
        (["one.de", "one.en"], r"one\.de: no such file"),
    ],
)
def test_missing_files_are_named_immediately(spec: str | list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(spec, "de", "en")


def test_a_missing_table_is_reported_as_missing() -> None:
    with pytest.raises(DataError) as caught:
        read_pairs("text/validation.tsv", "de", "en")
    assert "expected" not in str(caught.value)

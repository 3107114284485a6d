"""Readers of the user's own text: TSV, JSONL, Parquet, or two line-aligned text files.

Text is read as bytes and split at `\\n` only: U+2028, U+0085 and a lone carriage return are part of a line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from seq2attn.data.locations import (
    File,
    RemoteFile,
    find_shards,
    open_raw,
    open_text,
    remote_errors,
    resolve_files,
    table_kind,
)
from seq2attn.data.store import Row
from seq2attn.errors import DataError

Pair = tuple[str, str]

_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 4096
_DOCUMENT = "document"


def read_pairs(spec: str | list[str], source_language: str, target_language: str) -> Iterator[Pair]:
    """The rows of `read_rows`, without their documents."""
    return ((source, target) for source, target, _ in read_rows(spec, source_language, target_language))


def read_rows(spec: str | list[str], source_language: str, target_language: str) -> Iterator[Row]:
    """The sentence pairs in the files given by `spec`, in order and unchanged, each with its document.

    `spec` is a path, a prefix, two paths, a folder of shards or an address, as in `data.train`. An empty line of a
    table and a null are empty text.
    JSONL and Parquet name documents in a field `document`; the other forms have none.

    Raises: DataError naming file and line: at once for a missing file, otherwise when iteration reaches the line.
    """
    languages = (source_language, target_language)
    if (shards := find_shards(spec, source_language)) is not None:
        return chain.from_iterable(_read_table(shard, languages) for shard in shards)
    files = resolve_files(spec, *languages)
    return _without_documents(_read_two_files(*files)) if len(files) == 2 else _read_table(files[0], languages)


def _read_table(file: File, languages: Pair) -> Iterator[Row]:
    kind = table_kind(file)
    if kind == ".tsv":
        rows = _without_documents(_read_tsv(file))
    else:
        rows = _read_json_lines(file, languages) if kind == ".jsonl" else _read_parquet(file, languages)
    return rows if isinstance(file, Path) else _read_remote(rows, file)


def _read_remote(rows: Iterator[Row], file: RemoteFile) -> Iterator[Row]:
    with remote_errors(file.address):
        yield from rows


def read_lines(path: File) -> Iterator[str]:
    """The lines of UTF-8 text, without line ends (LF or CRLF) and byte-order mark.

    `path`: a plain file, a `.gz` or `.zst` file, or `-` for standard input.

    Raises: DataError naming file and line.
    """
    number = 0
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                yield decode_line(line.removeprefix(_BOM) if number == 1 else line, f"{path}:{number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}:{number + 1}: truncated or damaged gzip data; copy the file again") from error
    except OSError as error:
        if path.suffix == ".zst" and error.errno is None:
            raise DataError(f"{path}:{number + 1}: truncated or damaged zstd data; copy the file again") from error
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decode_line(line: bytes, place: str) -> str:
    """The text of one line of UTF-8, without its line end (LF or CRLF).

    Raises: DataError naming `place`.
    """
    line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
        raise DataError(f"{place}: not valid UTF-8 ({found}); write the text as UTF-8") from error


def parse_json_line(line: str, place: str) -> object:
    """The value in a line of JSONL.

    Raises: DataError naming `place`.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or error
        raise DataError(f"{place}: not valid JSON ({reason}); expected one object per line") from error


def as_text(value: object, name: str, place: str) -> str:
    """The text of a field called `name`; a null is empty text.

    Raises: DataError naming `place` if it is not text, or text that cannot be encoded.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: {name} is {type(value).__name__}; expected text")
    try:
        # JSON can contain half a surrogate pair, which is not a character and cannot be written to a file.
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: {name} contains a lone surrogate \\u{ord(value[error.start]):04x}") from error
    return value


def _read_two_files(source_path: Path, target_path: Path) -> Iterator[Pair]:
    sources, targets = read_lines(source_path), read_lines(target_path)
    for number, (source, target) in enumerate(zip_longest(sources, targets), start=1):
        if source is None or target is None:
            longer, shorter, rest = (
                (target_path, source_path, targets) if source is None else (source_path, target_path, sources)
            )
            surplus = 1 + sum(1 for _ in rest)
            raise DataError(
                f"{longer}:{number}: {surplus} more line(s) than {shorter}, which ends after line {number - 1}; "
                "line N of one must translate line N of the other"
            )
        yield source, target


def _read_tsv(path: File) -> Iterator[Pair]:
    """Lines of two fields, without header or quoting."""
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t") if line else ["", ""]
        if len(fields) != 2:
            raise DataError(f"{path}:{number}: {len(fields)} tab-separated field(s); expected 2, source and target")
        yield fields[0], fields[1]


def _without_documents(pairs: Iterator[Pair]) -> Iterator[Row]:
    return ((source, target, None) for source, target in pairs)


def _read_json_lines(path: File, languages: Pair) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            yield "", "", None
            continue
        record = parse_json_line(line, where)
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(record).__name__}")
        yield _pick_row(record, languages, where)


def _read_parquet(path: File, languages: Pair) -> Iterator[Row]:
    row = 0
    try:
        with open_raw(path) as raw, pq.ParquetFile(path if isinstance(path, Path) else raw, memory_map=True) as file:
            names = file.schema_arrow.names
            columns = [name for name in names if name in ("source", "target", "translation", *languages)]
            if not columns:
                raise _missing_pair(names, languages, str(path))
            columns += [_DOCUMENT] if _DOCUMENT in names else []
            batches = file.iter_batches(_PARQUET_ROWS, columns=columns)
            records = (record for batch in batches for record in batch.to_pylist())
            for row, record in enumerate(records, start=1):
                yield _pick_row(record, languages, f"{path}:{row}")
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path}: truncated or damaged Parquet file ({reason}); copy or write it again") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{row + 1}: not valid UTF-8 in this row or soon after it; write the text as UTF-8"
        ) from error


def _pick_row(record: Mapping[str, object], languages: Pair, where: str) -> Row:
    """The texts of a record `{source, target}`, `{translation: {de, en}}` or `{de, en}`, and its document."""
    document = as_text(record.get(_DOCUMENT), _DOCUMENT, where)
    translation = record.get("translation")
    inner = translation if isinstance(translation, Mapping) else record
    for source, target in (("source", "target"), languages):
        if source in inner and target in inner:
            return as_text(inner[source], source, where), as_text(inner[target], target, where), document or None
    raise _missing_pair(inner, languages, where)


def _missing_pair(names: Mapping[str, object] | list[str], languages: Pair, where: str) -> DataError:
    source, target = languages
    found = ", ".join(names) or "nothing"
    expected = f"source and target, {source} and {target}, or translation with {source} and {target}"
    return DataError(f"{where}: found {found}; expected {expected}")


Role = Literal["source", "reference", "hypothesis"]

_KEYS: dict[Role, tuple[str, ...]] = {
    "source": ("source", "text"),
    "reference": ("reference", "target", "text"),
    "hypothesis": ("hypothesis", "translation", "text"),
}


def read_sentences(path: Path, role: Role) -> Iterator[str]:
    """The sentences of a file, in order: one per line, plain or `.gz`; in `.jsonl`, the first known key of each object.

    A line of JSONL is an object, a text, or a list of either, best first (as `seq2attn translate --json` writes it).

    Raises: DataError naming file and line.
    """
    if Path(path.name.removesuffix(".gz")).suffix != ".jsonl":
        return read_lines(path)
    return (_sentence(line, role, f"{path}:{number}") for number, line in enumerate(read_lines(path), start=1))


def _sentence(line: str, role: Role, where: str) -> str:
    if not line.strip():
        return ""
    record = parse_json_line(line, where)
    best = record[0] if isinstance(record, list) and record else record
    if isinstance(best, str):
        return as_text(best, role, where)
    keys = _KEYS[role]
    if isinstance(best, dict):
        for key in keys:
            if key in best:
                return as_text(best[key], key, where)
        raise DataError(f"{where}: found {', '.join(best) or 'nothing'}; expected one of {', '.join(keys)}")
    raise DataError(f"{where}: expected a text, or an object with one of {', '.join(keys)}")

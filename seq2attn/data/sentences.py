"""One side of a text from a file of any system: plain lines, or JSONL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from seq2attn.data.files import as_text, parse_json_line, read_lines
from seq2attn.errors import DataError

Role = Literal["source", "reference", "hypothesis"]

_KEYS: dict[Role, tuple[str, ...]] = {
    "source": ("source", "text"),
    "reference": ("reference", "target", "text"),
    "hypothesis": ("hypothesis", "translation", "text"),
}


def read_sentences(path: Path, role: Role) -> Iterator[str]:
    """The sentences of a file, in order: one a line, plain or `.gz`, from `.jsonl` by the first key that is there.

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

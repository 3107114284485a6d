"""Translation of whole files by several processes: in parts, which are kept until their file is complete."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from seq2attn.data.cache import write_pieces, write_whole
from seq2attn.data.files import read_lines
from seq2attn.data.locations import identity
from seq2attn.data.workers import run_jobs
from seq2attn.decoding.translate import LineFormat, Translator, chunks_of
from seq2attn.errors import DataError, RunError

Choice = TypeVar("Choice")

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class TranslatorSource(Generic[Choice]):
    """How each process gets its translator: `load(choice)`; `load` is at the top level of a module."""

    load: Callable[[Choice], Translator]
    choice: Choice
    """Must be hashable."""


@dataclass(frozen=True)
class PartDone:
    """A translated part of a file."""

    source: Path
    n_lines: int
    split_lines: Mapping[int, int]
    """Numbers of the lines (from 1) that were too long to translate at once, and in how many parts they were."""


@dataclass(frozen=True)
class _Part:
    """Lines to translate, and the file for their translations."""

    translator: TranslatorSource[Any]
    form: LineFormat
    source: Path
    first_line: int
    lines: Sequence[str]
    file: Path


def outputs_of(source: Path, out: Path) -> dict[Path, Path]:
    """The files to translate, in order, and where each translation goes: `out`, or files in it if `source` is a folder.

    Hidden files do not count; `.gz` and `.zst` leave the name.

    Raises: DataError if there is no such file, or two would have the same translation.
    """
    if not source.is_dir():
        if not source.is_file():
            raise DataError(f"{source}: no such file or folder")
        return {source: out}
    files = sorted(file for file in source.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise DataError(f"{source}: has no file to translate")
    names = {file: file.stem if file.suffix in (".gz", ".zst") else file.name for file in files}
    for name, count in Counter(names.values()).items():
        if count > 1:
            raise DataError(f"{source}: {count} files whose translation would be {name}; keep one of them")
    return {file: out / name for file, name in names.items()}


def translate_files(
    source: Path,
    out: Path,
    translator: TranslatorSource[Any],
    form: LineFormat,
    settings: Mapping[str, Any],
    n_processes: int,
) -> Iterator[PartDone]:
    """Translate the file `source`, or each in that folder, to `out`, with a process for each of several parts.

    A translation appears in `out` once it is complete; until then its parts are in `OUT.parts`, and the same call
    continues there after an interruption. Parts are those that `Translator.stream` reads ahead, and every process
    computes with one thread (unless the environment says otherwise), so that their number does not matter.

    Args:
        settings: what the translations depend on; those of a call that continues must be equal.

    Raises: DataError; RunError if `out` holds something else; DiskError; WorkerError if a process was killed.
    """
    outputs = outputs_of(source, out)
    parts = out.with_name(f"{out.name}.parts")
    _begin(out, parts, json.dumps([settings, asdict(form), [identity(file) for file in outputs]]))
    if source.is_dir():
        out.mkdir(exist_ok=True)
    work = _Work(outputs, parts, translator, form)
    for done in run_jobs(_translate_part, work.left(), n_processes, threads=1):
        work.complete(done.source)
        yield done
    for file in outputs:
        work.complete(file)
    shutil.rmtree(parts)


class _Work:
    """The parts of all files, and which of them are complete."""

    def __init__(
        self, outputs: Mapping[Path, Path], parts: Path, translator: TranslatorSource[Any], form: LineFormat
    ) -> None:
        self._outputs = outputs
        self._parts = parts
        self._translator = translator
        self._form = form
        self._n_parts: dict[Path, int] = {}

    def left(self) -> Iterator[_Part]:
        """The parts that are not translated yet. Reads all lines of files that are not complete."""
        for source, output in self._outputs.items():
            if output.exists():
                continue
            first_line, number = 1, 0
            for number, lines in enumerate(chunks_of(read_lines(source)), start=1):
                file = self._file(source, number)
                if not file.exists():
                    yield _Part(self._translator, self._form, source, first_line, lines, file)
                first_line += len(lines)
            self._n_parts[source] = number

    def complete(self, source: Path) -> None:
        """Join the parts of a file if all of them are translated."""
        output = self._outputs[source]
        if source not in self._n_parts or output.exists():
            return
        files = [self._file(source, number + 1) for number in range(self._n_parts[source])]
        if all(file.exists() for file in files):
            write_pieces(output, (file.read_bytes() for file in files))
            for file in files:
                file.unlink()

    def _file(self, source: Path, number: int) -> Path:
        return self._parts / f"{self._outputs[source].name}.{number:07}"


def _begin(out: Path, parts: Path, manifest: str) -> None:
    """Make the folder of parts, or check that it is that of the same translations."""
    file = parts / _MANIFEST
    if file.exists():
        if file.read_text(encoding="utf-8") != manifest:
            raise RunError(
                f"{parts}: has parts of other text, or of a translation by another model or with other settings; "
                f"delete it with {out}, or choose another --out"
            )
        return
    if out.exists():
        raise RunError(f"{out}: exists already; delete it, or choose another --out")
    parts.mkdir(parents=True, exist_ok=True)
    write_whole(file, manifest.encode())


@lru_cache(maxsize=1)
def _loaded(translator: TranslatorSource[Any]) -> Translator:
    return translator.load(translator.choice)


def _translate_part(part: _Part) -> PartDone:
    translator = _loaded(part.translator)
    split_lines, pieces = {}, []
    for number, translations in enumerate(translator.stream(part.lines, part.form.n_best), start=part.first_line):
        if translations[0].parts > 1:
            split_lines[number] = translations[0].parts
        pieces.append(f"{part.form.lines(translations)}\n".encode())
    write_pieces(part.file, pieces)
    return PartDone(part.source, len(part.lines), split_lines)

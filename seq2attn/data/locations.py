"""Where text is: files, folders of shards, and `fsspec` addresses such as `s3://bucket/folder`."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from seq2attn.config.schema import is_address
from seq2attn.errors import DataError, FetchError, Seq2AttnError

STANDARD_INPUT = Path("-")

_FORMS = "a .tsv, .jsonl or .parquet file, a folder of them, a prefix of two text files, or [source file, target file]"
_SHARDS = "expected .parquet, .jsonl or .tsv files directly in it (the last two also with .gz or .zst)"
_COMPRESSED = (".gz", ".zst")
_LOCAL = "file://"


@dataclass(frozen=True)
class RemoteFile:
    """A file at an `fsspec` address."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(self.address).name

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.address).suffix


File = Path | RemoteFile


def files_of(spec: str | list[str], source_language: str, target_language: str) -> Sequence[File]:
    """All files that `spec`, as in `data.train`, stands for.

    Raises: DataError, FetchError.
    """
    shards = find_shards(spec, source_language)
    return resolve_files(spec, source_language, target_language) if shards is None else shards


def find_shards(spec: str | list[str], source_language: str) -> tuple[File, ...] | None:
    """The tables in a folder, by name, or at an address; None where `spec` names files of this machine.

    Hidden files, and those that are no tables, do not count; nor does a folder `text/train` beside `text/train.de`.

    Raises: DataError if there is no table, or they have several formats; FetchError if an address does not answer.
    """
    if not isinstance(spec, str):
        return None
    if spec.startswith(_LOCAL):
        path = Path(spec.removeprefix(_LOCAL))
        return _tables(spec, sorted(path.iterdir()) if path.is_dir() else [_existing(str(path))])
    if is_address(spec):
        return _tables(spec, _list_remote(spec))
    if not Path(spec).is_dir() or any(path.is_file() for path in _sides(spec, source_language)):
        return None
    return _tables(spec, sorted(Path(spec).iterdir()))


def resolve_files(spec: str | list[str], source_language: str, target_language: str) -> tuple[Path, ...]:
    """The file (a table) or the two files (source and target lines) given by `spec`.

    If `text/train.de` and `text/train.de.gz` both exist, the plain one is used.

    Raises: DataError if a file is missing, or if the endings of two files show that they are swapped.
    """
    if isinstance(spec, list):
        if len(spec) != 2:
            raise DataError(f"{spec}: {len(spec)} file name(s); expected {_FORMS}")
        endings = tuple(Path(name.removesuffix(".gz")).suffix.removeprefix(".") for name in spec)
        if endings == (target_language, source_language) != endings[::-1]:
            raise DataError(
                f"{spec[0]}: given as the source, which is {source_language}, but its name ends in {target_language}; "
                "swap the two files, or the two languages"
            )
        return _existing(spec[0]), _existing(spec[1])
    if table_kind(Path(spec)) is not None:
        return (_existing(spec),)
    return _existing_side(spec, source_language), _existing_side(spec, target_language)


def table_kind(file: File) -> str | None:
    """`.tsv` or `.jsonl` (either also compressed) or `.parquet`; None if the name is not that of a table."""
    kind = PurePosixPath(_uncompressed_name(file)).suffix
    # Parquet compresses its own columns; inside gzip it could not be read in parts.
    return kind if kind in (".tsv", ".jsonl") or file.suffix == ".parquet" else None


def identity(file: File) -> list[str | int]:
    """What changes when the file does: its place, with size and modification time, or its key in a remote system.

    Raises: FetchError if an address does not answer.
    """
    if isinstance(file, Path):
        status = file.stat()
        return [str(file.resolve()), status.st_size, status.st_mtime_ns]
    with remote_errors(file.address):
        system, path = _system(file.address)
        return [file.address, system.ukey(path)]


def open_raw(file: File) -> IO[bytes]:
    """The bytes of a file, as they are stored."""
    if isinstance(file, Path):
        return file.open("rb")
    system, path = _system(file.address)
    opened: IO[bytes] = system.open(path, "rb")
    return opened


def open_text(file: File) -> io.BufferedIOBase:
    """The bytes of a file (`-`: standard input), decompressed if its name ends in `.gz` or `.zst`."""
    if file == STANDARD_INPUT:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    if file.suffix == ".gz":
        return gzip.open(file if isinstance(file, Path) else open_raw(file), "rb")
    if file.suffix == ".zst":
        return io.BufferedReader(pa.input_stream(open_raw(file), compression="zstd"))
    return file.open("rb") if isinstance(file, Path) else io.BufferedReader(open_raw(file))  # type: ignore[type-var]


@contextmanager
def remote_errors(address: str) -> Iterator[None]:
    """Turn whatever a remote file system raises within the block into a DataError or FetchError of one line."""
    try:
        yield
    except Seq2AttnError:
        raise
    except ImportError as error:
        protocol = address.partition(":")[0]
        missing = f"{protocol}:// needs a package that is not installed"
        raise DataError(f"{address}: {missing} ({_one_line(error)})") from error
    except FileNotFoundError as error:
        raise DataError(f"{address}: no such file or folder") from error
    except ValueError as error:  # an unknown protocol
        raise DataError(f"{address}: {_one_line(error)}; expected an address that fsspec knows") from error
    except Exception as error:  # each of the systems raises its own errors
        raise FetchError(f"{address}: cannot be read ({_one_line(error)})") from error


def _system(address: str) -> tuple[Any, str]:
    import fsspec.core

    system, path = fsspec.core.url_to_fs(address)
    return system, path


def _list_remote(address: str) -> list[File]:
    with remote_errors(address):
        system, path = _system(address)
        if system.isfile(path):
            return [RemoteFile(address)]
        names = [entry["name"] for entry in system.ls(path, detail=True) if entry["type"] == "file"]
        return [RemoteFile(system.unstrip_protocol(name)) for name in sorted(names)]


def _tables(spec: str, files: Sequence[File]) -> tuple[File, ...]:
    """The tables among `files`. Raises DataError if there is none, or they have several formats."""
    visible = [file for file in files if table_kind(file) is not None and not file.name.startswith((".", "_"))]
    tables = tuple(file for file in visible if isinstance(file, RemoteFile) or file.is_file())
    if not tables:
        raise DataError(f"{spec}: has no shard; {_SHARDS}")
    first = tables[0]
    for other in tables:
        if (table_kind(first), first.suffix) != (table_kind(other), other.suffix):
            raise DataError(f"{spec}: mixes formats ({first.name}, {other.name}); keep the shards of one format in it")
    return tables


def _uncompressed_name(file: File) -> str:
    return file.name.removesuffix(file.suffix) if file.suffix in _COMPRESSED else file.name


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise DataError(f"{name}: no such file; relative paths start in the current folder")
    return path


def _sides(prefix: str, language: str) -> tuple[Path, Path]:
    return Path(f"{prefix}.{language}"), Path(f"{prefix}.{language}.gz")


def _existing_side(prefix: str, language: str) -> Path:
    plain, zipped = _sides(prefix, language)
    for path in (plain, zipped):
        if path.is_file():
            return path
    raise DataError(f"{prefix}: found neither {plain} nor {zipped}; expected {_FORMS}")


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]

"""The errors that a user can meet. Each message says what was found, where, and what to do next.

Seq2AttnError          exit code 1
├── ConfigError        2   a key, a value or a file of the configuration
├── DataError          2   a corpus, a text file, a subword model
├── FetchError         1   an index, a hub or a download that does not answer as it should
├── RunError           2   a folder that is not a run, or a run of another kind
│   └── DiskError      1   a place that cannot be written: a full disk, a missing right
├── CheckpointError    1   a checkpoint that is damaged or missing
│   └── MismatchError  2   a whole checkpoint that belongs to another model or version
├── TrainingError      1   a training that cannot go on
└── MissingExtraError  1   an optional package that is not installed
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Seq2AttnError(Exception):
    """Base of all errors that are shown to the user as one line, without a traceback."""

    exit_code = 1


class ConfigError(Seq2AttnError):
    """A configuration that cannot be used: an unknown key, a wrong value, a missing file."""

    exit_code = 2


class DataError(Seq2AttnError):
    """Text that cannot be used: a missing or broken file, an unknown corpus."""

    exit_code = 2


class FetchError(Seq2AttnError):
    """A corpus that could not be fetched: nothing answers, or what came is not what was asked for."""


class RunError(Seq2AttnError):
    """A folder that is not a run, or whose run cannot do what was asked."""

    exit_code = 2


class DiskError(RunError):
    """A file or folder that cannot be written: a full disk, a missing right."""

    exit_code = 1


class CheckpointError(Seq2AttnError):
    """A checkpoint that is missing or damaged, or cannot be written."""


class MismatchError(CheckpointError):
    """A checkpoint that is whole, and belongs to another architecture, vocabulary or version."""

    exit_code = 2


class TrainingError(Seq2AttnError):
    """A training that cannot go on."""


class MissingExtraError(Seq2AttnError):
    """An optional package that is not installed."""


# What torch says of a processor's memory, and what CUDA and its libraries say where torch's own allocator is not asked.
_OUT_OF_MEMORY = (
    *("DefaultCPUAllocator", "Cannot allocate memory", "std::bad_alloc"),
    *("CUDA error: out of memory", "STATUS_ALLOC_FAILED"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, which torch mostly tells by its words alone."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in str(error) for words in _OUT_OF_MEMORY)
    )


@contextmanager
def told_as_run_error(path: Path) -> Iterator[None]:
    """While it is entered, a failure to write into `path` (a full disk, a missing right) becomes a DiskError."""
    try:
        yield
    except BrokenPipeError:
        raise  # a reader that has seen enough
    except OSError as error:
        raise DiskError(
            f"{error.filename or path}: cannot be written ({error.strerror or error}); choose another folder or free "
            "some space"
        ) from error

"""The errors that a user can meet. Each message says what happened, where, what was expected and what to do.

Seq2AttnError          exit code 1
├── ConfigError        2   a wrong key, value or file of the configuration
├── DataError          2   an unusable corpus, text file or subword model
├── FetchError         1   an index, hub or download that fails
├── RunError           2   a folder that is not a run, or a run of another kind
│   └── DiskError      1   a place that cannot be written: disk full, no permission
├── CheckpointError    1   a checkpoint that is damaged or missing
│   └── MismatchError  2   an intact checkpoint of another model or version
├── TrainingError      1   a training run that cannot continue
├── WorkerError        1   a process that was killed while it did a part of the work
├── OtherProcessError  *   an error that another process of the same training reports; its exit code
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
    """Text that cannot be used: a missing or malformed file, an unknown corpus."""

    exit_code = 2


class FetchError(Seq2AttnError):
    """A corpus that could not be fetched: the server does not answer, or sends something else."""


class RunError(Seq2AttnError):
    """A folder that is not a run, or whose run cannot do what was asked."""

    exit_code = 2


class DiskError(RunError):
    """A file or folder that cannot be written: disk full, no permission."""

    exit_code = 1


class CheckpointError(Seq2AttnError):
    """A checkpoint that is missing or damaged, or cannot be written."""


class MismatchError(CheckpointError):
    """An intact checkpoint of another architecture, vocabulary or version."""

    exit_code = 2


class TrainingError(Seq2AttnError):
    """A training run that cannot continue."""


class WorkerError(Seq2AttnError):
    """A process that did a part of the work and was killed."""


class OtherProcessError(Seq2AttnError):
    """An error that another process of the same training raised, and reports."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class MissingExtraError(Seq2AttnError):
    """An optional package that is not installed."""


# Torch's messages about CPU memory, and those of CUDA and its libraries when they bypass torch's allocator.
_OUT_OF_MEMORY = (
    *("DefaultCPUAllocator", "Cannot allocate memory", "std::bad_alloc"),
    *("CUDA error: out of memory", "STATUS_ALLOC_FAILED"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means out of memory, which torch mostly reports in the message alone."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in str(error) for words in _OUT_OF_MEMORY)
    )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failure to write to `path` (disk full, no permission) into a DiskError within the block."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader closed the pipe
    except OSError as error:
        raise DiskError(
            f"{error.filename or path}: cannot be written ({error.strerror or error}); choose another folder or free "
            "some space"
        ) from error

"""Jobs in several processes: each process gets one job after another, and all end when one is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from seq2attn.errors import WorkerError

Job = TypeVar("Job")
Result = TypeVar("Result")

_SECONDS_TO_END = 10.0
_SECONDS_BETWEEN_REPORTS = 60.0


def available_cores() -> int:
    """The number of CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def start_module(module: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process that calls `main` of `module`, with pipes for its input and output; `options` go to Popen."""
    # As a `-c` program the process imports from where this one does, whatever the current folder contains.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    with _ctrl_c_blocked():
        return subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Within the context, new processes start with SIGINT blocked.

    A terminal sends Ctrl-C to every process. This one asks the others to stop, and a second time would end them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_jobs(
    function: Callable[[Job], Result], jobs: Iterable[Job], n_processes: int, threads: int | None = None
) -> Iterator[Result]:
    """The results of `function` for all `jobs`, as they come, computed by new processes.

    Jobs are taken from the iterator when a process is free. `function` must be at the top level of a module, and an
    error of it ends the other processes too. `threads`: of each process, unless the environment says how many.

    Raises: what `function` or the iterator raises; WorkerError where a process was killed.
    """
    crew = _Crew(function, jobs, n_processes, threads)
    try:
        yield from crew.results()
    finally:
        crew.close()


def do_all(function: Callable[[Job], object], jobs: Sequence[Job], n_processes: int, what: str) -> None:
    """Call `function` for all `jobs`: as `run_jobs`, or in this process where one is enough.

    Says on stderr, once a minute, how many are done, as in "`what` 3 of 10".
    """
    n_processes = min(n_processes, len(jobs))
    last_line = time.monotonic()
    done = run_jobs(function, jobs, n_processes) if n_processes > 1 else map(function, jobs)
    for number, _ in enumerate(done, start=1):
        if time.monotonic() - last_line > _SECONDS_BETWEEN_REPORTS:
            last_line = time.monotonic()
            print(f"seq2attn: {what} {number:,} of {len(jobs):,}", file=sys.stderr)


class _Crew:
    """The processes, and a thread for each that hands it its jobs."""

    def __init__(
        self, function: Callable[[Any], Any], jobs: Iterable[Any], n_processes: int, threads: int | None
    ) -> None:
        self._function = function
        self._jobs = iter(jobs)
        self._taking = threading.Lock()
        self._is_closing = False
        self._answers: SimpleQueue[tuple[Any, BaseException | None, bool]] = SimpleQueue()
        given = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self._processes: list[subprocess.Popen[bytes]] = []
        for number in range(n_processes):
            environment = given | os.environ | {"LOCAL_RANK": str(number)}
            self._processes.append(start_module(__name__, env=environment))
        for number, process in enumerate(self._processes, start=1):
            threading.Thread(target=self._serve, args=[number, process], daemon=True).start()

    def results(self) -> Iterator[Any]:
        """What the processes answer."""
        working = len(self._processes)
        while working:
            result, error, ended = self._answers.get()
            if error is not None:
                raise error
            if ended:
                working -= 1
            else:
                yield result

    def close(self) -> None:
        """End the processes: those that work have some seconds to remove what is incomplete."""
        self._is_closing = True
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()

    def _serve(self, number: int, process: subprocess.Popen[bytes]) -> None:
        try:
            while (job := self._next_job()) is not None:
                result, error = self._ask(number, process, job[0])
                self._answers.put((result, error, False))
        except BaseException as error:
            self._answers.put((None, error, True))
        else:
            self._answers.put((None, None, True))

    def _next_job(self) -> tuple[Any] | None:
        with self._taking:
            if self._is_closing:
                return None
            return next(((job,) for job in self._jobs), None)

    def _ask(self, number: int, process: subprocess.Popen[bytes], job: Any) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((self._function, job), process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError):
            code = process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        reason = ", most likely for lack of memory" if code == -signal.SIGKILL else ""
        raise WorkerError(
            f"process {number} of {len(self._processes)} {how}{reason}; finished parts are kept, and the same command "
            "continues after them"
        )


def main() -> None:
    """Answer jobs from standard input on standard output until there are no more."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(EOFError, BrokenPipeError):
        while True:
            function, job = pickle.load(sys.stdin.buffer)
            pickle.dump(_answer(function, job), answers)
            answers.flush()


def _answer(function: Callable[[Any], Any], job: Any) -> tuple[Any, Exception | None]:
    try:
        return function(job), None
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)

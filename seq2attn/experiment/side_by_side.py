"""Trainings side by side, a process each: they start, report, stop and fail together"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from seq2attn.config.schema import Config
from seq2attn.data.workers import start_module
from seq2attn.errors import Seq2AttnError, TrainingError
from seq2attn.experiment.evaluate import Ahead
from seq2attn.experiment.worker import Assignment, Ended, Message, ProgressReport, Report, report_from_line
from seq2attn.training.display import Display, Screen
from seq2attn.training.process import StopRequest

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Training:
    """One run of an experiment."""

    run: Path
    model: str
    """Its name in the result."""
    config: Config
    seeds_before: int = 0
    """How many seeds its model is trained with before this one."""
    ahead: Ahead | None = None
    """What its process translates then, where it has one of its own: at the end some cores have nothing to train."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.model}, seed {self.config.train.seed}" if self.seeds_before else self.model


class Interrupted(Exception):  # noqa: N818  (not an error: the user asked for it)
    """A signal stopped a training; the same command resumes it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass(frozen=True)
class Cores:
    """The cores that trainings share."""

    total: int
    most_threads: int
    """Threads that torch uses for one training alone."""

    def threads(self, taken: int, starting: int) -> int:
        """Threads of the next training, where `starting` trainings share the cores that are not `taken`."""
        return max(1, min((self.total - taken) // starting, self.most_threads))


def train_side_by_side(trainings: Sequence[Training], device_name: str, n_jobs: int, cores: Cores) -> None:
    """Train with up to `n_jobs` processes at once, started in order. If one fails or is stopped, all others stop.

    What stops saves its state first.

    Raises: Interrupted; the error of the first training that failed, with its name.
    """
    with Screen(named=True) as screen, StopRequest() as stop:
        crew = _Crew(device_name, n_jobs, cores, screen, stop, len(trainings))
        try:
            crew.train(trainings)
        except KeyboardInterrupt:
            crew.kill()
            raise
        finally:
            crew.close()
    if crew.error is not None:
        raise crew.error
    if crew.stopped_by is not None:
        raise Interrupted(crew.stopped_by)


class _Worker:
    """A process that trains one model, and what it has reported about its end."""

    def __init__(self, training: Training, device_name: str, threads: int, display: Display) -> None:
        self.training = training
        self.threads = threads
        self.display = display
        self.ended: Ended | None = None
        self.process = start_module(
            "seq2attn.experiment.worker",
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self._send(Assignment(training.config, training.run, device_name, training.ahead))

    def _send(self, assignment: Assignment) -> None:
        assert self.process.stdin is not None
        # A process that was killed at once is noticed when its reports end.
        with suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), assignment.to_line())

    def listen(self, events: _Events) -> None:
        """Pass reports and printed lines on to `events` from now on; None follows the last."""
        threading.Thread(target=self._listen, args=[events], daemon=True).start()

    def _listen(self, events: _Events) -> None:
        printed = threading.Thread(target=self._pass_lines_on, args=[events], daemon=True)
        printed.start()
        assert self.process.stdout is not None
        # A process that is killed may leave half a report.
        with suppress(ValueError):
            for line in self.process.stdout:
                events.put((self, report_from_line(line)))
        printed.join()
        events.put((self, None))

    def _pass_lines_on(self, events: _Events) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            events.put((self, Message(line.decode(errors="replace").rstrip())))

    def stop(self) -> None:
        """Ask the process to save its state and end; one that has no state to save yet ends at once."""
        self.process.terminate()

    def close(self) -> Ended:
        """Wait for the end of the process, and say how it ended."""
        self.display.close()
        with self.process:
            code = self.process.wait()
        if self.ended is not None:
            return self.ended
        if code == -signal.SIGTERM:
            return Ended(stopped_by=signal.SIGTERM)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        reason = ", most likely for lack of memory" if code == -signal.SIGKILL else ""
        return Ended(error=TrainingError(f"its process {how}{reason}; the same command resumes the training"))


_Events = SimpleQueue[tuple[_Worker, Report | None]]


class _Crew:
    """The processes that train now, and how the trainings before them ended."""

    def __init__(
        self, device_name: str, n_jobs: int, cores: Cores, screen: Screen, stop: StopRequest, n_trainings: int
    ) -> None:
        self.device_name = device_name
        self.n_jobs = n_jobs
        self.cores = cores
        self.screen = screen
        self.stop = stop
        self.n_trainings = n_trainings
        self.n_trained = 0
        self.error: Seq2AttnError | None = None
        self.stopped_by: int | None = None
        self._workers: list[_Worker] = []
        self._events: _Events = SimpleQueue()
        screen.count(0, n_trainings)

    @property
    def is_stopping(self) -> bool:
        """Whether no further training may start."""
        return self.error is not None or self.stopped_by is not None

    def train(self, trainings: Sequence[Training]) -> None:
        """Train all, or until one fails or is stopped."""
        waiting = deque(trainings)
        while self._workers or (waiting and not self.is_stopping):
            while waiting and not self.is_stopping and len(self._workers) < self.n_jobs:
                self._start(waiting.popleft(), min(self.n_jobs - len(self._workers), len(waiting) + 1))
            self._handle_event()
            if self.stop.signal_number is not None and not self.is_stopping:
                self.stopped_by = self.stop.signal_number
                self._stop_all()

    def kill(self) -> None:
        """End all processes at once, without saving."""
        for worker in self._workers:
            worker.process.kill()

    def close(self) -> None:
        """Stop and wait for the processes that are left, if something failed in this one."""
        self._stop_all()
        for worker in self._workers:
            worker.close()

    def _start(self, training: Training, starting: int) -> None:
        taken = sum(worker.threads for worker in self._workers)
        threads = training.config.train.threads or self.cores.threads(taken, starting)
        try:
            worker = _Worker(training, self.device_name, threads, Display(self.screen, training.name))
        except OSError as error:
            reason = f"no process can be started ({error.strerror or error}); train one after another with --jobs 1"
            self._record(training, Ended(error=TrainingError(reason)))
            return
        self._workers.append(worker)
        worker.listen(self._events)

    def _handle_event(self) -> None:
        """Wait a moment for a report, and show it."""
        try:
            worker, report = self._events.get(timeout=_POLL_SECONDS)
        except Empty:
            return
        match report:
            case Message(text):
                worker.display.message(text)
            case ProgressReport(share, text, seconds_left):
                worker.display.progress(share, text, seconds_left)
            case Ended():
                worker.ended = report
            case None:
                self._workers.remove(worker)
                self._record(worker.training, worker.close())

    def _record(self, training: Training, ended: Ended) -> None:
        """Count a training that ended; if it failed or was stopped, ask the others to stop."""
        if ended.error is None and ended.stopped_by is None:
            self.n_trained += 1
            self.screen.count(self.n_trained, self.n_trainings)
            return
        if not self.is_stopping:
            self._stop_all()
        if ended.error is None:
            self.stopped_by = self.stopped_by or ended.stopped_by
            return
        error = type(ended.error)(f"{training.name}: {ended.error}")
        if self.error is None:
            self.error = error
        else:
            self.screen.print(str(error))

    def _stop_all(self) -> None:
        for worker in self._workers:
            worker.stop()

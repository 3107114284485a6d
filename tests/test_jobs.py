"""Trainings side by side: how they divide the cores, and that they train, stop and fail as one after another."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seq2attn.data.workers import available_cores
from seq2attn.errors import DiskError, TrainingError
from seq2attn.evaluation.lengths import DEFAULT_BINS
from seq2attn.experiment.evaluate import Ahead, Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.experiment.side_by_side import Cores, Interrupted, Training
from seq2attn.experiment.trainings import choose_jobs, train_all, turn, with_seeds
from seq2attn.experiment.worker import (
    Assignment,
    Ended,
    Message,
    ProgressReport,
    Report,
    Reports,
    report_from_line,
    report_to_line,
)
from seq2attn.runs.checkpoint import load_weights, read_manifest
from seq2attn.runs.folder import RunFolder
from seq2attn.runs.lock import is_locked
from tests.command_line import PATIENCE, call
from tests.training_samples import FAMILIES, make_config, read_metrics, write_copy_task

ROOT = Path(__file__).parent.parent
EVERY = {"checkpoint_every_steps": 50, "validate_every_steps": 500}


def two_models(folder: Path, max_steps: int = 6) -> list[Training]:
    """Trainings of two models; the files of their text are written once."""
    text = folder.parent / "text"
    if not text.exists():
        write_copy_task(text, pairs=120)
    return [
        Training(folder / family, family, make_config(text, FAMILIES[family], max_steps=max_steps, **EVERY))
        for family in ("additive", "transformer")
    ]


def train_endlessly(folder: str) -> None:
    """Train two models side by side until something stops them; exits as the command line does."""
    try:
        train_all(two_models(Path(folder), 1_000_000), "cpu", 2)
    except Interrupted as stop:
        sys.exit(128 + stop.signal_number)


@contextmanager
def endless_trainings(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`train_endlessly` in a new process with a process group of its own, as in a shell; killed if the test fails."""
    program = f"from tests.test_jobs import train_endlessly; train_endlessly({str(folder)!r})"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_checkpoints(folder: Path) -> None:
    # Any of them: the first ones of a model are deleted while the other one is slow to start.
    wait_until(lambda: all(RunFolder(folder / name).steps() for name in ("additive", "transformer")))


def process_of(run: Path) -> int:
    """The process that trains in a run."""
    return int((run / ".lock").read_text())


def assert_saved_and_stopped(run: Path) -> None:
    assert not is_locked(run)
    folder = RunFolder(run)
    read_manifest(folder.step(folder.steps()[-1]))


@pytest.mark.parametrize(
    ("total", "most", "taken", "starting", "threads"),
    [
        (2, 2, 0, 2, 1),  # two start on two cores
        (2, 2, 1, 1, 1),  # one starts while another runs
        (2, 2, 0, 1, 2),  # the last one has both
        (8, 8, 0, 3, 2),
        (8, 8, 2, 2, 3),
        (8, 8, 5, 1, 3),  # what three leave is used
        (2, 2, 2, 1, 1),  # more jobs than cores
        (2, 2, 4, 2, 1),  # train.threads took more than there are
        (8, 4, 0, 1, 4),  # no more than torch uses for one alone
        (64, 32, 0, 3, 21),
    ],
)
def test_trainings_divide_the_cores(total: int, most: int, taken: int, starting: int, threads: int) -> None:
    assert Cores(total, most).threads(taken, starting) == threads


@pytest.mark.parametrize(
    ("device", "cores", "threads", "jobs"),
    [("cpu", 8, None, 8), ("cpu", 1, None, 1), ("cpu", 8, 3, 2), ("cpu", 2, 4, 1), ("cuda", 8, None, 1)],
)
def test_one_training_a_core_but_one_on_a_gpu(
    device: str, cores: int, threads: int | None, jobs: int, tmp_path: Path
) -> None:
    config = make_config(tmp_path, FAMILIES["fixed"], max_steps=1, threads=threads)
    trainings = [Training(tmp_path, "model", config)]
    assert choose_jobs(trainings, torch.device(device), cores) == jobs


def test_of_each_seed_the_largest_model_starts_first(tmp_path: Path) -> None:
    small = make_config(tmp_path, FAMILIES["fixed"], max_steps=1)
    large = small.model_copy(update={"model": small.model.model_copy(update={"d_model": 2 * small.model.d_model})})
    both = [Training(tmp_path / "small", "small", small), Training(tmp_path / "large", "large", large)]
    names = [training.name for training in sorted(with_seeds(both, 2), key=turn)]
    assert names == ["large", "small", "large, seed 2", "small, seed 2"]


def test_the_cores_are_those_of_the_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", ""])
def test_other_numbers_of_jobs_are_refused(jobs: str, tmp_path: Path) -> None:
    done = call("reproduce", "--preset", "smoke", "--out", tmp_path, "--jobs", jobs)
    assert done.code == 2
    assert f"--jobs {jobs}: expected auto or a positive number" in done.complaint


def test_runs_are_those_of_one_after_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone, together = two_models(tmp_path / "alone"), two_models(tmp_path / "together")
    *_, again, _ = with_seeds(together, 2)
    train_all(alone, "cpu", 1)
    capsys.readouterr()
    train_all([*together, again], "cpu", 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "trained" in line] == [f"{count} of 3 trained" for count in (1, 2, 3)]
    named = [line for line in lines if "of 3 trained" not in line]
    assert {line.partition(": ")[0] for line in named} == {"additive", "transformer", "additive, seed 2"}
    for one, other in zip(alone, together, strict=True):
        first, second = RunFolder(one.run), RunFolder(other.run)
        assert second.config_file.read_text() == first.config_file.read_text()
        assert read_metrics(second.path) == read_metrics(first.path)
        expected, found = load_weights(first.final), load_weights(second.final)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    # The next seed starts when every model is trained with this one.
    started = RunFolder(again.run).config_file.stat().st_mtime_ns
    assert all(RunFolder(training.run).final.stat().st_mtime_ns <= started for training in together)
    # Other jobs reuse the runs.
    train_all([*together, again], "cpu", 1)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_killed_training_is_named_and_the_others_are_saved(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    trainings = two_models(folder, 1_000_000)

    def kill_one() -> None:
        wait_for_checkpoints(folder)
        os.kill(process_of(folder / "additive"), signal.SIGKILL)

    threading.Thread(target=kill_one).start()
    with pytest.raises(TrainingError, match=r"^additive: its process was killed by SIGKILL, most likely for lack of"):
        train_all(trainings, "cpu", 2)
    assert_saved_and_stopped(folder / "additive")
    assert_saved_and_stopped(folder / "transformer")


def test_an_error_keeps_its_kind_and_gets_a_name(tmp_path: Path) -> None:
    trainings = two_models(tmp_path / "runs", 1_000_000)
    (trainings[0].run / "log.txt").mkdir(parents=True)
    with pytest.raises(DiskError, match=r"^additive: \S+log.txt: cannot be written"):
        train_all(trainings, "cpu", 2)
    assert not is_locked(trainings[1].run)


@pytest.mark.slow
def test_ctrl_c_saves_all_and_the_same_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs"
    with endless_trainings(folder) as process:
        wait_for_checkpoints(folder)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    for name in ("additive", "transformer"):
        assert_saved_and_stopped(folder / name)
    train_all(two_models(folder, 50), "cpu", 1)
    assert len(re.findall("resumes after step", capsys.readouterr().err)) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_trainings_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    with endless_trainings(folder) as process:
        wait_for_checkpoints(folder)
        process.kill()
    wait_until(lambda: not any(is_locked(folder / name) for name in ("additive", "transformer")))
    for name in ("additive", "transformer"):
        assert_saved_and_stopped(folder / name)


@pytest.mark.parametrize(
    "report",
    [
        Message("a line\nand more"),
        ProgressReport(0.25, "step 5", 12.5),
        Ended(),
        Ended(stopped_by=15),
        Ended(error=DiskError("runs/a: disk full")),
    ],
)
def test_reports_arrive_as_they_were_sent(report: Report) -> None:
    line = report_to_line(report)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    found = report_from_line(line)
    assert type(found) is type(report)
    assert repr(found) == repr(report)
    with pytest.raises(ValueError, match=r"\w"):
        report_from_line(line[: len(line) // 2])


def test_how_far_a_translation_is_arrives_once_a_sentence_is_done() -> None:
    stream = io.BytesIO()
    reports = Reports(stream)
    reports.translated("confirm", 0, 8)
    assert stream.getvalue() == b""
    reports.translated("confirm", 8, 8)
    assert report_from_line(stream.getvalue()) == ProgressReport(1.0, "translates confirm", 0.0)


def test_an_assignment_arrives_as_it_was_sent(tmp_path: Path) -> None:
    config = make_config(tmp_path, FAMILIES["transformer"], max_steps=3)
    for ahead in (None, Ahead("confirm", searches=True)):
        sent = Assignment(config, tmp_path / "a run", "cpu", ahead)
        assert Assignment.from_line(sent.to_line()) == sent


def test_evaluation_finds_what_trainings_translated(tmp_path: Path) -> None:
    trainings = two_models(tmp_path / "runs")
    paths = [training.run for training in trainings]
    settings = EvaluationSettings("validation", DEFAULT_BINS, "source", None, "seq2attn reproduce")
    made: list[str] = []

    def evaluate() -> Evaluation:
        return evaluate_runs(paths, settings, torch.device("cpu"), lambda name, *_: made.append(name))

    ahead = Ahead("validation", searches=False)
    train_all([replace(training, ahead=ahead) for training in trainings], "cpu", 2)
    found = evaluate()
    assert made == []
    for path in paths:
        shutil.rmtree(path / "translations")
    assert evaluate().translations == found.translations
    assert len(set(made)) == 2

"""The framework of studies: verdicts, files, and the command."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import load_config
from seq2attn.config.schema import Config
from seq2attn.errors import ConfigError, RunError
from seq2attn.experiment.side_by_side import Interrupted
from seq2attn.plots.study import study_figure
from seq2attn.report.study import claim_sentence, study_blocks, write_study
from seq2attn.results.study import (
    VERDICTS,
    Estimate,
    Point,
    StudyClaim,
    StudyPanel,
    StudyResult,
    StudySeries,
    StudyTable,
    judge_in_every_run,
    over_seeds,
)
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.distance.study import DistanceStudy
from seq2attn.studies.effects.study import EffectsStudy
from seq2attn.studies.heads.study import HeadsStudy
from seq2attn.studies.scaling.study import ScalingStudy
from seq2attn.studies.study import MachineStudy, Preset, Progress, Study, StudyRequest, run_study
from seq2attn.style import house_style
from tests.command_line import RNN_ATTENTION, call, tiny

BELOW = StudyClaim("low", "It is low", "the interval is below 0.5", 0.5, above=False)
ABOVE = StudyClaim("high", "It is high", "the interval is above 0.5", 0.5, above=True)
UNIT = st.floats(0.0, 1.0)
ESTIMATES = st.lists(st.tuples(UNIT, UNIT, UNIT).map(sorted), min_size=1, max_size=4)


def estimate(low: float | None, value: float, high: float | None, run: str = "a run") -> Estimate:
    return Estimate(run, value, low, high)


@pytest.mark.parametrize(
    ("intervals", "below", "above"),
    [
        ([(0.1, 0.2, 0.3)], "supported", "not_supported"),
        ([(0.6, 0.7, 0.8)], "not_supported", "supported"),
        ([(0.4, 0.5, 0.6)], "inconclusive", "inconclusive"),
        ([(0.1, 0.2, 0.3), (0.4, 0.45, 0.6)], "inconclusive", "not_supported"),
        ([(0.1, 0.2, 0.3), (0.6, 0.7, 0.8)], "not_supported", "not_supported"),
        ([(None, 0.2, None)], "inconclusive", "inconclusive"),
    ],
)
def test_every_run_must_agree(intervals: list[tuple[float, float, float]], below: str, above: str) -> None:
    estimates = [estimate(*interval) for interval in intervals]
    assert judge_in_every_run(BELOW, estimates).verdict == below
    assert judge_in_every_run(ABOVE, estimates).verdict == above


@given(intervals=ESTIMATES)
def test_a_claim_and_its_opposite_are_never_both_supported(intervals: list[list[float]]) -> None:
    estimates = [estimate(*interval) for interval in intervals]
    verdicts = [judge_in_every_run(claim, estimates).verdict for claim in (BELOW, ABOVE)]
    assert set(verdicts) <= set(VERDICTS)
    assert verdicts.count("supported") <= 1
    if "supported" in verdicts:
        assert "not_supported" in verdicts


def test_the_sentence_shows_the_least_favourable_run() -> None:
    claim = judge_in_every_run(BELOW, [estimate(0.1, 0.2, 0.3, "one"), estimate(0.2, 0.3, 0.4, "other")])
    assert claim_sentence(claim) == (
        "Supported: 0.300 (95 % interval 0.200 to 0.400) in other, the least favourable of 2 runs; the claim needs the "
        "interval below 0.5."
    )


def test_the_sentence_names_what_was_measured() -> None:
    kernels = StudyClaim("low", "It is low", "the interval is below 0.5", 0.5, above=False, measured_in="kernel")
    claim = judge_in_every_run(kernels, [estimate(0.1, 0.2, 0.3, "one"), estimate(0.2, 0.3, 0.4, "other")])
    assert "in other, the least favourable of 2 kernels;" in claim_sentence(claim)
    assert "in other, the only kernel;" in claim_sentence(judge_in_every_run(kernels, claim.estimates[1:]))


def a_result(estimates: int = 1) -> StudyResult:
    points = tuple(Point(x, 0.1 * x, 0.09 * x, 0.12 * x) for x in range(1, 4))
    curves = StudyPanel("Curves", "x", "y", tuple(StudySeries(f"s{n}", points) for n in range(8)), x_scale="log")
    rows = StudyPanel("Rows", "", "y", (StudySeries("s", (Point(0, 0.5), Point(1, math.nan))),), ("a$", "b"))
    return StudyResult(
        "sample",
        "Is it so?",
        "One run.",
        tuple(judge_in_every_run(BELOW, [estimate(0.1, 0.2, 0.3)]) for _ in range(estimates)),
        (StudyTable("t", "Numbers", ("what", "n", "rate"), (("a|b", 1234, 0.25), ("c", None, math.nan))),),
        (curves, rows),
        ("A note.",),
        ("runs/a",),
        "seq2attn study sample",
        "a machine",
    )


def test_all_files_are_written_and_say_the_same(tmp_path: Path) -> None:
    result = a_result()
    paths = write_study(result, tmp_path / "out")
    assert {path.name for path in paths.values()} == {"study.json", "table.md", "study.md", "figure.png", "figure.svg"}
    read = json.loads(paths["study"].read_text(encoding="utf-8"))
    assert read["claims"][0]["verdict"] == "supported"
    assert read["claims"][0]["worst"] == {"run": "a run", "value": 0.2, "low": 0.1, "high": 0.3, "p_value": None}
    assert read["tables"][0]["rows"] == [["a|b", 1234, 0.25], ["c", None, None]]
    assert read["panels"][1]["series"][0]["points"][1]["y"] is None
    page = paths["report"].read_text(encoding="utf-8")
    for text in (BELOW.text, BELOW.test, "Supported: 0.200", "figure.png", "A note.", "seq2attn study sample", "1,234"):
        assert text in page
    assert "| a\\|b | 1,234 | 0.250 |" in paths["table"].read_text(encoding="utf-8")
    assert "Is it so?" in paths["vector figure"].read_text(encoding="utf-8")
    first = paths["vector figure"].read_bytes()
    assert write_study(result, tmp_path / "again")["vector figure"].read_bytes() == first


def test_the_page_shows_every_run_and_leaves_long_tables_to_their_file(tmp_path: Path) -> None:
    runs = [estimate(0.1, 0.2, 0.3, "first"), estimate(0.2, 0.3, 0.35, "second")]
    long = StudyTable(
        "l", "Every head", ("head", "rate"), tuple((f"head {n}", 0.125) for n in range(1200)), in_full=True
    )
    result = replace(a_result(), claims=(judge_in_every_run(BELOW, runs),), tables=(long,))
    paths = write_study(result, tmp_path)
    page = paths["report"].read_text(encoding="utf-8")
    assert "| first | 0.200 | 0.100 | 0.300 |\n| second | 0.300 | 0.200 | 0.350 |" in page
    assert "Every head" in page
    assert "1,200 rows, in table.md." in page
    assert "head 7" not in page
    assert "| head 7 | 0.125 |" in paths["table"].read_text(encoding="utf-8")


def test_curves_that_differ_in_their_seed_become_their_mean() -> None:
    def curve(name: str, *values: float) -> StudySeries:
        return StudySeries(name, tuple(Point(x, y, y - 1, y + 1) for x, y in enumerate(values)))

    alone = StudyPanel("Curves", "x", "y", (curve("RNN", 1, 2), curve("Transformer, seed 1", 3)))
    assert over_seeds(alone) == alone
    several = [curve("RNN, seed 1, read", 1, 2), curve("RNN, seed 12, read", 3, 4, 5), curve("RNN, seed 1, written", 7)]
    panel = over_seeds(replace(alone, series=tuple(several)))
    assert panel.title == "Curves (mean over seeds)"
    assert panel.series == (
        StudySeries("RNN, read", (Point(0, 2), Point(1, 3), Point(2, 5))),
        several[2],
    )


@pytest.mark.parametrize(("number", "places"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3))])
def test_more_than_three_panels_take_two_rows(number: int, places: tuple[int, int]) -> None:
    with house_style():
        figure = study_figure(replace(a_result(), panels=a_result().panels[:1] * number))
    grids = [axes.get_subplotspec().get_gridspec() for axes in figure.axes]
    assert {(grid.nrows, grid.ncols) for grid in grids} == {places}
    assert sum(axes.axison for axes in figure.axes) == number


@pytest.mark.parametrize("last", [8.0, 1e5])
def test_logarithmic_axes_have_digits(last: float, tmp_path: Path) -> None:
    points = tuple(Point(2.0**power, last ** (power / 3)) for power in range(4))
    panel = StudyPanel("Curve", "x", "y", (StudySeries("s", points),), x_scale="log", y_scale="log")
    paths = write_study(replace(a_result(), panels=(panel,)), tmp_path)
    texts = re.findall(r">([^<>]+)</text>", paths["vector figure"].read_text(encoding="utf-8"))
    assert {"1", "2", "4", "8"} <= set(texts)
    assert not [text for text in texts if "mathdefault" in text]


def test_a_study_without_picture_and_claims_has_no_empty_section() -> None:
    titles = [block.text for block in study_blocks(a_result(estimates=0)) if type(block).__name__ == "Heading"]
    assert titles == ["Is it so?", "Numbers", "How to read it", "How to reproduce it"]


class Sample(Study):
    """A study that counts its runs."""

    name = "sample"
    question = "Is it so?"
    claims = (BELOW,)

    def __init__(self, data_folder: Path | None = None) -> None:
        self.data_folder = data_folder

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        assert self.data_folder is not None
        return {"one": load_config(RNN_ATTENTION, tiny(self.data_folder)[1::2])}

    def why_not(self, run: TrainedRun) -> str | None:
        return "it is tiny" if self.data_folder is None else None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        progress("sample", 1, 1)
        return StudyResult(self.name, self.question, f"{len(runs)} at {preset}", (), (), ())


def quiet(name: str, finished: int, total: int) -> None:
    """Show nothing."""


def test_a_run_that_cannot_answer_says_why(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot answer the study sample: it is tiny") as error:
        run_study(Sample(), StudyRequest(tmp_path / "out", "command", runs=[tiny_run]), quiet)
    assert error.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_runs_and_a_preset_exclude_each_other(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either runs, or --preset"):
        run_study(Sample(), StudyRequest(tmp_path, "command", runs=[tiny_run], preset="smoke"), quiet)


def test_models_are_trained_once_and_more_seeds_are_added(data_folder: Path, tmp_path: Path) -> None:
    study = Sample(data_folder)
    first = run_study(study, StudyRequest(tmp_path, "command", preset="smoke"), quiet)
    assert first.result.setting.startswith("1 at smoke The models of smoke are hardly trained")
    weights = tmp_path / "runs" / "one" / "checkpoints" / "final" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    second = run_study(study, StudyRequest(tmp_path, "command", preset="smoke", n_seeds=2), quiet)
    assert second.result.setting.startswith("2 at smoke")
    assert [Path(run).name for run in second.result.runs] == ["one", "one-seed2"]
    assert weights.stat().st_mtime_ns == before


def test_models_are_trained_with_as_many_jobs_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def stop_here(trainings: object, device_name: str, jobs: int | None) -> None:
        asked.append(jobs)
        raise Interrupted(2)

    monkeypatch.setattr("seq2attn.studies.study.train_all", stop_here)
    for jobs in ("3", "auto"):
        assert call("study", "heads", "--jobs", jobs, "--out", tmp_path).code == 130
    assert asked == [3, None]
    assert "--jobs 0: expected" in call("study", "heads", "--jobs", "0", "--out", tmp_path).stderr


class Machine(MachineStudy):
    """A study that names its device."""

    name = "machine"
    question = "How fast is it?"
    claims = (BELOW,)

    def measure(self, preset: Preset, device: torch.device, progress: Progress) -> StudyResult:
        return StudyResult(self.name, self.question, f"{device} at {preset}.", (), (), ())


def test_a_machine_is_measured_without_runs(tmp_path: Path) -> None:
    done = run_study(Machine(), StudyRequest(tmp_path, "command", "cpu", preset="smoke"), quiet)
    assert done.result.setting.startswith("cpu at smoke. The sizes of smoke are small")
    assert done.result.runs == ()
    assert done.result.machine
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in done.paths.values()}
    assert run_study(Machine(), StudyRequest(tmp_path, "command", "cpu"), quiet).result.setting == "cpu at quick."


def test_a_study_of_the_machine_takes_no_runs_and_no_seeds(tiny_run: Path, tmp_path: Path) -> None:
    for request in (StudyRequest(tmp_path, "", runs=[tiny_run]), StudyRequest(tmp_path, "", n_seeds=2)):
        with pytest.raises(ConfigError, match="takes neither runs nor seeds"):
            run_study(Machine(), request, quiet)


def test_help_lists_the_studies_and_a_wrong_name_is_refused() -> None:
    assert "Is attention alignment?" in call("study", "--help").stdout
    done = call("study", "alignmnet")
    assert done.code == 2
    assert re.search(r"Did you mean .?alignment", done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("study", [DistanceStudy, EffectsStudy, HeadsStudy, ScalingStudy])
def test_the_smoke_preset_judges_every_claim(
    study: type[Study], data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    done = call("study", study.name, "--preset", "smoke", "--json", "--out", tmp_path)
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert [claim["claim"]["name"] for claim in result["claims"]] == [claim.name for claim in study.claims]

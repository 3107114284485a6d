"""The result of a study: claims with their verdicts, tables, and the series of a figure"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import Any, Literal, get_args

Verdict = Literal["supported", "not_supported", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Value = str | int | float | None
Scale = Literal["linear", "log"]

FORMAT = 1


@dataclass(frozen=True)
class StudyClaim:
    """A claim as it was written before any run."""

    name: str
    text: str
    test: str
    """What is measured, how its interval is drawn, and when the claim counts as supported."""
    margin: float
    """What the interval is compared with."""
    above: bool
    """Whether the claim is that the value is above the margin, not below it."""
    measured_in: str = "run"
    """What each estimate is of, in one word: a run or, where a machine is measured, a kernel."""


@dataclass(frozen=True)
class Estimate:
    """A measured value with its interval, of one run."""

    run: str
    value: float
    low: float | None
    high: float | None
    p_value: float | None = None


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, what was measured of it in each run, and the verdict."""

    claim: StudyClaim
    estimates: tuple[Estimate, ...]
    """At least one."""
    verdict: Verdict

    @property
    def worst(self) -> Estimate:
        """The estimate that speaks against the claim the most."""
        return (min if self.claim.above else max)(self.estimates, key=lambda estimate: estimate.value)


def judge_in_every_run(claim: StudyClaim, estimates: Sequence[Estimate]) -> JudgedClaim:
    """The claim with its verdict, which every run must agree on.

    Supported: the whole interval of every run is on the claimed side of the margin. Not supported: that of some run is
    wholly on the other side. Else, and where an interval is missing, inconclusive.
    """
    sides = [_side(claim, estimate) for estimate in estimates]
    verdict: Verdict = "inconclusive"
    if all(side == 1 for side in sides):
        verdict = "supported"
    elif -1 in sides:
        verdict = "not_supported"
    return JudgedClaim(claim, tuple(estimates), verdict)


def _side(claim: StudyClaim, estimate: Estimate) -> int:
    """1: the whole interval is on the claimed side of the margin; -1: on the other side; 0: neither is known."""
    if estimate.low is None or estimate.high is None:
        return 0
    is_above, is_below = estimate.low > claim.margin, estimate.high < claim.margin
    return (is_above - is_below) * (1 if claim.above else -1)


@dataclass(frozen=True)
class StudyTable:
    """Rows of text and numbers under a header."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    in_full: bool = False
    """Whether it is too long for the terminal, and shown in files only."""


@dataclass(frozen=True)
class Point:
    """A point of a curve, or of a row of estimates."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    """The interval of y."""


@dataclass(frozen=True)
class StudySeries:
    """One line of a panel, or one colour of its estimates."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class StudyPanel:
    """One pair of axes: curves or, with `categories`, estimates one below the other."""

    title: str
    x_label: str
    y_label: str
    series: tuple[StudySeries, ...]
    categories: tuple[str, ...] = ()
    """Names of x = 0, 1, …; the values are then drawn along the horizontal axis."""
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"


def over_seeds(panel: StudyPanel) -> StudyPanel:
    """`panel` with one curve, the mean, for the curves of a model whose runs differ in their seed alone.

    At each x it is the mean of the curves that have a point there, without an interval. Other curves stay.
    """
    together: dict[str, list[StudySeries]] = {}
    for series in panel.series:
        together.setdefault(_SEED.sub("", series.name), []).append(series)
    if len(together) == len(panel.series):
        return panel
    means = tuple(_mean_curve(name, curves) for name, curves in together.items())
    return replace(panel, title=f"{panel.title} (mean over seeds)", series=means)


_SEED = re.compile(r", seed \d+\b")
"""What `load_runs` adds to the names of runs that differ in nothing else."""


def _mean_curve(name: str, curves: Sequence[StudySeries]) -> StudySeries:
    if len(curves) == 1:
        return curves[0]
    values: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve.points:
            values.setdefault(point.x, []).append(point.y)
    return StudySeries(name, tuple(Point(x, mean(found)) for x, found in sorted(values.items())))


@dataclass(frozen=True)
class StudyResult:
    """Everything that a study found."""

    study: str
    question: str
    setting: str
    """A sentence: which runs on which text."""
    claims: tuple[JudgedClaim, ...]
    tables: tuple[StudyTable, ...]
    panels: tuple[StudyPanel, ...]
    notes: tuple[str, ...] = ()
    """How to read it, and what limits it."""
    runs: tuple[str, ...] = ()
    command: str = ""
    machine: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The content of `study.json`; a value that is no finite number is null."""
        claims = [asdict(claim) | {"worst": asdict(claim.worst)} for claim in self.claims]
        return {"format": FORMAT} | _finite(asdict(self) | {"claims": claims})

    def to_json(self) -> str:
        """The text of `study.json`."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

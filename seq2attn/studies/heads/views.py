"""Tables and figure of the study `heads`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.resampling import N_RESAMPLES, SEED, percentile_interval, weigh_outputs
from seq2attn.pruning.heads import KIND_NAMES, Head
from seq2attn.pruning.importance import Importance, normalised
from seq2attn.results.study import Point, StudyPanel, StudySeries, StudyTable, Value
from seq2attn.studies.heads.curves import Curves
from seq2attn.studies.heads.looks import RELATIONS, Looks

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredHeads:
    """Everything that was measured of a run's heads."""

    run: str
    heads: tuple[Head, ...]
    gradient: Importance
    ablation: Importance
    gates: Values
    """(trainings, heads) the probability that each learned gate is open."""
    curves: Curves
    looks: Looks

    def estimates(self) -> list[tuple[str, Values, Values]]:
        """For each measure of importance its name, (heads,) values and (n_resamples, heads) resampled ones."""
        weights = weigh_outputs(len(self.gates), N_RESAMPLES, np.random.default_rng(SEED))
        gradient, ablation = self.gradient.resampled(N_RESAMPLES), self.ablation.resampled(N_RESAMPLES)
        return [
            (
                "gradient",
                normalised(self.gradient.per_token(), self.heads),
                normalised(gradient, self.heads),
            ),
            ("loss without", self.ablation.per_token(), ablation),
            ("gate open", self.gates.mean(axis=0), np.clip(weights.T @ self.gates, 0.0, 1.0)),
        ]


def importance_table(measured: Sequence[MeasuredHeads]) -> StudyTable:
    """A row for each head of each run."""
    header: list[str] = ["run", "attention", "layer", "head"]
    for name in ("gradient", "loss without", "gate open"):
        header += [name, "low", "high"]
    rows: list[tuple[Value, ...]] = []
    for heads in measured:
        estimates = [
            (values, [percentile_interval(resampled[:, index]) for index in range(len(heads.heads))])
            for _, values, resampled in heads.estimates()
        ]
        for index, head in enumerate(heads.heads):
            numbers = [number for values, ends in estimates for number in (float(values[index]), *ends[index])]
            rows.append((heads.run, KIND_NAMES[head.kind], head.layer, head.number, *numbers))
    return StudyTable(
        "importance", "Importance of each head, on validation sentences", tuple(header), tuple(rows), in_full=True
    )


def curves_table(measured: Sequence[MeasuredHeads]) -> StudyTable:
    """A row for each number of removed heads; the buckets are those of the first run."""
    labels = tuple(f"BLEU {label}" for label, _ in measured[0].curves.by_length)
    header = ("run", "attention", "removed", "of", "the last one", "BLEU", "low", "high", *labels)
    rows: list[tuple[Value, ...]] = []
    for heads in measured:
        for place, point in enumerate(heads.curves.points):
            by_length = (float(bleu[place]) for _, bleu in heads.curves.by_length)
            last = "–" if point.last is None else str(point.last)
            scores = (float(heads.curves.bleu[place]), *heads.curves.interval(place), *by_length)
            rows.append((heads.run, point.curve, point.n_removed, point.n_heads, last, *scores))
    return StudyTable(
        "curves", "BLEU as heads go, the least important first, on test sentences", header, tuple(rows), in_full=True
    )


def half_table(measured: Sequence[MeasuredHeads]) -> StudyTable:
    """BLEU with all heads, and without half of them, of each kind and of all."""
    curves = tuple(dict.fromkeys(point.curve for point in measured[0].curves.points))
    rows: list[tuple[Value, ...]] = []
    for heads in measured:
        halves = (float(heads.curves.bleu[heads.curves.at_half(curve)]) for curve in curves)
        rows.append((heads.run, float(heads.curves.bleu[0]), *halves))
    header = ("run", "all heads", *(f"half of {curve}" for curve in curves))
    return StudyTable("half", "BLEU without half of the heads, on test sentences", header, tuple(rows))


def looks_table(measured: Sequence[MeasuredHeads]) -> StudyTable:
    """A row for each head, and one for equal weights in each attention."""
    rows: list[tuple[Value, ...]] = []
    for heads in measured:
        shares, uniform = heads.looks.shares(), heads.looks.uniform_shares()
        for index, head in enumerate(heads.heads):
            rows.append((heads.run, str(head), *_cells(shares[index])))
        for kind, name in KIND_NAMES.items():
            first = next(index for index, head in enumerate(heads.heads) if head.kind == kind)
            rows.append((heads.run, f"{name}, equal weights", *_cells(uniform[first])))
    title = "What each head looks at: share of its weight, on test sentences"
    return StudyTable("looks", title, ("run", "head", *RELATIONS), tuple(rows), in_full=True)


def _cells(shares: Values) -> list[Value]:
    return [None if np.isnan(share) else float(share) for share in shares]


def curves_panel(measured: Sequence[MeasuredHeads]) -> StudyPanel:
    """BLEU over the share of heads that are gone, a curve for each kind of attention of the first run."""
    curves = measured[0].curves
    series: dict[str, list[Point]] = {}
    for place, point in enumerate(curves.points):
        low, high = curves.interval(place)
        removed = 100 * point.n_removed / point.n_heads
        series.setdefault(point.curve, []).append(Point(removed, float(curves.bleu[place]), low, high))
    return StudyPanel(
        f"Heads go one by one ({measured[0].run})",
        "removed heads, % of the attention's",
        "BLEU",
        tuple(StudySeries(name, tuple(points)) for name, points in series.items()),
    )


def lengths_panel(measured: Sequence[MeasuredHeads]) -> StudyPanel:
    """BLEU by source length as cross-attention's heads go, of the first run."""
    curves, name = measured[0].curves, KIND_NAMES["cross"]
    places = [place for place, point in enumerate(curves.points) if point.curve == name]
    return StudyPanel(
        "Heads of cross-attention go, by source length",
        "removed heads",
        "BLEU",
        tuple(
            StudySeries(label, tuple(Point(curves.points[place].n_removed, float(bleu[place])) for place in places))
            for label, bleu in curves.by_length
        ),
    )


def importance_panel(measured: Sequence[MeasuredHeads]) -> StudyPanel:
    """The rise of the loss without each head of the first run."""
    heads = measured[0]
    _, values, resampled = heads.estimates()[1]
    points = []
    for index in range(len(heads.heads)):
        low, high = percentile_interval(resampled[:, index])
        points.append(Point(index, float(values[index]), low, high))
    names = tuple(map(str, heads.heads))
    series = (StudySeries("loss without the head", tuple(points)),)
    return StudyPanel(f"Each head alone ({heads.run})", "", "rise of the loss, nats per token", series, names)

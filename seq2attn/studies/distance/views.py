"""Tables and figure of the study `distance`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seq2attn.results.study import Point, StudyPanel, StudySeries, StudyTable, Value, over_seeds
from seq2attn.studies.distance.claims import LONG, MeasuredRun, at_aligned, middle
from seq2attn.studies.distance.coreference import Look
from seq2attn.studies.distance.gradients import FARTHEST, Profile, Values
from seq2attn.studies.losses import mean_per_token, of_sums


class _Span(NamedTuple):
    """Distances that share a column of a table."""

    first: int
    last: int

    def __str__(self) -> str:
        if self.last == FARTHEST:
            return f"{self.first} or more"
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


_SPANS = tuple(_Span(*span) for span in ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, FARTHEST)))


def _moments(run: MeasuredRun) -> Iterator[tuple[str, Profile]]:
    yield "before training", run.before
    yield "trained", run.after


def summary_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """Two rows for each run: before training and after it."""
    rows: list[tuple[Value, ...]] = []
    for run in measured:
        loss = mean_per_token(run.run, run.losses, run.tokens).value
        for moment, found in _moments(run):
            deep, aligned = middle(run.run, found), at_aligned(run.run, found)
            norm = of_sums(run.run, found.norms, lambda sums: sums[:, 0] / sums[:, 1]).value
            ends = (deep.value, deep.low, deep.high, aligned.value, aligned.low, aligned.high)
            rows.append((run.run, moment, loss if moment == "trained" else None, norm, *ends))
    header = ("run", "weights", "loss per token", "norm", "middle", "low", "high", "aligned", "low", "high")
    title = f"Gradient at the source, sentences of {LONG} tokens or more, with 95 % intervals"
    return StudyTable("summary", title, header, tuple(rows))


def distance_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """Relative gradient by the distance from the aligned word."""
    return _table("nearby", "Relative gradient by distance from the aligned word", measured)


def depth_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """Relative gradient by the distance from the nearer end of the source."""
    return _table("depth", "Relative gradient by distance from the nearer end of the source", measured)


def _table(name: str, title: str, measured: Sequence[MeasuredRun]) -> StudyTable:
    rows = [
        (run.run, moment, *(_mean(getattr(found.long(LONG), name), span) for span in _SPANS))
        for run in measured
        for moment, found in _moments(run)
    ]
    return StudyTable(name, f"{title}, in tokens", ("run", "weights", *map(str, _SPANS)), tuple(rows))


def _mean(rows: Values, span: _Span) -> float | None:
    total, number = rows[:, span.first : span.last + 1].sum(axis=(0, 1))
    return float(total / number) if number else None


def distance_panel(measured: Sequence[MeasuredRun]) -> StudyPanel:
    """Relative gradient over the distance from the aligned word, of the trained models."""
    series = tuple(StudySeries(run.run, _points(run.after.long(LONG).nearby)) for run in measured)
    return _panel("Trained, by distance from the aligned word", series)


def depth_panels(measured: Sequence[MeasuredRun]) -> tuple[StudyPanel, StudyPanel]:
    """Relative gradient over the distance from the nearer end, before training and after it."""
    before = tuple(StudySeries(run.run, _points(run.before.long(LONG).depth)) for run in measured)
    after = tuple(StudySeries(run.run, _points(run.after.long(LONG).depth)) for run in measured)
    title = "{}, by distance from the nearer end"
    return _panel(title.format("Before training"), before), _panel(title.format("Trained"), after)


def _panel(title: str, series: tuple[StudySeries, ...]) -> StudyPanel:
    label = "gradient (mean over source tokens: 1)"
    return over_seeds(StudyPanel(title, "source tokens", label, series, y_scale="log"))


def _points(rows: Values) -> tuple[Point, ...]:
    """The mean at each distance; without those that are counted together, and those without any gradient."""
    means = ((distance, _mean(rows, _Span(distance, distance))) for distance in range(FARTHEST))
    return tuple(Point(distance, mean) for distance, mean in means if mean)


def coreference_table(looks: Sequence[Look]) -> StudyTable:
    """A row for each head."""
    rows = [
        (look.run, look.kind, look.layer, look.head, *look.tired, *look.wide, "yes" if look.follows else "no")
        for look in looks
    ]
    nouns = ("tired: animal", "tired: street", "wide: animal", "wide: street")
    header = ("run", "attention", "layer", "head", *nouns, "follows")
    title = 'Where "it" looks: weight from it to animal and street, with "too tired" and with "too wide"'
    return StudyTable("coreference", title, header, tuple(rows), in_full=True)

"""Tables and figure of the study `weights-and-effects`"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from seq2attn.results.study import Point, StudyPanel, StudySeries, StudyTable, Value, over_seeds
from seq2attn.studies.effects.agreement import BIN_EDGES, EFFECTS, Effect, MeasuredRun, ratio

_MEANINGS: Mapping[Effect, str] = {
    "own look": "own look forbidden",
    "every look": "every look forbidden",
    "left out": "word left out",
}
_FEWEST_PAIRS = 20
"""Of words, for a point of the curve of drops over weights."""


def agreement_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """A row for each run, layer and head: τ and its interval with each effect."""
    header: list[str] = ["run", "weights of"]
    for effect in EFFECTS:
        header += [f"τ, {_MEANINGS[effect]}", "low", "high"]
    rows: list[tuple[Value, ...]] = []
    for found in measured:
        for reading, name in enumerate(found.readings):
            numbers: list[Value] = []
            for column in range(len(EFFECTS)):
                tau = found.mean(found.tau[:, reading, column])
                numbers += [tau.value, tau.low, tau.high]
            rows.append((found.run, name, *numbers))
    title = "Agreement of weights with effects (Kendall's τ), with 95 % intervals"
    return StudyTable("agreement", title, tuple(header), tuple(rows), in_full=True)


def summary_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """A row for each run and effect: τ and the largest word, by the mean of all heads, and the best head's τ."""
    header = ("run", "effect", "τ", "low", "high", "same largest, %", "best head", "its τ", "mean drop, nats")
    rows: list[tuple[Value, ...]] = []
    for found in measured:
        for number, effect in enumerate(EFFECTS):
            if effect == "own look":  # of all heads, that is every look
                continue
            tau, largest = found.mean(found.tau[:, 0, number]), found.mean(found.same_largest[:, 0, number])
            drop = found.mean(found.largest_drops[:, number - 1]).value
            head: tuple[Value, Value] = ("–", None)
            if len(found.readings) > 1:
                best, name = found.best_head(effect)
                head = (name, found.mean(best).value)
            rows.append((found.run, _MEANINGS[effect], tau.value, tau.low, tau.high, 100 * largest.value, *head, drop))
    return StudyTable("summary", "Weights (mean of all heads) and effects", header, tuple(rows))


def example_table(measured: Sequence[MeasuredRun]) -> StudyTable:
    """One sentence of each run: weight and effect of every source word for each written word."""
    rows: list[tuple[Value, ...]] = []
    for found in measured:
        rows += [(found.run, *cell) for cell in found.example]
    header = ("run", "written", "source", "weight", "drop, every look", "drop, left out")
    return StudyTable("example", "One sentence, drops in nats", header, tuple(rows), in_full=True)


def drops_panel(measured: Sequence[MeasuredRun]) -> StudyPanel:
    """Mean drop over the weight of the look, a curve for each run and effect."""
    series = []
    for found in measured:
        for column, label in ((1, "look forbidden"), (2, "word left out")):
            points = []
            for number, (low, high) in enumerate(pairwise(BIN_EDGES)):
                counts = found.bins[:, number, 0]
                if counts.sum() >= _FEWEST_PAIRS:
                    drop = ratio(found.run, found.bins[:, number, column], counts)
                    points.append(Point((low + high) / 2, drop.value, drop.low, drop.high))
            series.append(StudySeries(f"{found.run}, {label}", tuple(points)))
    series = [one for one in series if one.points]
    title, x_label, y_label = "What a look costs", "weight (mean of all heads)", "drop of log-probability, nats"
    return over_seeds(StudyPanel(title, x_label, y_label, tuple(series)))


def agreement_panel(measured: Sequence[MeasuredRun]) -> StudyPanel:
    """τ of every layer and head of every run, a row for each."""
    names = [(found, reading) for found in measured for reading in range(len(found.readings))]
    series = []
    for number, effect in enumerate(EFFECTS):
        points = []
        for row, (found, reading) in enumerate(names):
            tau = found.mean(found.tau[:, reading, number])
            points.append(Point(row, tau.value, tau.low, tau.high))
        series.append(StudySeries(_MEANINGS[effect], tuple(points)))
    categories = tuple(f"{found.run}: {found.readings[reading]}" for found, reading in names)
    return StudyPanel("Does a weight tell the effect?", "", "Kendall's τ", tuple(series), categories)

"""Tables and figure of the study `scaling`"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from seq2attn.results.study import Estimate, Point, StudyPanel, StudySeries, StudyTable, Value
from seq2attn.studies.losses import mean_per_token, of_sums
from seq2attn.studies.scaling.claims import Pair, ScaledRun, entropy, pairs, passed
from seq2attn.studies.scaling.softmax import SoftmaxState

_SCORES: Mapping[str, str] = {
    "scaled_dot": "products / √d_k",
    "dot": "products",
    "general": "products, s · W h",
    "additive": "additive",
}
_KINDS = {"rnn": "RNN", "transformer": "transformer"}
_STALLED = 0.1
"""Nats per token by which the loss is higher without the scale where training is said to stall."""


def score_name(run: ScaledRun) -> str:
    """The model and its score, as in figures."""
    return f"{_KINDS[run.kind]}, {_SCORES[run.score]}"


def losses_table(measured: Sequence[ScaledRun]) -> StudyTable:
    """A row for each run."""
    rows = []
    for run in measured:
        loss = mean_per_token(run.run, run.losses, run.tokens)
        rows.append((run.run, score_name(run), run.width, loss.value, loss.low, loss.high))
    header = ("run", "score", "d_k", "loss per token", "low", "high")
    return StudyTable("losses", "Loss on test sentences, with 95 % intervals", header, tuple(rows))


def differences_table(measured: Sequence[ScaledRun]) -> StudyTable:
    """A row for each two runs that differ in nothing but their score."""
    rows = []
    for pair in _compared(measured):
        rise = pair.rise()
        scores = f"{score_name(pair.first)} minus {_SCORES[pair.other.score]}"
        rows.append((scores, pair.first.width, pair.name, rise.value, rise.low, rise.high))
    header = ("difference", "d_k", "runs", "loss per token", "low", "high")
    return StudyTable("differences", "What the score changes, nats per token", header, tuple(rows))


def _compared(measured: Sequence[ScaledRun]) -> list[Pair]:
    found = pairs(measured, "transformer", "dot", "scaled_dot")
    for first, other in (("general", "additive"), ("scaled_dot", "additive"), ("general", "scaled_dot")):
        found += pairs(measured, "rnn", first, other)
    return found


def moments_table(measured: Sequence[ScaledRun]) -> StudyTable:
    """Two rows for each run: before training and after it."""
    rows: list[tuple[Value, ...]] = []
    for run in measured:
        for moment, state in (("before training", run.before), ("trained", run.after)):
            kinds = [_mean(run.run, state, kind) for kind in ("encoder", "decoder", "cross")]
            share = passed(run.run, state)
            gradients = (None if share is None else share.value, state.gradient_norm, state.query_norm)
            whole = entropy(run.run, state)
            rows.append((run.run, run.width, moment, *kinds, whole.value, whole.low, whole.high, *gradients))
    entropies = ("encoder", "causal", "cross", "all", "low", "high")
    header = ("run", "d_k", "weights", *entropies, "passed", "gradient", "queries")
    title = "Relative entropy of attention, and norms of gradients"
    return StudyTable("moments", title, header, tuple(rows), in_full=True)


def _mean(name: str, state: SoftmaxState, kind: str) -> float | None:
    rows = next((rows for found, rows in state.entropy.items() if found == kind), None)
    return None if rows is None else of_sums(name, rows, lambda sums: sums[:, 0] / sums[:, 1]).value


def stall(measured: Sequence[ScaledRun]) -> str:
    """A sentence: from which width on training stalls without the scale."""
    found = pairs(measured, "transformer", "dot", "scaled_dot")
    widths = sorted({pair.first.width for pair in found})
    rises = {width: [pair.rise() for pair in found if pair.first.width == width] for width in widths}
    stalled = [width for width in widths if all(_is_above(rise, _STALLED) for rise in rises[width])]
    if not widths:
        return ""
    if not stalled:
        return f"Without the scale, no width from {widths[0]} to {widths[-1]} costs {_STALLED} nats per token or more."
    named = ", ".join(map(str, stalled))
    return (
        f"Widths at which training without the scale stalls, which here means that the loss is higher by more than "
        f"{_STALLED} nats per token in every pair: d_k = {named}, of {', '.join(map(str, widths))}."
    )


def _is_above(estimate: Estimate, margin: float) -> bool:
    return estimate.low is not None and estimate.low > margin


def entropy_panel(measured: Sequence[ScaledRun]) -> StudyPanel:
    """Entropy over the width, before training and after it, of the transformers where there are some."""
    shown = [run for run in measured if run.kind == "transformer"] or measured
    series = [
        *_curves(shown, "before training", lambda run: entropy(run.run, run.before)),
        *_curves(shown, "trained", lambda run: entropy(run.run, run.after)),
    ]
    title = "How even the weights are (1: all keys alike)"
    return StudyPanel(title, "d_k", "relative entropy H / ln n", tuple(series), x_scale="log")


def gradient_panel(measured: Sequence[ScaledRun]) -> StudyPanel:
    """The part of the gradient that passes the softmax, over the width."""
    known = [run for run in measured if run.before.passed is not None and run.after.passed is not None]
    series = [
        *_curves(known, "before training", lambda run: passed(run.run, run.before)),
        *_curves(known, "trained", lambda run: passed(run.run, run.after)),
    ]
    label = "gradient of scores / gradient of weights"
    return StudyPanel("What the softmax lets through", "d_k", label, tuple(series), x_scale="log", y_scale="log")


def loss_panel(measured: Sequence[ScaledRun]) -> StudyPanel:
    """The loss over the width, a curve for each score."""
    series = _curves(measured, "", lambda run: mean_per_token(run.run, run.losses, run.tokens))
    return StudyPanel("Loss after the same updates", "d_k", "nats per target token", tuple(series), x_scale="log")


def training_panels(measured: Sequence[ScaledRun]) -> list[StudyPanel]:
    """Training loss of the narrowest and the widest transformer with either score; none where none was reported."""
    transformers = [run for run in measured if run.kind == "transformer" and run.curve]
    widths = {run.width for run in transformers}
    ends = sorted({min(widths), max(widths)}) if widths else []
    shown = {(run.width, run.score): run for run in reversed(transformers) if run.width in ends}
    series = [
        StudySeries(f"d_k = {width}, {_SCORES[score]}", tuple(Point(step, loss) for step, loss in run.curve))
        for (width, score), run in sorted(shown.items())
    ]
    title = "Over training (first seed)"
    return [StudyPanel(title, "updates", "training loss, nats per token", tuple(series))] if series else []


def _curves(
    measured: Sequence[ScaledRun], moment: str, value: Callable[[ScaledRun], Estimate | None]
) -> Iterator[StudySeries]:
    """For each score a value over the width, the mean over seeds; with intervals where there is one run of each."""
    names = dict.fromkeys(map(score_name, measured))
    for name in names:
        runs = [run for run in measured if score_name(run) == name]
        points = [_point(width, [value(run) for run in runs if run.width == width]) for width in _widths(runs)]
        yield StudySeries(f"{name}, {moment}" if moment else name, tuple(points))


def _widths(runs: Sequence[ScaledRun]) -> list[int]:
    return sorted({run.width for run in runs})


def _point(width: int, values: Sequence[Estimate | None]) -> Point:
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return Point(width, known[0].value, known[0].low, known[0].high)
    return Point(width, sum(value.value for value in known) / len(known))

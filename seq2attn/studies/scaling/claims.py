"""The claims of the study `scaling`, fixed before any run was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.losses import Losses, distance_from_zero, mean_per_token, of_sums
from seq2attn.studies.scaling.softmax import SoftmaxState

WIDE, NARROW = 128, 16
_BY_SENTENCE = "95 % bootstrap interval over sentences; supported if it holds for every pair of runs"
_ENTROPY = "Relative entropy H / ln n of the weights over n keys, mean over rows, heads and layers, before training"

SATURATES = StudyClaim(
    "saturates",
    "Without 1/√d_k the softmax of a wide head is nearly saturated before training begins (Vaswani et al. 2017)",
    f"{_ENTROPY}, without the scale, in heads of width {WIDE} or more. 95 % bootstrap interval over sentences; "
    "supported if it is below 0.5 in every run. 1 would be equal weights, 0 all weight on one key.",
    0.5,
    above=False,
)
HOLDS = StudyClaim(
    "holds",
    "With 1/√d_k the softmax begins equally soft at every width",
    f"{_ENTROPY}, with the scale: the absolute difference of each width from the narrowest. 95 % bootstrap interval "
    "over sentences; supported if it is below 0.05 in every run.",
    0.05,
    above=False,
)
BLOCKS = StudyClaim(
    "blocks",
    "The saturated softmax has extremely small gradients (Vaswani et al. 2017): it lets less than half as much through",
    "Norm of the gradient of the scores divided by that of the weights (less its mean over each row, which no softmax "
    f"passes), before training: without the scale, divided by the same with it, in heads of width {WIDE} or more. "
    f"{_BY_SENTENCE}: the whole interval below 0.5.",
    0.5,
    above=False,
)
STALLS = StudyClaim(
    "stalls",
    "Without 1/√d_k training stalls in wide heads",
    "Loss per target token without the scale minus that with it, after the same updates from the same first weights, "
    f"in heads of width {WIDE} or more. {_BY_SENTENCE}: the whole interval above 0.1 nats.",
    0.1,
    above=True,
)
NARROW_IS_FREE = StudyClaim(
    "narrow-is-free",
    "In narrow heads the scale hardly matters",
    f"The absolute value of the same difference, in heads of width {NARROW} or less. {_BY_SENTENCE}: the whole "
    "interval below 0.1 nats.",
    0.1,
    above=False,
)
ADDITIVE_WINS = StudyClaim(
    "additive-wins",
    "In a wide RNN, additive scores are better than products without a scale (Britz et al. 2017)",
    "Loss per target token with products (`general`) minus that with additive scores, after the same updates, in RNNs "
    f"of width {WIDE} or more. {_BY_SENTENCE}: the whole interval above 0.02 nats.",
    0.02,
    above=True,
)
CLAIMS = (SATURATES, HOLDS, BLOCKS, STALLS, NARROW_IS_FREE, ADDITIVE_WINS)


@dataclass(frozen=True)
class ScaledRun:
    """One run, before training and after it."""

    run: str
    kind: str
    """Of its model: rnn or transformer."""
    score: str
    """`model.attention`"""
    width: int
    """Of a query and of a key: d_k of a transformer, d_model of an RNN."""
    group: str
    """The same for runs that differ only in their score, the number of heads, and their name."""
    before: SoftmaxState
    after: SoftmaxState
    losses: Losses
    """Of the trained model, (n_sentences,)."""
    tokens: Losses
    """Of the targets, (n_sentences,)."""
    curve: tuple[tuple[float, float], ...]
    """Update and training loss without label smoothing, a mean since the point before."""


@dataclass(frozen=True)
class Pair:
    """Two runs that differ in nothing but their score."""

    first: ScaledRun
    other: ScaledRun

    @property
    def name(self) -> str:
        """Both runs."""
        return f"{self.first.run} against {self.other.run}"

    def rise(self) -> Estimate:
        """Loss per token of the first minus that of the other, on the same sentences."""
        return mean_per_token(self.name, self.first.losses - self.other.losses, self.first.tokens)


def pairs(measured: Sequence[ScaledRun], kind: str, first: str, other: str) -> list[Pair]:
    """Every two runs of a `kind` of model with the scores `first` and `other` that differ in nothing else."""
    return [
        Pair(one, two)
        for one, two in product(measured, measured)
        if (one.kind, one.score, two.score) == (kind, first, other) and (one.group, one.width) == (two.group, two.width)
    ]


def judge(measured: Sequence[ScaledRun]) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    scale = pairs(measured, "transformer", "dot", "scaled_dot")
    wide = [pair for pair in scale if pair.first.width >= WIDE]
    unscaled = [run for run in measured if (run.kind, run.score) == ("transformer", "dot") and run.width >= WIDE]
    rnns = pairs(measured, "rnn", "general", "additive")
    found = {
        SATURATES: [entropy(run.run, run.before) for run in unscaled],
        HOLDS: list(_changes(measured)),
        BLOCKS: [_passed(pair) for pair in wide],
        STALLS: [pair.rise() for pair in wide],
        NARROW_IS_FREE: [distance_from_zero(pair.rise()) for pair in scale if pair.first.width <= NARROW],
        ADDITIVE_WINS: [pair.rise() for pair in rnns if pair.first.width >= WIDE],
    }
    for claim, estimates in found.items():
        if estimates:
            yield judge_in_every_run(claim, estimates)


def entropy(name: str, state: SoftmaxState) -> Estimate:
    """The mean relative entropy of all kinds of attention together."""
    return of_sums(name, state.all_entropy(), lambda sums: sums[:, 0] / sums[:, 1])


def passed(name: str, state: SoftmaxState) -> Estimate | None:
    """The norm of the gradient of scores divided by that of weights; None where it is not known."""
    return None if state.passed is None else of_sums(name, state.passed, lambda sums: np.sqrt(sums[:, 0] / sums[:, 1]))


def _changes(measured: Sequence[ScaledRun]) -> Iterator[Estimate]:
    """The difference of each scaled transformer's entropy before training from that of the narrowest of its group."""
    scaled = [run for run in measured if (run.kind, run.score) == ("transformer", "scaled_dot")]
    for run in scaled:
        narrowest = min((other for other in scaled if other.group == run.group), key=lambda other: other.width)
        if run.width > narrowest.width:
            rows = np.hstack([run.before.all_entropy(), narrowest.before.all_entropy()])
            yield distance_from_zero(
                of_sums(run.run, rows, lambda sums: sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3])
            )


def _passed(pair: Pair) -> Estimate:
    """How much the softmax passes in the first run before training, divided by the same of the other."""
    assert pair.first.before.passed is not None
    assert pair.other.before.passed is not None
    rows = np.hstack([pair.first.before.passed, pair.other.before.passed])
    return of_sums(pair.name, rows, lambda sums: np.sqrt(sums[:, 0] / sums[:, 1] / (sums[:, 2] / sums[:, 3])))

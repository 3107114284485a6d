"""The claims of the study `distance`, fixed before any run was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.distance.gradients import Profile, Values
from seq2attn.studies.losses import of_sums

LONG = 24
"""Source tokens of a sentence that claims are about."""
_DEEP, _SHALLOW = 10, 2
_FEWEST = 10
"""Sentences that an interval needs."""
_BY_SENTENCE = "95 % bootstrap interval over sentences; supported if it holds in every run"
_MIDDLE = (
    f"In sentences of {LONG} source tokens or more, the gradient at tokens that are {_DEEP} or more away from both "
    f"ends, divided by that at the first and last {_SHALLOW}, in each target token's gradient relative to its mean "
    "over source tokens, "
)
_ALIGNED = (
    f"In sentences of {LONG} source tokens or more, a target token's gradient at the tokens that it is aligned with, "
    "relative to its mean over source tokens, where the alignment is known, "
)
FADES = StudyClaim(
    "fades",
    "Without attention the gradient fades on its way: before training, the middle of the source gets less than half",
    f"{_MIDDLE}of models with a fixed context before training. {_BY_SENTENCE}: the whole interval below 0.5.",
    0.5,
    above=False,
)
STILL_FADES = StudyClaim(
    "still-fades",
    "Training does not repair that: without attention the middle still gets less than half",
    f"{_MIDDLE}of trained models with a fixed context. {_BY_SENTENCE}: the whole interval below 0.5.",
    0.5,
    above=False,
)
REACHES = StudyClaim(
    "reaches",
    "With attention every source token is one step away: before training, the middle gets at least half",
    f"{_MIDDLE}of models with attention before training. {_BY_SENTENCE}: the whole interval above 0.5.",
    0.5,
    above=True,
)
FINDS = StudyClaim(
    "finds",
    "With attention the gradient finds the word that is being translated, in long sentences too",
    f"{_ALIGNED}of trained models with attention. {_BY_SENTENCE}: the whole interval above 4.",
    4.0,
    above=True,
)
SPREADS = StudyClaim(
    "spreads",
    "Without attention it does not: in long sentences that word gets less than twice what any other does",
    f"{_ALIGNED}of trained models with a fixed context. {_BY_SENTENCE}: the whole interval below 2.",
    2.0,
    above=False,
)
CLAIMS = (FADES, STILL_FADES, REACHES, FINDS, SPREADS)


@dataclass(frozen=True)
class MeasuredRun:
    """One run, before training and after it."""

    run: str
    has_attention: bool
    is_aligned: bool
    """Whether the alignment is known; else distances are from the diagonal."""
    before: Profile
    after: Profile
    losses: Values
    """Of the trained model, (n_sentences,)."""
    tokens: Values
    """Of the targets, (n_sentences,)."""


def judge(measured: Sequence[MeasuredRun]) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    fixed = [run for run in measured if not run.has_attention]
    attending = [run for run in measured if run.has_attention]
    found = {
        FADES: [middle(run.run, run.before) for run in fixed],
        STILL_FADES: [middle(run.run, run.after) for run in fixed],
        REACHES: [middle(run.run, run.before) for run in attending],
        FINDS: [at_aligned(run.run, run.after) for run in attending if run.is_aligned],
        SPREADS: [at_aligned(run.run, run.after) for run in fixed if run.is_aligned],
    }
    for claim, estimates in found.items():
        if estimates:
            yield judge_in_every_run(claim, estimates)


def middle(name: str, whole: Profile) -> Estimate:
    """The relative gradient in the middle of long sentences, divided by that at their ends."""
    depth = whole.long(LONG).depth
    rows = np.hstack([depth[:, _DEEP:].sum(axis=1), depth[:, :_SHALLOW].sum(axis=1)])
    return _estimate(name, rows)


def at_aligned(name: str, whole: Profile) -> Estimate:
    """The relative gradient at aligned tokens in long sentences."""
    rows = whole.long(LONG).nearby[:, 0]
    return _estimate(name, np.hstack([rows, np.ones_like(rows)]))


def _estimate(name: str, rows: Values) -> Estimate:
    """The mean of the first two columns divided by that of the others; without an interval for few sentences."""
    if not len(rows):
        return Estimate(name, float("nan"), None, None)
    found = of_sums(name, rows, lambda sums: sums[:, 0] / sums[:, 1] / (sums[:, 2] / sums[:, 3]))
    return found if len(rows) >= _FEWEST else replace(found, low=None, high=None)

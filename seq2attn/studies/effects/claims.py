"""The claims of the study `weights-and-effects`, fixed before any run was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.effects.agreement import EFFECTS, Effect, MeasuredRun, Values
from seq2attn.studies.losses import of_sums

_BY_SENTENCE = "95 % bootstrap interval over sentences; supported if it holds in every run"
_RANKS = (
    "Kendall's τ over the source words of each word of the run's own greedy translation, between weight (mean of all "
    "heads) and drop of the word's log-probability when {}; mean over written words; "
    f"{_BY_SENTENCE}: the whole interval above 0.5, that is, three of four pairs of source words in the same order."
)
TELLS_LOOK = StudyClaim(
    "tells-look",
    "A weight tells what its look is worth: source words rank by weight as by the cost of forbidding the look",
    _RANKS.format("no attention may look at the source word in this step"),
    0.5,
    above=True,
)
TELLS_WORD = StudyClaim(
    "tells-word",
    "A weight tells what its word is worth: source words rank by weight as by the cost of leaving the word out",
    _RANKS.format("the source word is left out"),
    0.5,
    above=True,
)
LARGEST = StudyClaim(
    "largest",
    "The source word with the largest weight is the one without which the written word is least probable",
    "Share of written words whose source word with the largest weight (mean of all heads) also has the largest drop "
    f"when it is left out; {_BY_SENTENCE}: the whole interval above 0.5.",
    0.5,
    above=True,
)
LOOK_IS_NOT_WORD = StudyClaim(
    "look-is-not-word",
    "A look is not its word: what the word says reaches the translation by other ways, too",
    "For each written word the source word with the largest weight (mean of all heads): the drop when it is left out, "
    f"minus the drop when the look is forbidden, in nats; {_BY_SENTENCE}: the whole interval above 0.1.",
    0.1,
    above=True,
)
MEAN_NOT_HEAD = StudyClaim(
    "mean-not-head",
    "The mean of all heads tells more than any head alone",
    "τ with the cost of leaving the word out, of the mean of all heads minus that of the best head, which is chosen "
    f"for each half of the sentences on the other half; {_BY_SENTENCE}: the whole interval above 0.",
    0.0,
    above=True,
)
RNN_TELLS_MORE = StudyClaim(
    "rnn-tells-more",
    "One attention tells more than many: the RNN's weights tell what a look is worth better than the transformer's",
    "τ with the cost of forbidding the look: the RNN's minus that of the mean of the transformer's heads, each on its "
    f"own translations of the same sentences; {_BY_SENTENCE}: the whole interval above 0 for every pair of runs.",
    0.0,
    above=True,
)
CLAIMS = (TELLS_LOOK, TELLS_WORD, LARGEST, LOOK_IS_NOT_WORD, MEAN_NOT_HEAD, RNN_TELLS_MORE)


def judge(measured: Sequence[MeasuredRun]) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    yield judge_in_every_run(TELLS_LOOK, [_tau(found, "every look") for found in measured])
    yield judge_in_every_run(TELLS_WORD, [_tau(found, "left out") for found in measured])
    of_word = EFFECTS.index("left out")
    yield judge_in_every_run(LARGEST, [found.mean(found.same_largest[:, 0, of_word]) for found in measured])
    yield judge_in_every_run(
        LOOK_IS_NOT_WORD, [found.mean(found.largest_drops[:, 1] - found.largest_drops[:, 0]) for found in measured]
    )
    several = [found for found in measured if len(found.readings) > 1]
    if several:
        yield judge_in_every_run(MEAN_NOT_HEAD, [_mean_against_head(found) for found in several])
    pairs = [
        (rnn, transformer)
        for rnn in measured
        for transformer in measured
        if (rnn.kind, transformer.kind) == ("rnn", "transformer") and rnn.digest == transformer.digest
    ]
    if pairs:
        yield judge_in_every_run(RNN_TELLS_MORE, [_difference(*pair) for pair in pairs])


def _tau(found: MeasuredRun, effect: Effect) -> Estimate:
    """Of the mean of all heads."""
    return found.mean(found.tau[:, 0, EFFECTS.index(effect)])


def _mean_against_head(found: MeasuredRun) -> Estimate:
    best, _ = found.best_head("left out")
    return found.mean(found.tau[:, 0, EFFECTS.index("left out")] - best)


def _difference(first: MeasuredRun, second: MeasuredRun) -> Estimate:
    """τ of the first minus that of the second, whose written words differ; sentences are resampled together."""
    column = EFFECTS.index("every look")
    rows = [part for found in (first, second) for part in (found.tau[:, 0, column], found.n_words)]
    return of_sums(f"{first.run} − {second.run}", np.stack(rows, axis=1), _mean_differences)


def _mean_differences(sums: Values) -> Values:
    """(rows,) of sums and numbers of words of two runs, `(rows, 4)`."""
    means: Values = sums[:, ::2] / np.maximum(sums[:, 1::2], 1.0)
    return means[:, 0] - means[:, 1]

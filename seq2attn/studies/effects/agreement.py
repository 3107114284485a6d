"""How well attention weights tell what a look, or a word, is worth: agreement of ranks, in sums over each sentence"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from seq2attn.results.study import Estimate
from seq2attn.studies.losses import of_sums

Values = NDArray[np.float64]
Effect = Literal["own look", "every look", "left out"]
"""What is taken away: the look of this head (or of all heads that are averaged), the looks of all, the word itself."""
EFFECTS: tuple[Effect, ...] = get_args(Effect)
BIN_EDGES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Of weights, for the curve of drops over weights."""


class Cell(NamedTuple):
    """A word of a translation and a source word, in the example."""

    written: str
    source: str
    weight: float
    """Mean over all layers and heads."""
    every_look: float
    left_out: float


class Kendall(NamedTuple):
    """Agreement of weights and drops over the source words of each written word."""

    tau: Values
    """Pairs of source words in the same order, minus those in the opposite order, as a share of all pairs."""
    same_largest: Values
    """1 where the word with the largest weight has the largest drop."""


@dataclass(frozen=True)
class MeasuredRun:
    """Everything that was measured of a run, in sums over the written words of each sentence."""

    run: str
    kind: str
    digest: str
    """The same for runs with the same sources."""
    readings: tuple[str, ...]
    """Names: the mean of all heads first, then of each layer the mean and each head."""
    n_words: Values
    """(n_sentences,) written words."""
    tau: Values
    """(n_sentences, readings, effects)"""
    same_largest: Values
    """(n_sentences, readings, effects)"""
    largest_drops: Values
    """(n_sentences, 2) drops of the source word with the largest mean weight: every look, left out."""
    bins: Values
    """(n_sentences, bins, 3) pairs of words by mean weight: their number, and sums of drops: every look, left out."""
    example: tuple[Cell, ...]

    def mean(self, sums: Values) -> Estimate:
        """The mean of `sums` (n_sentences,) over written words, with its bootstrap interval over sentences."""
        return ratio(self.run, sums, self.n_words)

    def best_head(self, effect: Effect) -> tuple[Values, str]:
        """τ of the head with the highest, chosen for each half of the sentences on the other half; its names."""
        heads = [index for index, name in enumerate(self.readings) if " head " in name]
        tau, half = self.tau[:, heads, EFFECTS.index(effect)], np.arange(len(self.tau)) % 2 == 0
        for_even, for_odd = (int((tau[rows].sum(axis=0)).argmax()) for rows in (~half, half))
        names = dict.fromkeys(self.readings[heads[index]] for index in (for_even, for_odd))
        return np.where(half, tau[:, for_even], tau[:, for_odd]), " / ".join(names)


def ratio(run: str, sums: Values, counts: Values) -> Estimate:
    """Σ sums / Σ counts, `(n_sentences,)` each, with its bootstrap interval over sentences; 0 without counts."""
    rows = np.stack([sums, counts], axis=1)
    return of_sums(run, rows, lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1.0))


def kendall(weights: Values, drops: Values) -> Kendall:
    """Kendall's τ (without correction for ties) and agreement of the largest, over the last dimension.

    `weights`, `drops`: `(..., source words)`, at least 2.
    """
    n = weights.shape[-1]
    orders = [np.sign(values[..., :, None] - values[..., None, :]) for values in (weights, drops)]
    tau = (orders[0] * orders[1]).sum(axis=(-2, -1)) / (n * (n - 1))
    return Kendall(tau, (weights.argmax(axis=-1) == drops.argmax(axis=-1)).astype(np.float64))

"""BLEU lost with length: a slope with its interval, and smoothed curves"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.lengths import Lengths
from seq2attn.evaluation.metrics import Scores
from seq2attn.evaluation.resampling import Selection, StatisticsTable, percentile_interval

WORDS = 10
"""The loss is given for this many words (or other units of length)."""


@dataclass(frozen=True)
class Slope:
    """BLEU lost per `WORDS` words of length, with its 95 % interval; negative where BLEU rises."""

    loss: float
    loss_low: float
    loss_high: float
    share: float | None
    """The same divided by the mean BLEU of the buckets, because a weak system has little to lose."""
    share_low: float | None
    share_high: float | None


def line_weights(lengths: Lengths, groups: Sequence[Selection]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two rows of weights, one weight for each bucket; their products with the buckets' BLEU are loss and mean BLEU.

    The loss is the negative slope of a least-squares line through the buckets' BLEU at the mean length of their
    sentences, each bucket weighted by its number of sentences.
    """
    sizes = np.array([np.count_nonzero(group) for group in groups], dtype=np.float64)
    places = np.array([lengths[group].mean() for group in groups])
    shares = sizes / sizes.sum()
    away = places - shares @ places
    return -WORDS * shares * away / (shares @ away**2), shares


def find_slopes(
    lengths: Lengths, groups: Sequence[Selection], scores: Sequence[Sequence[float]], resampled: Sequence[Scores]
) -> list[Slope | None]:
    """The slope of each system; None with fewer than two buckets.

    Args:
        lengths: of all sentences.
        groups: the sentences of each bucket.
        scores: for each bucket the BLEU of each system.
        resampled: for each bucket the BLEU of each system on each resample, `(n_systems, n_resamples)`.
    """
    if len(groups) < 2:
        return [None] * (len(scores[0]) if scores else 0)
    to_loss, to_mean = line_weights(lengths, groups)
    measured, drawn = np.array(scores), np.stack(resampled)
    losses, means = to_loss @ measured, to_mean @ measured
    drawn_losses, drawn_means = (np.tensordot(weights, drawn, axes=1) for weights in (to_loss, to_mean))
    return [_slope(*of_system) for of_system in zip(losses, means, drawn_losses, drawn_means, strict=True)]


def _slope(loss: float, mean: float, losses: Scores, means: Scores) -> Slope:
    low, high = percentile_interval(losses)
    if mean == 0.0 or not means.all():
        return Slope(float(loss), low, high, None, None, None)
    return Slope(float(loss), low, high, float(loss / mean), *percentile_interval(losses / means))


WINDOW = 10
"""Lengths in a window, as in the figures of Cho et al. 2014."""


@dataclass(frozen=True)
class SmoothedPoint:
    """The corpus BLEU of the sentences whose lengths are in the window around `length`."""

    length: int
    n: int
    bleu: float


def smoothed_curves(table: StatisticsTable, lengths: Lengths, min_sentences: int) -> list[tuple[SmoothedPoint, ...]]:
    """For each system a point at every length whose window, [length - 5, length + 5), holds enough sentences."""
    n_lengths = int(lengths.max(initial=-1)) + 1
    counts = np.bincount(lengths, minlength=n_lengths)
    by_length = np.zeros((n_lengths, table.rows.shape[1]))
    np.add.at(by_length, lengths, table.rows)
    in_window, sums = _window_sums(counts[:, None])[:, 0], _window_sums(by_length)
    chosen = np.flatnonzero(in_window >= min_sentences)
    bleu = table.mean_over_outputs(table.score_sums(sums[chosen]))
    return [
        tuple(
            SmoothedPoint(int(length), int(in_window[length]), float(score))
            for length, score in zip(chosen, scores, strict=True)
        )
        for scores in bleu
    ]


def _window_sums(by_length: np.ndarray) -> np.ndarray:
    """Sums over the window around each length, in the shape of `by_length`, `(n_lengths, n_columns)`."""
    up_to = np.concatenate([np.zeros((1, by_length.shape[1])), np.cumsum(by_length, axis=0)])
    places = np.arange(len(by_length))
    ends = np.minimum(places + WINDOW // 2, len(by_length))
    return up_to[ends] - up_to[np.maximum(places - WINDOW // 2, 0)]

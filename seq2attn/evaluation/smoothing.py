"""BLEU at every length, over a window of lengths, beside the buckets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seq2attn.evaluation.lengths import Lengths
from seq2attn.evaluation.resampling import Panel

WINDOW = 10
"""Lengths in a window, as in the figures of Cho et al. 2014."""


@dataclass(frozen=True)
class SmoothedPoint:
    """The corpus BLEU of the sentences whose lengths are in the window around `length`."""

    length: int
    n: int
    bleu: float


def smoothed_curves(panel: Panel, lengths: Lengths, min_sentences: int) -> list[tuple[SmoothedPoint, ...]]:
    """For each system a point at every length whose window, [length - 5, length + 5), holds enough sentences."""
    n_lengths = int(lengths.max(initial=-1)) + 1
    counts = np.bincount(lengths, minlength=n_lengths)
    by_length = np.zeros((n_lengths, panel.table.shape[1]))
    np.add.at(by_length, lengths, panel.table)
    in_window, sums = _window_sums(counts[:, None])[:, 0], _window_sums(by_length)
    chosen = np.flatnonzero(in_window >= min_sentences)
    bleu = panel.mean_over_outputs(panel.score_sums(sums[chosen]))
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

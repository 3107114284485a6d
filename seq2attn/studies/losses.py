"""The loss of each sentence, and its mean per token with an interval"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.data.batch import Batch, collate
from seq2attn.evaluation.resampling import N_RESAMPLES, SEED, expanded_interval, resample_sums
from seq2attn.results.study import Estimate
from seq2attn.runs.folder import TrainedRun
from seq2attn.training.loss import sentence_losses

Losses = NDArray[np.float64]
"""Nats of each sentence, EOS included, `(n_sentences,)`."""

_BATCH = 64


@torch.inference_mode()
def text_losses(run: TrainedRun, sources: Sequence[str], targets: Sequence[str]) -> Losses:
    """The negative log-probability of each target given its source, in nats, fed with the reference."""
    losses, model = np.empty(len(sources)), run.model.eval()
    for rows, batch in text_batches(run, sources, targets):
        losses[rows] = sentence_losses(model, batch).cpu().numpy()
    return losses


def text_batches(
    run: TrainedRun, sources: Sequence[str], targets: Sequence[str], size: int = _BATCH
) -> Iterator[tuple[list[int], Batch]]:
    """Batches of at most `size` pairs whose targets have similar lengths, each after the rows that are in it."""
    device = next(run.model.parameters()).device
    source_ids, target_ids = run.subwords.encode_source(sources), run.subwords.encode_target(targets)
    order = sorted(range(len(target_ids)), key=lambda row: len(target_ids[row]))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield rows, collate([source_ids[row] for row in rows], [target_ids[row] for row in rows]).to(device)


def target_tokens(run: TrainedRun, targets: Sequence[str]) -> NDArray[np.float64]:
    """The number of tokens of each target, EOS included, `(n_sentences,)`."""
    return np.array([len(ids) + 1 for ids in run.subwords.encode_target(targets)], dtype=np.float64)


def mean_per_token(run: str, losses: Losses, tokens: NDArray[np.float64]) -> Estimate:
    """The sum of `losses` (or of differences between two) per target token, with its bootstrap interval."""
    return of_sums(run, np.stack([losses, tokens], axis=1), lambda sums: sums[:, 0] / sums[:, 1])


def of_sums(run: str, rows: Losses, value: Callable[[Losses], Losses]) -> Estimate:
    """A value of the sums over sentences, with its bootstrap interval.

    `rows`: (n_sentences, columns). `value`: from such sums (n, columns) to (n,).
    """
    sums = resample_sums(rows, N_RESAMPLES, np.random.default_rng(SEED))
    low, high = expanded_interval(value(sums), len(rows))
    return Estimate(run, float(value(rows.sum(axis=0)[None])[0]), low, high)


def distance_from_zero(found: Estimate) -> Estimate:
    """The absolute value of an estimate; its interval begins at 0 where that of the estimate includes 0."""
    if found.low is None or found.high is None:
        return replace(found, value=abs(found.value))
    ends = sorted((abs(found.low), abs(found.high)))
    return replace(found, value=abs(found.value), low=0.0 if found.low <= 0.0 <= found.high else ends[0], high=ends[1])

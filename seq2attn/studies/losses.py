"""The loss of each sentence, and its mean per token with an interval"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from seq2attn.data.batch import collate
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
    model = run.model.eval()
    device = next(model.parameters()).device
    source_ids, target_ids = run.subwords.encode_source(sources), run.subwords.encode_target(targets)
    losses = np.empty(len(sources))
    for rows in _batches([len(ids) for ids in target_ids]):
        batch = collate([source_ids[row] for row in rows], [target_ids[row] for row in rows]).to(device)
        losses[rows] = sentence_losses(model, batch).cpu().numpy()
    return losses


def target_tokens(run: TrainedRun, targets: Sequence[str]) -> NDArray[np.float64]:
    """The number of tokens of each target, EOS included, `(n_sentences,)`."""
    return np.array([len(ids) + 1 for ids in run.subwords.encode_target(targets)], dtype=np.float64)


def mean_per_token(run: str, losses: Losses, tokens: NDArray[np.float64]) -> Estimate:
    """The sum of `losses` (or of differences between two) per target token, with its bootstrap interval."""
    sums = resample_sums(np.stack([losses, tokens], axis=1), N_RESAMPLES, np.random.default_rng(SEED))
    low, high = expanded_interval(sums[:, 0] / sums[:, 1], len(losses))
    return Estimate(run, float(losses.sum() / tokens.sum()), low, high)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]

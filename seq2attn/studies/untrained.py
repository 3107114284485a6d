"""The model of a run as it was before training"""

from __future__ import annotations

from dataclasses import replace

import torch

from seq2attn.models.build import build_model
from seq2attn.runs.folder import TrainedRun


def untrained(run: TrainedRun) -> TrainedRun:
    """`run` with the random weights of its seed, with which its training began unless it started from another run."""
    subwords, device = run.subwords, next(run.model.parameters()).device
    with torch.random.fork_rng([]):
        torch.manual_seed(run.config.train.seed)
        model = build_model(run.config.model, subwords.source_size, subwords.target_size, subwords.joint)
    return replace(run, model=model.to(device).eval())

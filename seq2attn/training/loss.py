"""The training loss: label-smoothed cross-entropy, fused with the vocabulary projection."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from seq2attn.data.subwords import PAD_ID
from seq2attn.models.seq2seq import Seq2Seq


def cross_entropy_sum(model: Seq2Seq, hidden: Tensor, target_output: Tensor, label_smoothing: float) -> Tensor:
    """Sum over the real target tokens of −Σ_v q_v log p_v, in nats.

    q gives `label_smoothing` to the whole vocabulary in equal parts and the rest to the true token (Szegedy et al.
    2016, section 7). `hidden` (batch, target_len, d_model), `target_output` (batch, target_len) with PAD where there
    is no token.
    """
    logits = model.project(hidden.flatten(0, 1))
    return F.cross_entropy(
        logits, target_output.flatten(), ignore_index=PAD_ID, reduction="sum", label_smoothing=label_smoothing
    )

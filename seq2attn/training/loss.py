"""The training loss: label-smoothed cross-entropy, fused with the vocabulary projection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2attn.data.batch import Batch
from seq2attn.data.subwords import PAD_ID
from seq2attn.models.products import rounded, rounded_weight, uses_bfloat16
from seq2attn.models.seq2seq import AttentionMaps, Seq2Seq


def cross_entropy_sum(model: Seq2Seq, hidden: Tensor, target_output: Tensor, label_smoothing: float) -> Tensor:
    """Sum over the real target tokens of −Σ_v q_v log p_v, in nats.

    q gives `label_smoothing` to the whole vocabulary in equal parts and the rest to the true token (Szegedy et al.
    2016, section 7). `hidden` (batch, target_len, d_model), `target_output` (batch, target_len) with PAD where there
    is no token.
    """
    rows, targets = hidden.flatten(0, 1), target_output.flatten()
    if not torch.is_grad_enabled():
        logits = model.project(rows)
        return F.cross_entropy(logits, targets, ignore_index=PAD_ID, reduction="sum", label_smoothing=label_smoothing)
    return cross_entropy_sums(model, hidden, target_output, label_smoothing)[0]


def cross_entropy_sums(
    model: Seq2Seq, hidden: Tensor, target_output: Tensor, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """The loss to train on (`cross_entropy_sum`), and the loss without label smoothing.

    The second is a by-product of the first and has no gradient; its mean is the logarithm of the perplexity.
    """
    apply: Callable[..., tuple[Tensor, Tensor]] = _FusedCrossEntropy.apply
    return apply(hidden.flatten(0, 1), model.output_weight, model.output_bias, target_output.flatten(), label_smoothing)


def sentence_losses(model: Seq2Seq, batch: Batch, maps: AttentionMaps | None = None) -> Tensor:
    """(batch,) −log p of each target, EOS included, in nats, without label smoothing.

    `maps`: what the attention weights are appended to.
    """
    logits = model.project(model(batch, maps)).transpose(1, 2)
    return F.cross_entropy(logits, batch.target_output, ignore_index=PAD_ID, reduction="none").sum(dim=1)


class _FusedCrossEntropy(torch.autograd.Function):
    """Projection, softmax and loss in one, the gradient computed in place of the logits.

    ∂loss/∂logits = p − q is known as soon as p is, so that the one large tensor (tokens, vocab_size) is passed over
    four times and never copied; autograd keeps three of its size and passes over it about ten times.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float
    ) -> tuple[Tensor, Tensor]:
        if uses_bfloat16(len(hidden)):
            sums, gradients = _in_bfloat16(hidden, weight, bias, targets, label_smoothing)
        else:
            gradient = torch.addmm(bias, hidden, weight.t())
            sums = _gradient_in_place(gradient, targets, label_smoothing)
            gradients = gradient @ weight, gradient.t() @ hidden, gradient.sum(dim=0)
        ctx.save_for_backward(*gradients)
        smoothed, unsmoothed = sums
        ctx.mark_non_differentiable(unsmoothed)
        return smoothed, unsmoothed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale, _ = upstream
        hidden, weight, bias = ctx.saved_tensors
        return hidden * scale, weight * scale, bias * scale, None, None


def _gradient_in_place(logits: Tensor, targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The two losses of `logits` (tokens, vocab_size), which become the gradient of the first, p − q."""
    log_p = torch.log_softmax(logits, dim=-1, out=logits)
    real = targets != PAD_ID
    picked = log_p.gather(1, targets[:, None])[:, 0]
    spread = log_p.mean(dim=-1) if label_smoothing else 0.0
    losses = -(1.0 - label_smoothing) * picked - label_smoothing * spread
    gradient = log_p.exp_()
    if label_smoothing:
        gradient.sub_(label_smoothing / logits.shape[1])
    gradient.scatter_add_(1, targets[:, None], gradient.new_full((len(targets), 1), label_smoothing - 1.0))
    gradient.index_fill_(0, (~real).nonzero()[:, 0], 0.0)  # few rows; a mask would pass over all of them
    return losses.masked_fill(~real, 0.0).sum(), -picked.masked_fill(~real, 0.0).sum()


# Elements of a piece of the logits in float32: 8 MB, which the processor's caches hold.
_PIECE = 2**21


def _in_bfloat16(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Both losses, and the gradients of the first with respect to `hidden`, `weight` and `bias`.

    The three products have factors in bfloat16; softmax and loss are computed in float32, some rows at a time.
    """
    rows, factor, d_bias = rounded(hidden), rounded_weight(weight), torch.zeros_like(bias)
    targets = F.pad(targets, (0, len(rows) - len(targets)), value=PAD_ID)
    logits = rows @ factor.t()
    sums = torch.zeros(2)
    n_rows = max(1, _PIECE // len(factor))
    buffer = torch.empty(n_rows, len(factor))
    for piece, of_piece in zip(logits.split(n_rows), targets.split(n_rows), strict=True):
        gradient = buffer[: len(piece)].copy_(piece).add_(bias)
        sums += torch.stack(_gradient_in_place(gradient, of_piece, label_smoothing))
        d_bias += gradient.sum(dim=0)
        piece.copy_(gradient)
    smoothed, unsmoothed = sums
    return (smoothed, unsmoothed), ((logits @ factor)[: len(hidden)].float(), (logits.t() @ rows).float(), d_bias)

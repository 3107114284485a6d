"""Gates of heads that are learned with a price on each open one (Louizos et al. 2018, Voita et al. 2019)"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seq2attn.config.models import TransformerConfig
from seq2attn.data.loader import Loader
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import gated, heads_of
from seq2attn.training.loss import sentence_losses

# Temperature β and stretch γ, ζ of Louizos et al. 2018, section 4.
_BETA, _LOW, _HIGH = 2.0 / 3.0, -0.1, 1.1
_FIRST_LOG_ALPHA = 2.0
"""Gates start open: probability 0.97."""
_LEARNING_RATE = 0.1


def hard_concrete(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates min(1, max(0, s (ζ − γ) + γ)), s = σ((log u − log(1 − u) + log α) / β) (Louizos et al. 2018, eq. 10, 11).

    `uniform`: u, in (0, 1), of a shape that `log_alpha` (heads,) broadcasts to.
    """
    stretched = torch.sigmoid((uniform.logit() + log_alpha) / _BETA) * (_HIGH - _LOW) + _LOW
    return stretched.clamp(0.0, 1.0)


def open_probability(log_alpha: Tensor) -> Tensor:
    """The probability that a gate is not 0: σ(log α − β log(−γ / ζ)) (Louizos et al. 2018, eq. 12)."""
    return torch.sigmoid(log_alpha - _BETA * math.log(-_LOW / _HIGH))


def learn_gates(
    model: TransformerSeq2Seq,
    config: TransformerConfig,
    loader: Loader,
    price: float,
    n_steps: int,
    seed: int,
) -> Tensor:
    """(heads,) the probability with which each head's gate is open, after `n_steps` updates of the gates alone.

    Minimised is the loss in nats per target token, plus `price` for every gate by its probability to be open: a head
    stays open if it is worth more than `price` nats per token beside the others. Departures from Voita et al.: the
    weights stay as they are, so that the heads of this model are measured and not those of one trained further; and
    each sentence draws its own gates, which makes the gradient less noisy.
    """
    generator = torch.Generator().manual_seed(seed)
    log_alpha = torch.full((len(heads_of(config)),), _FIRST_LOG_ALPHA, requires_grad=True)
    optimizer = torch.optim.Adam([log_alpha], lr=_LEARNING_RATE)
    for _ in range(n_steps):
        (batch,) = loader.next_batches(1).batches
        uniform = torch.rand(len(batch.source_ids), len(log_alpha), generator=generator).clamp(1e-6, 1 - 1e-6)
        gates = hard_concrete(log_alpha, uniform).to(model.output_bias)
        with gated(model, gates):
            loss = sentence_losses(model, batch).sum() / batch.target_tokens
        total = loss.cpu() + price * open_probability(log_alpha).sum()
        (log_alpha.grad,) = torch.autograd.grad(total, log_alpha)
        optimizer.step()
    return open_probability(log_alpha).detach()

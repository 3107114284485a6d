"""The hand-written steps of `unrolled.py`: of an LSTM and of a GRU, forward and backward, and of softmax, backward.

Steps of cells take pre-activations; the weights belong to the caller. At the end, the tanh of additive attention, made
of exponentials that are computed once per sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """The state after one step, each tensor (batch, units)."""

    hidden: Tensor
    cell: Tensor | None
    """Of an LSTM; None for a GRU."""
    saved: LstmSaved | GruSaved
    """What the backward step needs."""


class StepGradients(NamedTuple):
    """Gradients of one step's inputs."""

    d_input: Tensor
    """(batch, gates · units), of the pre-activations from the input."""
    d_recurrent: Tensor
    """(batch, gates · units), of the pre-activations from the hidden state."""
    d_hidden: Tensor | None
    """(batch, units), of the hidden state before, without the part that flows through `d_recurrent`; None = zero."""
    d_cell: Tensor | None
    """(batch, units), of an LSTM's cell state before; None for a GRU."""


class LstmSaved(NamedTuple):
    """What `lstm_step_backward` needs."""

    gates: Tensor
    """(batch, 4 units), i f g o after their activations."""
    cell: Tensor
    """(batch, units), before the step."""
    squashed: Tensor
    """(batch, units), tanh of the cell state after it."""


class GruSaved(NamedTuple):
    """What `gru_step_backward` needs."""

    gates: Tensor
    """(batch, 2 units), r z after their activations."""
    recurrent_new: Tensor
    """(batch, units), the recurrent pre-activation of n, before the reset."""
    new: Tensor
    """(batch, units), n."""
    hidden: Tensor
    """(batch, units), before the step."""


def lstm_step(from_input: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor | None) -> Step:
    """c' = f c + i g, h' = o tanh c' (Hochreiter & Schmidhuber 1997, forget gates of Gers et al. 2000).

    `from_input`, `recurrent`: pre-activations (batch, 4 units) in PyTorch's order i f g o, biases included; only their
    sum matters. `hidden`, `cell`: (batch, units) before the step.
    """
    assert cell is not None
    units = hidden.shape[1]
    gates = from_input + recurrent
    gates[:, : 2 * units].sigmoid_()
    gates[:, 2 * units : 3 * units].tanh_()
    gates[:, 3 * units :].sigmoid_()
    i, f, g, o = gates.chunk(4, dim=1)
    after = torch.addcmul(f * cell, i, g)
    squashed = after.tanh()
    return Step(o * squashed, after, LstmSaved(gates, cell, squashed))


def lstm_step_backward(d_hidden: Tensor, d_cell: Tensor | None, saved: LstmSaved) -> StepGradients:
    """Gradients of `lstm_step` from those of its new hidden and cell state."""
    assert d_cell is not None
    gates, cell, squashed = saved
    i, f, g, o = gates.chunk(4, dim=1)
    d_after = torch.addcmul(d_cell, d_hidden * o, 1 - squashed * squashed)
    d_gates = torch.cat((d_after * g, d_after * cell, d_after * i, d_hidden * squashed), dim=1)
    slope = gates * (1 - gates)
    units = cell.shape[1]
    slope[:, 2 * units : 3 * units] = 1 - g * g
    d_gates *= slope
    return StepGradients(d_gates, d_gates, None, d_after * f)


def gru_step(from_input: Tensor, recurrent: Tensor, hidden: Tensor, _cell: Tensor | None) -> Step:
    """h' = (1 − z) n + z h, n = tanh(x_n + r h_n) (Cho et al. 2014, eq. 5 to 8).

    `from_input`, `recurrent`: pre-activations (batch, 3 units) in PyTorch's order r z n, biases included. `hidden`:
    (batch, units) before the step. Departure: the reset comes after the matrix product, as in PyTorch.
    """
    units = hidden.shape[1]
    gates = (from_input[:, : 2 * units] + recurrent[:, : 2 * units]).sigmoid_()
    reset, update = gates.chunk(2, dim=1)
    recurrent_new = recurrent[:, 2 * units :]
    new = torch.addcmul(from_input[:, 2 * units :], reset, recurrent_new).tanh_()
    after = torch.lerp(new, hidden, update)
    return Step(after, None, GruSaved(gates, recurrent_new, new, hidden))


def gru_step_backward(d_hidden: Tensor, _d_cell: Tensor | None, saved: GruSaved) -> StepGradients:
    """Gradients of `gru_step` from that of its new hidden state."""
    gates, recurrent_new, new, hidden = saved
    reset, update = gates.chunk(2, dim=1)
    d_new = d_hidden * (1 - update) * (1 - new * new)
    d_gates = torch.cat((d_new * recurrent_new, d_hidden * (hidden - new)), dim=1)
    d_gates *= gates * (1 - gates)
    d_input = torch.cat((d_gates, d_new), dim=1)
    d_recurrent = torch.cat((d_gates, d_new * reset), dim=1)
    return StepGradients(d_input, d_recurrent, d_hidden * update, None)


class Cell(NamedTuple):
    """A kind of recurrent cell. Each backward step takes what the step of the same kind saved."""

    step: Callable[[Tensor, Tensor, Tensor, Tensor | None], Step]
    step_backward: Callable[[Tensor, Tensor | None, Any], StepGradients]


CELLS = {"lstm": Cell(lstm_step, lstm_step_backward), "gru": Cell(gru_step, gru_step_backward)}


def softmax_backward(d_weights: Tensor, weights: Tensor) -> Tensor:
    """The gradient of scores (batch, source_len), given that of their softmax `weights`."""
    weighted = weights * d_weights
    return torch.addcmul(weighted, weights, weighted.sum(dim=1, keepdim=True), value=-1)


# e^2q e^2k stays within float32's range (3e38) where neither factor's exponent exceeds this: e^80 = 6e34.
_MAX_MAGNITUDE = 20.0


def exponentials_of(keys: Tensor) -> Tensor | None:
    """e^2k of `keys`, for `complement_of_tanh`; None where that is no faster (not on a CPU) or could overflow."""
    return torch.exp(2 * keys) if keys.device.type == "cpu" and _fits(keys) else None


def complement_of_exponentials(of_query: Tensor, of_keys: Tensor, out: Tensor | None = None) -> Tensor:
    """w = 1 / (1 + e^2q e^2k), which equals `complement_of_tanh`, of e^2q and e^2k, whose shapes broadcast."""
    return torch.addcmul(of_query.new_ones(()), of_query, of_keys, out=out).reciprocal_()


def complement_of_tanh(query: Tensor, keys: Tensor, exponentials: Tensor | None, out: Tensor | None = None) -> Tensor:
    """w = σ(−2 (q + k)) = (1 − tanh(q + k)) / 2 of `query` and `keys`, whose shapes broadcast.

    A softmax depends on differences of scores only, so −2 v · w may replace v · tanh(q + k); tanh' = 4 (w − w²).
    Given `exponentials` (e^2k), w = 1 / (1 + e^2q e^2k): on a CPU, tanh costs as much as thirty multiplications.
    """
    if exponentials is not None and _fits(query):
        return complement_of_exponentials(torch.exp(2 * query), exponentials, out)
    return torch.add(keys, query, out=out).mul_(-2).sigmoid_()


def _fits(tensor: Tensor) -> bool:
    return tensor.abs().max().item() < _MAX_MAGNITUDE

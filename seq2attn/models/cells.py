"""One step of an LSTM and of a GRU, forwards and backwards, from pre-activations; the weights belong to the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """One step of a cell."""

    hidden: Tensor
    """(batch, units)"""
    cell: Tensor
    """(batch, units); of an LSTM alone, the hidden state again for a GRU."""
    saved: tuple[Tensor, ...]
    """What the backward step needs."""


class StepGradients(NamedTuple):
    """Gradients of one step of a cell."""

    d_input: Tensor
    """Of the input's pre-activations."""
    d_recurrent: Tensor
    """Of the recurrent pre-activations."""
    d_hidden: Tensor | None
    """Of the hidden state before, by ways other than the recurrent pre-activations."""
    d_cell: Tensor
    """Of the cell state before."""


def lstm_step(from_input: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor) -> Step:
    """c' = f c + i g, h' = o tanh c' (Hochreiter & Schmidhuber 1997, with forget gates; PyTorch's order i f g o).

    `from_input`, `recurrent`: pre-activations (batch, 4 units), biases included; their sum is what counts.
    """
    units = hidden.shape[1]
    gates = from_input + recurrent
    gates[:, : 2 * units].sigmoid_()
    gates[:, 2 * units : 3 * units].tanh_()
    gates[:, 3 * units :].sigmoid_()
    i, f, g, o = gates.chunk(4, dim=1)
    after = torch.addcmul(f * cell, i, g)
    squashed = after.tanh()
    return Step(o * squashed, after, (gates, cell, squashed))


def lstm_step_backward(d_hidden: Tensor, d_cell: Tensor, saved: tuple[Tensor, ...]) -> StepGradients:
    """Gradients of `lstm_step` from those of its new hidden and cell state."""
    gates, cell, squashed = saved
    i, f, g, o = gates.chunk(4, dim=1)
    d_after = torch.addcmul(d_cell, d_hidden * o, 1 - squashed * squashed)
    d_gates = torch.cat((d_after * g, d_after * cell, d_after * i, d_hidden * squashed), dim=1)
    slope = gates * (1 - gates)
    units = cell.shape[1]
    slope[:, 2 * units : 3 * units] = 1 - g * g
    d_gates *= slope
    return StepGradients(d_gates, d_gates, None, d_after * f)


def gru_step(from_input: Tensor, recurrent: Tensor, hidden: Tensor, _cell: Tensor) -> Step:
    """h' = (1 − z) n + z h, n = tanh(x_n + r h_n) (Cho et al. 2014; PyTorch's order r z n, reset after the product).

    `from_input`, `recurrent`: pre-activations (batch, 3 units), biases included.
    """
    units = hidden.shape[1]
    gates = (from_input[:, : 2 * units] + recurrent[:, : 2 * units]).sigmoid_()
    reset, update = gates.chunk(2, dim=1)
    recurrent_new = recurrent[:, 2 * units :]
    new = torch.addcmul(from_input[:, 2 * units :], reset, recurrent_new).tanh_()
    after = torch.lerp(new, hidden, update)
    return Step(after, after, (gates, recurrent_new, new, hidden))


def gru_step_backward(d_hidden: Tensor, d_cell: Tensor, saved: tuple[Tensor, ...]) -> StepGradients:
    """Gradients of `gru_step` from that of its new hidden state."""
    gates, recurrent_new, new, hidden = saved
    reset, update = gates.chunk(2, dim=1)
    d_new = d_hidden * (1 - update) * (1 - new * new)
    d_gates = torch.cat((d_new * recurrent_new, d_hidden * (hidden - new)), dim=1)
    d_gates *= gates * (1 - gates)
    d_input = torch.cat((d_gates, d_new), dim=1)
    d_recurrent = torch.cat((d_gates, d_new * reset), dim=1)
    return StepGradients(d_input, d_recurrent, d_hidden * update, torch.zeros_like(d_cell))


CellStep = Callable[[Tensor, Tensor, Tensor, Tensor], Step]
CellBackward = Callable[[Tensor, Tensor, tuple[Tensor, ...]], StepGradients]
CELLS: dict[str, tuple[CellStep, CellBackward]] = {
    "lstm": (lstm_step, lstm_step_backward),
    "gru": (gru_step, gru_step_backward),
}

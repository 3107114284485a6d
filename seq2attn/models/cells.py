"""Recurrent cells by hand: a step for inference, and for training all steps of a layer, forward and backward.

At the end, the backward pass of softmax, and the tanh of additive attention, made of exponentials that are computed
once per sentence. The weights belong to the caller.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2attn.models.products import linear, weight_gradient


class Step(NamedTuple):
    """The state after one step, each tensor (batch, units)."""

    hidden: Tensor
    cell: Tensor | None
    """Of an LSTM; None for a GRU."""


def lstm_step(from_input: Tensor, recurrent: Tensor, _hidden: Tensor, cell: Tensor | None) -> Step:
    """c' = f c + i g, h' = o tanh c' (Hochreiter & Schmidhuber 1997, forget gates of Gers et al. 2000).

    `from_input`, `recurrent`: pre-activations (batch, 4 units) in PyTorch's order i f g o, biases included; only their
    sum matters. `cell`: (batch, units) before the step.
    """
    assert cell is not None
    i, f, g, o = (from_input + recurrent).chunk(4, dim=1)
    after = torch.addcmul(f.sigmoid() * cell, i.sigmoid(), g.tanh())
    return Step(o.sigmoid() * after.tanh(), after)


def gru_step(from_input: Tensor, recurrent: Tensor, hidden: Tensor, _cell: Tensor | None) -> Step:
    """h' = (1 − z) n + z h, n = tanh(x_n + r h_n) (Cho et al. 2014, eq. 5 to 8).

    `from_input`, `recurrent`: pre-activations (batch, 3 units) in PyTorch's order r z n, biases included. `hidden`:
    (batch, units) before the step. Departure: the reset comes after the matrix product, as in PyTorch.
    """
    units = hidden.shape[1]
    reset, update = (from_input[:, : 2 * units] + recurrent[:, : 2 * units]).sigmoid_().chunk(2, dim=1)
    new = torch.addcmul(from_input[:, 2 * units :], reset, recurrent[:, 2 * units :]).tanh_()
    return Step(torch.lerp(new, hidden, update), None)


STEPS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor | None], Step]] = {"lstm": lstm_step, "gru": gru_step}


class Recurrence(ABC):
    """All steps of one layer over a batch, the last axis of its tensors being `units` or a multiple of it.

    Each position takes few operations: its results go to memory allocated once, and the backward pass first computes,
    of all positions together, what does not depend on gradients.

    Gradients add up from right to left: call `step_backward` of the last position first.
    """

    def __init__(
        self, length: int, hidden: Tensor, cell: Tensor | None, w_recurrent: Tensor, b_recurrent: Tensor
    ) -> None:
        """`hidden`, `cell`: (batch, units) before the first position. `w_recurrent`: (gates · units, units)."""
        self._units = hidden.shape[1]
        self._w_recurrent, self._b_recurrent = w_recurrent, b_recurrent
        # Small products are faster with weights that are contiguous in the order of use.
        self._w_by_unit = w_recurrent.t().contiguous()
        self.hiddens = self._all(length + 1, hidden)
        """(1 + length, batch, units); the first one is the initial state."""
        self.hiddens[0] = hidden
        self._hidden = self.hiddens.unbind(0)
        self.d_cell: Tensor | None = None
        """(batch, units), the gradient of an LSTM's cell state before the positions so far."""
        self._allocate(length, hidden, cell)

    @abstractmethod
    def _allocate(self, length: int, hidden: Tensor, cell: Tensor | None) -> None:
        """Take memory for what `step` computes."""

    @abstractmethod
    def step(self, position: int, from_input: Tensor) -> Tensor:
        """The hidden state (batch, units) after `position`, whose input gives the pre-activations `from_input`."""

    @abstractmethod
    def start_backward(self) -> None:
        """Prepare the backward pass, after the last step."""

    @abstractmethod
    def step_backward(self, position: int, d_hidden: Tensor, d_before: Tensor) -> Tensor:
        """The gradient (batch, units) of the hidden state before `position`: `d_before` and what the cell adds.

        `d_hidden`: that of the state after it. Sets `d_input[position]`.
        """

    d_input: list[Tensor]
    """For each position, (batch, gates · units), the gradient of `from_input`."""

    @abstractmethod
    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of `from_input` of all positions (length, batch, gates · units), of `w_recurrent` and of `b_recurrent`."""

    def _all(self, length: int, like: Tensor, width: int = 1) -> Tensor:
        """Memory (length, batch, width · units)."""
        return like.new_empty(length, like.shape[0], width * self._units)


class LstmRecurrence(Recurrence):
    """The steps of `lstm_step`."""

    def _allocate(self, length: int, hidden: Tensor, cell: Tensor | None) -> None:
        assert cell is not None
        self._gates, self._cells = self._all(length, hidden, 4), self._all(length + 1, hidden)
        self._squashed = self._all(length, hidden)
        self._cells[0] = cell

    def step(self, position: int, from_input: Tensor) -> Tensor:
        """The state after `lstm_step`."""
        units, gates, squashed = self._units, self._gates[position], self._squashed[position]
        torch.addmm(self._b_recurrent, self._hidden[position], self._w_by_unit, out=gates).add_(from_input)
        i_f, g, o = gates.split([2 * units, units, units], dim=1)
        i, f = i_f.sigmoid_().chunk(2, dim=1)
        after = torch.addcmul(f * self._cells[position], i, g.tanh_(), out=self._cells[position + 1])
        torch.tanh(after, out=squashed)
        return torch.mul(o.sigmoid_(), squashed, out=self._hidden[position + 1])

    def start_backward(self) -> None:
        """Compute the slopes of all gates."""
        self.d_cell = torch.zeros_like(self._cells[0])
        i, f, g, o = self._gates.chunk(4, dim=2)
        self._d_gates = torch.empty_like(self._gates)
        # Of each gate's pre-activation: what the gradient of the state it acts on is multiplied by.
        for part, gate, slope, factor in zip(
            self._d_gates.chunk(4, dim=2),
            (i, f, i, o),
            (1 - i, 1 - f, 1 - g * g, 1 - o),
            (g, self._cells[:-1], None, self._squashed),
            strict=True,
        ):
            torch.mul(gate, slope, out=part)
            if factor is not None:
                part *= factor
        self._through_tanh = (o * (1 - self._squashed * self._squashed)).unbind(0)
        self._forget = f.unbind(0)
        self.d_input = list(self._d_gates.unbind(0))

    def step_backward(self, position: int, d_hidden: Tensor, d_before: Tensor) -> Tensor:
        """The same with the gradient of the cell state, which it keeps."""
        assert self.d_cell is not None
        d_gates = self.d_input[position].unflatten(1, (4, -1))
        d_after = torch.addcmul(self.d_cell, d_hidden, self._through_tanh[position])
        d_gates[:, :3] *= d_after[:, None]
        d_gates[:, 3] *= d_hidden
        self.d_cell = d_after * self._forget[position]
        return torch.addmm(d_before, self.d_input[position], self._w_recurrent)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of `from_input` is that of the recurrent product too."""
        return self._d_gates, weight_gradient(self._d_gates, self.hiddens[:-1]), self._d_gates.sum(dim=(0, 1))


class GruRecurrence(Recurrence):
    """The steps of `gru_step`."""

    def _allocate(self, length: int, hidden: Tensor, cell: Tensor | None) -> None:
        self._recurrent, self._gates = self._all(length, hidden, 3), self._all(length, hidden, 2)
        self._new = self._all(length, hidden)
        self._reset, self._update = (part.unbind(0) for part in self._gates.chunk(2, dim=2))

    def step(self, position: int, from_input: Tensor) -> Tensor:
        """The state after `gru_step`."""
        units, hidden = self._units, self._hidden[position]
        recurrent = torch.addmm(self._b_recurrent, hidden, self._w_by_unit, out=self._recurrent[position])
        torch.add(from_input[:, : 2 * units], recurrent[:, : 2 * units], out=self._gates[position]).sigmoid_()
        from_input, recurrent, new = from_input[:, 2 * units :], recurrent[:, 2 * units :], self._new[position]
        torch.addcmul(from_input, self._reset[position], recurrent, out=new).tanh_()
        return torch.lerp(new, hidden, self._update[position], out=self._hidden[position + 1])

    def start_backward(self) -> None:
        """Compute what the gradient of each state is multiplied by."""
        units = self._units
        reset, update = self._gates.chunk(2, dim=2)
        # Of the pre-activations h_n, r, z and x_n: what the gradient of the hidden state is multiplied by. Its first
        # three are those of the recurrent product, its last three those of the input, and both are contiguous.
        self._d_all = self._all(len(self._new), self._new[0], 4)
        of_recurrent_new, of_reset, of_update, of_new = self._d_all.chunk(4, dim=2)
        torch.mul(1 - update, 1 - self._new * self._new, out=of_new)
        torch.mul(of_new, reset, out=of_recurrent_new)
        torch.mul(of_recurrent_new, 1 - reset, out=of_reset).mul_(self._recurrent[:, :, 2 * units :])
        torch.sub(self.hiddens[:-1], self._new, out=of_update).mul_(update * (1 - update))
        self._d_recurrent, self.d_input = (
            list(part.unbind(0)) for part in (self._d_all[:, :, : 3 * units], self._d_all[:, :, units:])
        )
        self._factors = self._d_all.unflatten(2, (4, units)).unbind(0)
        self._w_new_first = self._w_recurrent.roll(units, dims=0)

    def step_backward(self, position: int, d_hidden: Tensor, d_before: Tensor) -> Tensor:
        """One product; all else is a multiple of `d_hidden`."""
        self._factors[position].mul_(d_hidden[:, None])
        d_kept = torch.addcmul(d_before, d_hidden, self._update[position])
        return torch.addmm(d_kept, self._d_recurrent[position], self._w_new_first)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Those of the recurrent product have h_n first, and PyTorch has it last."""
        units = self._units
        d_recurrent = self._d_all[:, :, : 3 * units]
        d_weight, d_bias = weight_gradient(d_recurrent, self.hiddens[:-1]), d_recurrent.sum(dim=(0, 1))
        return self._d_all[:, :, units:], d_weight.roll(-units, dims=0), d_bias.roll(-units, dims=0)


RECURRENCES: dict[str, type[Recurrence]] = {"lstm": LstmRecurrence, "gru": GruRecurrence}


def gru_layer(layer: nn.GRU, inputs: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What `layer` returns for `inputs` (batch, length, d_input) and the state `before`, (1, batch, units) or zeros.

    On CPUs its backward pass is faster: it does not add to the weights' gradients at each position.
    """
    # Small products in sequence gain nothing from low precision, and errors would add up over the positions.
    with torch.autocast(inputs.device.type, enabled=False):
        w_input, w_recurrent, b_input, b_recurrent = layer.parameters()
        inputs = inputs.to(w_input.dtype).transpose(0, 1)
        first = inputs.new_zeros(inputs.shape[1], layer.hidden_size) if before is None else before[0]
        run: Callable[..., Tensor] = _GruLayer.apply
        states = run(linear(inputs, w_input, b_input), first.to(inputs.dtype), w_recurrent, b_recurrent)
        return states.transpose(0, 1), states[-1:]


class _GruLayer(torch.autograd.Function):
    """Hidden states (length, batch, units).

    Of pre-activations from the input (length, batch, 3 units), the hidden state before the first position (batch,
    units), and weights (3 units, units) and bias of the recurrent product.
    """

    @staticmethod
    def forward(ctx: Any, from_inputs: Tensor, hidden: Tensor, w_recurrent: Tensor, b_recurrent: Tensor) -> Tensor:
        ctx.cells = cells = GruRecurrence(len(from_inputs), hidden, None, w_recurrent, b_recurrent)
        for position, from_input in enumerate(from_inputs.unbind(0)):
            cells.step(position, from_input)
        return cells.hiddens[1:].clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, ...]:
        d_hiddens = upstream[0].unbind(0)
        cells: GruRecurrence = ctx.cells
        cells.start_backward()
        d_hidden, d_before_first = d_hiddens[-1], torch.zeros_like(d_hiddens[0])
        for position in reversed(range(len(d_hiddens))):
            d_before = d_hiddens[position - 1] if position else d_before_first
            d_hidden = cells.step_backward(position, d_hidden, d_before)
        d_inputs, d_weight, d_bias = cells.gradients()
        return d_inputs, d_hidden, d_weight, d_bias


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

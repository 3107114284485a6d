"""Recurrent layers: PyTorch's fused ones where they are fast, else those of `cells.py`"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seq2attn.models.cells import STEPS, gru_layer
from seq2attn.models.embedding import VariationalDropout
from seq2attn.models.products import linear, uses_bfloat16

RecurrentState = tuple[Tensor, ...]
"""(hidden,) of a GRU or (hidden, cell) of an LSTM: (batch, units) of one layer, (batch, n_layers, units) of several."""


def recurrent_layer(kind: str, d_input: int, units: int) -> nn.GRU | nn.LSTM:
    """One layer of PyTorch's fused LSTM or GRU, initialised to train fast.

    Each gate's recurrent matrix starts orthogonal (Saxe et al. 2014), the input matrices as Glorot & Bengio 2010; an
    LSTM's forget gates start open (bias 1, Jozefowicz et al. 2015).
    """
    layer = (nn.LSTM if kind == "lstm" else nn.GRU)(d_input, units, batch_first=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            for gate in parameter.detach().split(units):
                (nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_)(gate)
        else:
            nn.init.zeros_(parameter)
            if kind == "lstm" and name.startswith("bias_ih"):
                nn.init.ones_(parameter.detach()[units : 2 * units])
    return layer


def whole_sequence(layer: nn.Module, inputs: Tensor, before: RecurrentState) -> tuple[Tensor, RecurrentState]:
    """States (batch, length, units) of `layer` over `inputs` (batch, length, d_input), and the state after them."""
    first = tuple(part[None].contiguous() for part in before)
    states, last = run_layer(layer, inputs, first if len(first) > 1 else first[0])
    return states, tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))


def run_layer(layer: nn.Module, inputs: Tensor, *before: Any) -> Any:
    """What `layer` returns for `inputs` (batch, length, d_input), in float32."""
    trains_on_cpu = layer.training and inputs.device.type == "cpu" and not torch.compiler.is_compiling()
    if isinstance(layer, nn.GRU) and trains_on_cpu:
        return gru_layer(layer, inputs, *before)
    if not (isinstance(layer, nn.LSTM) and uses_bfloat16(inputs.shape[0] * inputs.shape[1])):
        return layer(inputs, *before)
    # Of PyTorch's recurrent kernels for CPUs, only this one has products in bfloat16.
    with torch.autocast("cpu", torch.bfloat16):
        states, last = layer(inputs, *before)
    return states.float(), tuple(part.float() for part in last)


def one_step(layer: nn.Module, inputs: Tensor, before: RecurrentState) -> tuple[Tensor, RecurrentState]:
    """The same for length 1, without gradients; faster, because the fused kernel prepares its weights at each call."""
    w_input, w_recurrent, b_input, b_recurrent = layer.parameters()
    hidden, cell = before if len(before) > 1 else (before[0], None)
    from_input, recurrent = linear(inputs[:, 0], w_input, b_input), linear(hidden, w_recurrent, b_recurrent)
    step = STEPS["lstm" if isinstance(layer, nn.LSTM) else "gru"]
    hidden, cell = step(from_input, recurrent, hidden, cell)
    return hidden[:, None, :], (hidden,) if cell is None else (hidden, cell)


class RecurrentStack(nn.Module):
    """Layers of recurrent cells that read from left to right."""

    def __init__(self, kind: str, d_input: int, units: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.units = units
        self.layers = nn.ModuleList(
            recurrent_layer(kind, d_input if index == 0 else units, units) for index in range(n_layers)
        )
        self.dropout = VariationalDropout(dropout)

    def draw_dropout_masks(self, like: Tensor) -> list[Tensor]:
        """Dropout masks (batch, 1, units) for the input of each layer after the first, the same at all positions."""
        ones = like.new_ones(like.shape[0], 1, self.units)
        return [self.dropout(ones) for _ in self.layers[1:]]

    def forward(self, inputs: Tensor, state: RecurrentState, masks: list[Tensor]) -> tuple[Tensor, RecurrentState]:
        """States (batch, length, units) of the top layer over `inputs` (batch, length, d_input), and the last state."""
        after: list[RecurrentState] = []
        for index, layer in enumerate(self.layers):
            if index > 0:
                inputs = inputs * masks[index - 1]
            before = tuple(part[:, index] for part in state)
            if inputs.shape[1] == 1 and not torch.is_grad_enabled():
                inputs, last = one_step(layer, inputs, before)
            else:
                inputs, last = whole_sequence(layer, inputs, before)
            after.append(last)
        return inputs, tuple(torch.stack(parts, dim=1) for parts in zip(*after, strict=True))

"""Matrix products in bfloat16: their factors are rounded to eight bits of mantissa; sums and all else stay float32

On accelerators PyTorch's autocast does that. On a CPU it converts all that lies between products as well, compiles new
kernels for every number of rows, and has no fast bfloat16 kernel for the backward pass of attention; there the modules
here do it, whose inputs and outputs are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_IN_BFLOAT16 = ContextVar("_IN_BFLOAT16", default=False)

# oneDNN compiles kernels for each shape, which takes milliseconds, and keeps 1,024 of them.
_ROWS = 64
# Below, rounding takes longer than is gained.
_MIN_ROWS = 128


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision` (of `TrainConfig`) on an accelerator; on a CPU it changes nothing.

    Micikevicius et al. 2018 do so with float16; bfloat16 has the range of float32 and needs no loss scaling.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16" and device.type != "cpu")


@contextmanager
def products_in(precision: str, device: torch.device) -> Iterator[None]:
    """The context of forward and backward pass in `precision` (of `TrainConfig`) on a CPU; elsewhere `autocast` is."""
    token = _IN_BFLOAT16.set(precision == "bfloat16" and device.type == "cpu")
    try:
        yield
    finally:
        _IN_BFLOAT16.reset(token)


def uses_bfloat16(n_rows: int) -> bool:
    """Whether products with `n_rows` rows are computed in bfloat16 here; in compiled code autocast alone does that."""
    return not torch.compiler.is_compiling() and _IN_BFLOAT16.get() and n_rows >= _MIN_ROWS


def rounded(rows: Tensor) -> Tensor:
    """(m, d) the `rows` (n, d) in bfloat16, followed by rows of zeros so that there are few different m."""
    n = len(rows)
    padded = torch.empty(-(-n // _ROWS) * _ROWS, rows.shape[1], dtype=torch.bfloat16, device=rows.device)
    padded[:n] = rows
    padded[n:] = 0.0
    return padded


class Linear(nn.Linear):
    """PyTorch's layer, whose products are those of the context."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., d_out) of `inputs` (..., d_in)."""
        return linear(inputs, self.weight, self.bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., d_out) inputs W^T + b."""
    if not uses_bfloat16(inputs.numel() // inputs.shape[-1]):
        return F.linear(inputs, weight, bias)
    apply: Callable[..., Tensor] = _Bfloat16Linear.apply
    outputs = apply(inputs.flatten(0, -2), weight).view(*inputs.shape[:-1], weight.shape[0])
    return outputs if bias is None else outputs + bias


def weight_gradient(d_outputs: Tensor, inputs: Tensor) -> Tensor:
    """The gradient of W in output = W input: d_output ⊗ input, summed over all but the last dimension."""
    d_rows, rows = d_outputs.flatten(0, -2), inputs.flatten(0, -2)
    if not uses_bfloat16(len(rows)):
        return d_rows.t() @ rows
    return (rounded(d_rows).t() @ rounded(rows)).float()


class _Bfloat16Linear(torch.autograd.Function):
    """inputs W^T, each factor rounded once for both passes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        rows, factor = rounded(inputs), weight.bfloat16()
        ctx.save_for_backward(rows, factor)
        return (rows @ factor.t())[: len(inputs)].float()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor]:
        (d_outputs,) = upstream
        rows, factor = ctx.saved_tensors
        d_rows = rounded(d_outputs)
        return (d_rows @ factor)[: len(d_outputs)].float(), (d_rows.t() @ rows).float()

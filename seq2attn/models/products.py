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

_ROUNDED: ContextVar[dict[Tensor, Tensor] | None] = ContextVar("_ROUNDED", default=None)
"""In bfloat16, the weights that have been rounded in the context; None = in float32."""

_MIN_PADDED = 32
# Below, rounding takes longer than is gained.
_MIN_ROWS = 128


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision` (of `TrainConfig`) on an accelerator; on a CPU it changes nothing.

    Micikevicius et al. 2018 do so with float16; bfloat16 has the range of float32 and needs no loss scaling.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16" and device.type != "cpu")


@contextmanager
def products_in(precision: str, device: torch.device) -> Iterator[None]:
    """The context of a pass in `precision` on a CPU; elsewhere `autocast` is. Weights must not change within it."""
    token = _ROUNDED.set({} if precision == "bfloat16" and device.type == "cpu" else None)
    try:
        yield
    finally:
        _ROUNDED.reset(token)


def uses_bfloat16(n_rows: int) -> bool:
    """Whether products with `n_rows` rows are computed in bfloat16 here; in compiled code autocast alone does that."""
    return not torch.compiler.is_compiling() and _ROUNDED.get() is not None and n_rows >= _MIN_ROWS


def rounded(rows: Tensor) -> Tensor:
    """(m, d) the `rows` (n, d) in bfloat16, followed by up to an eighth of rows of zeros, or up to 31 of them.

    So there are eight m for each doubling of n. oneDNN compiles a kernel for each shape, which takes milliseconds.
    """
    n = len(rows)
    step = max(_MIN_PADDED, 2 ** (n.bit_length() - 4))
    padded = torch.empty(-(-n // step) * step, rows.shape[1], dtype=torch.bfloat16, device=rows.device)
    padded[:n] = rows
    padded[n:] = 0.0
    return padded


def rounded_weight(weight: Tensor) -> Tensor:
    """`weight` in bfloat16, rounded once in each context."""
    kept = _ROUNDED.get()
    assert kept is not None
    if weight not in kept:
        kept[weight] = weight.detach().bfloat16()
    return kept[weight]


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
    return apply(inputs.flatten(0, -2), weight, bias).view(*inputs.shape[:-1], weight.shape[0])


def weight_gradient(d_outputs: Tensor, inputs: Tensor) -> Tensor:
    """The gradient of W in output = W input: d_output ⊗ input, summed over all but the last dimension."""
    d_rows, rows = d_outputs.flatten(0, -2), inputs.flatten(0, -2)
    if not uses_bfloat16(len(rows)):
        return d_rows.t() @ rows
    return (rounded(d_rows).t() @ rounded(rows)).float()


class _Bfloat16Linear(torch.autograd.Function):
    """inputs W^T + b, each factor rounded once for both passes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, factor = rounded(inputs), rounded_weight(weight)
        ctx.save_for_backward(rows, factor)
        outputs = (rows @ factor.t())[: len(inputs)].float()
        return outputs if bias is None else outputs.add_(bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (d_outputs,) = upstream
        rows, factor = ctx.saved_tensors
        d_rows = rounded(d_outputs)
        d_bias = d_outputs.sum(dim=0) if ctx.needs_input_grad[2] else None
        return (d_rows @ factor)[: len(d_outputs)].float(), (d_rows.t() @ rows).float(), d_bias

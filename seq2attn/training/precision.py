"""In which numbers training computes: float32, or bfloat16 where that is exact enough and the device has it."""

from __future__ import annotations

import torch


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision` (of `TrainConfig`); weights, gradients and optimizer stay float32.

    With bfloat16 PyTorch computes products in it, and sums, softmax and loss in float32 (Micikevicius et al. 2018
    did so with float16; bfloat16 has the range of float32, so that no loss scaling is needed).
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def allow_tf32(device: torch.device) -> None:
    """Let float32 products on CUDA round their factors to TF32 (10 bits of mantissa), eight times as fast."""
    if device.type == "cuda" and not torch.are_deterministic_algorithms_enabled():
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True

"""Precision of matrix products: what `auto` stands for on a machine, and what bfloat16 needs of its process"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch

from seq2attn.device import bfloat16_instruction, environment_default
from seq2attn.models.build import ONEDNN_CAPACITY

Precision = Literal["float32", "bfloat16"]

_MIN_RATIO = 1.5
_MIN_SLOWNESS = 1.2
_REPEATS = 3

# A product's kernel takes milliseconds to compile for each shape. With the few that `build_model` lets oneDNN keep,
# every update would compile; with more than this, LSTM layers, whose kernels hold memory, could fill gigabytes.
_MANY_KERNELS = "1024"


def resolve_precision(asked: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """`asked`, or what `auto` stands for."""
    return fastest_precision(device) if asked == "auto" else asked


def fastest_precision(device: torch.device) -> Precision:
    """The faster one on `device`: bfloat16 where a product takes less than two thirds of its time in float32.

    That is measured, in about 50 ms, on CPUs that have instructions for it. A CUDA device is asked.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu" or not bfloat16_instruction():
        return "float32"
    ratio = _seconds_of_product(torch.float32) / _seconds_of_product(torch.bfloat16)
    return "bfloat16" if ratio > _MIN_RATIO else "float32"


def slowness(precision: Literal["auto"] | Precision, device: torch.device) -> str | None:
    """What to tell the user where products in `precision` take longer than in float32; None elsewhere.

    That is measured on CPUs without instructions for bfloat16, which emulate it.
    """
    if precision != "bfloat16" or device.type != "cpu" or bfloat16_instruction():
        return None
    ratio = _seconds_of_product(torch.bfloat16) / _seconds_of_product(torch.float32)
    if ratio < _MIN_SLOWNESS:
        return None
    return f"bfloat16 products take {ratio:.1f} times as long as float32 here; `auto` takes the faster of the two"


def _seconds_of_product(dtype: torch.dtype) -> float:
    """The shortest of some products as large as a vocabulary's projection."""
    left, right = (torch.ones(shape, dtype=dtype) for shape in ((512, 256), (256, 4096)))
    times: list[float] = []
    for _ in range(1 + _REPEATS):
        started = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - started)
    return min(times[1:])


@contextmanager
def kept_kernels(device: torch.device, *precisions: str) -> Iterator[None]:
    """Let oneDNN keep more kernels where one of `precisions` needs them, unless the environment says how many.

    oneDNN reads the number when the process first uses it.
    """
    rounds = "bfloat16" in precisions or ("auto" in precisions and bfloat16_instruction())
    keeps = environment_default(ONEDNN_CAPACITY, _MANY_KERNELS) if device.type == "cpu" and rounds else nullcontext()
    with keeps:
        yield

"""The forms of attention that the study `cost` compares, as functions of queries, keys and values"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from seq2attn.evaluation.resampling import SEED
from seq2attn.models.efficient import linear_attention, windowed_attention

WINDOW = 128
"""Keys that a query of the sliding window sees on either side."""
BLOCK = 64
SEEN_BLOCKS = 4
"""Blocks of keys that a query of block-sparse attention sees: about as many keys as in the window."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The context of queries, keys and values, all (batch, heads, length, d_head)."""
Family = Literal["explicit", "fused", "linear"]
"""What the claims say of it: computes all weights; never holds them; sees fewer keys or needs no weights."""


@dataclass(frozen=True)
class Kernel:
    """One form of attention."""

    name: str
    family: Family | None
    """None: no claim is made about it."""
    build: Callable[[int, torch.device], Attend]
    """What depends on the length and the device is made once, before the time is measured."""


_BACK_ENDS = {
    SDPBackend.MATH: "SDPA math",
    SDPBackend.FLASH_ATTENTION: "SDPA flash",
    SDPBackend.EFFICIENT_ATTENTION: "SDPA memory-efficient",
    SDPBackend.CUDNN_ATTENTION: "SDPA cuDNN",
}


def kernels_of(device: torch.device, dtype: torch.dtype) -> Iterator[Kernel]:
    """Those that `device` has, in the order of tables and figures."""
    yield Kernel("explicit", "explicit", _always(explicit_attention))
    for back_end, name in _BACK_ENDS.items():
        if _has(back_end, device, dtype):
            yield Kernel(name, "fused" if back_end != SDPBackend.MATH else None, _sdpa(back_end))
    if device.type == "cuda":  # on a CPU it has no backward pass
        yield Kernel("FlexAttention", "fused", partial(_flex_attention, False))
        yield Kernel("FlexAttention, window", "linear", partial(_flex_attention, True))
    yield Kernel("sliding window", "linear", _always(_sliding_window))
    yield Kernel("block-sparse", "linear", _block_sparse)
    yield Kernel("linear attention", "linear", _always(linear_attention))


def explicit_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √d) V, operation by operation (Vaswani et al. 2017, eq. 1)."""
    return (query @ keys.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=-1) @ values


def _always(attend: Attend) -> Callable[[int, torch.device], Attend]:
    """Builds `attend` for every length and device."""

    def build(*_: object) -> Attend:
        return attend

    return build


def _sdpa(back_end: SDPBackend) -> Callable[[int, torch.device], Attend]:
    def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        with sdpa_kernel(back_end):
            return F.scaled_dot_product_attention(query, keys, values)

    return _always(attend)


def _has(back_end: SDPBackend, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `back_end` runs on `device`, forward and backward."""
    tensor = torch.ones(1, 1, 64, 64, device=device, dtype=dtype, requires_grad=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they say why not
            _sdpa(back_end)(64, device)(tensor, tensor, tensor).sum().backward()
    except RuntimeError:
        return False
    return True


def _flex_attention(in_window: bool, length: int, device: torch.device) -> Attend:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def is_near(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query - key).abs() <= WINDOW

    mask = create_block_mask(is_near, None, None, length, length, device=str(device)) if in_window else None
    compiled = torch.compile(flex_attention)
    return lambda query, keys, values: compiled(query, keys, values, block_mask=mask)


def _sliding_window(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return windowed_attention(query, keys, values, WINDOW)


def _block_sparse(length: int, device: torch.device) -> Attend:
    seen = torch.from_numpy(seen_blocks(length // BLOCK)).to(device)
    return lambda query, keys, values: block_sparse_attention(query, keys, values, seen)


def seen_blocks(n_blocks: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(n_blocks, seen) the blocks of keys that each block of queries sees: itself, the first one, and random ones.

    After Zaheer et al. 2020, section 2. Departure: the first block does not see all others, and there is no window.
    """
    rng = np.random.default_rng(SEED)
    size = min(SEEN_BLOCKS, n_blocks)
    rows = []
    for block in range(n_blocks):
        fixed = sorted({0, block})
        others = [other for other in range(n_blocks) if other not in fixed]
        rows.append(sorted([*fixed, *rng.choice(others, size - len(fixed), replace=False).tolist()]))
    return np.array(rows, dtype=np.int64)


def block_sparse_attention(query: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """The context of queries that see all keys of the blocks `seen` (n_blocks, seen) by theirs, and no others."""
    batch = query.shape[0]
    size = query.shape[2] // len(seen)
    blocks = query.unflatten(2, (-1, size)).flatten(0, 1)
    chosen = (
        tensor.unflatten(2, (-1, size))[:, :, seen].flatten(3, 4).flatten(0, 1)  # (batch · heads, n_blocks, keys, d)
        for tensor in (keys, values)
    )
    context = F.scaled_dot_product_attention(blocks, *chosen)
    return context.unflatten(0, (batch, -1)).flatten(2, 3)

"""The weights of a model in few bytes: in 32 or 16 bits, or in 8 with a factor for each row"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Precision = Literal["float32", "float16", "int8"]
BITS: Mapping[Precision, int] = {"float32": 32, "float16": 16, "int8": 8}

_ALIGNMENT = 4  # bytes; a page reads 32-bit floats at multiples of their size
_LARGEST = 127  # of 8 bits, with as many levels below zero as above
_LARGEST_HALF = float(np.finfo(np.float16).max)


class PackedTensor(TypedDict):
    """Where a tensor lies in the bytes."""

    offset: int
    """In bytes, a multiple of 4."""
    shape: list[int]
    precision: Precision


@dataclass(frozen=True)
class PackedWeights:
    """Tensors as bytes, little-endian, each row after row."""

    bytes: bytes
    tensors: dict[str, PackedTensor]
    """By name; tied weights are stored once and have the same offset."""


def pack(weights: Mapping[str, Tensor], precision: Precision) -> PackedWeights:
    """The `weights`, matrices in `precision` and vectors, which are few, in 32 bits."""
    written = bytearray()
    packed: dict[str, PackedTensor] = {}
    stored: dict[int, PackedTensor] = {}  # by address
    for name, tensor in weights.items():
        if tensor.data_ptr() not in stored:
            of_tensor = _precision_of(tensor.ndim, precision)
            stored[tensor.data_ptr()] = PackedTensor(offset=len(written), shape=list(tensor.shape), precision=of_tensor)
            written += _aligned(_as_bytes(tensor.detach().float().cpu().numpy(), of_tensor))
        packed[name] = stored[tensor.data_ptr()]
    return PackedWeights(bytes(written), packed)


def _as_bytes(values: NDArray[np.float32], precision: Precision) -> bytes:
    match precision:
        case "float32":
            return values.astype("<f4").tobytes()
        case "float16":
            return _halves(values).tobytes()
        case "int8":
            levels, scales = quantise(values)
            return _aligned(levels.tobytes()) + scales.astype("<f4").tobytes()


def as_stored(values: NDArray[np.float32], precision: Precision) -> NDArray[np.float32]:
    """The `values` of a weight that a page computes with where it is stored in `precision`."""
    match _precision_of(values.ndim, precision):
        case "float32":
            return values
        case "float16":
            return _halves(values).astype(np.float32)
        case "int8":
            levels, scales = quantise(values)
            return levels.astype(np.float32) * scales[:, None]


def _precision_of(n_dimensions: int, of_matrices: Precision) -> Precision:
    return of_matrices if n_dimensions > 1 else "float32"


def _halves(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """The nearest values in 16 bits, as little-endian numbers."""
    return values.clip(-_LARGEST_HALF, _LARGEST_HALF).astype("<f2")


def quantise(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Levels (rows, columns) from -127 to 127, and for each row the scale (rows,) that turns them back into `values`.

    A value is at most half a scale, 1/254 of the largest of its row, from its level times the scale.
    """
    scales = (np.abs(values).max(axis=1) / _LARGEST).astype(np.float32)
    levels = np.divide(values, scales[:, None], out=np.zeros_like(values), where=scales[:, None] > 0)
    return levels.round().clip(-_LARGEST, _LARGEST).astype(np.int8), scales


def _aligned(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)

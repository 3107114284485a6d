"""Batches side by side on a CPU: two batches with one thread each take less time than one after the other with two.

The threads of one batch wait for each other after every small operation; those of different batches never do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_BatchT = TypeVar("_BatchT")
_FoundT = TypeVar("_FoundT")

# Python itself runs one thread at a time: more batches would wait for it between their products.
_MOST_AT_ONCE = 4
# For each of those at once. Of fewer, the last one would leave threads without work for too long.
_LEAST_BATCHES = 2


def search_batches(
    search: Callable[[_BatchT], _FoundT], batches: Sequence[_BatchT], device: torch.device
) -> Iterator[_FoundT]:
    """What `search`, which computes on `device`, finds in each of the `batches`, in their order.

    On a CPU, several run side by side where there are enough of them, and PyTorch's threads are divided among them. An
    error ends the search: batches that have not begun are left out.
    """
    threads = torch.get_num_threads()
    at_once = min(threads, _MOST_AT_ONCE)
    if device.type != "cpu" or at_once == 1 or len(batches) < _LEAST_BATCHES * at_once:
        yield from map(search, batches)
        return
    try:
        with ThreadPoolExecutor(at_once, "search", torch.set_num_threads, (threads // at_once,)) as pool:
            yield from pool.map(search, batches)
    finally:
        torch.set_num_threads(threads)  # PyTorch would give later threads what the last one set

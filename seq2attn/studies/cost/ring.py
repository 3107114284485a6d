"""Ring attention: each process has a part of the text, and keys and values travel around (Liu et al. 2023)

The softmax needs no look at all scores at once: with a running maximum and a running sum, parts of the keys can come
one after the other (Milakov and Gimelshein 2018), and the result is exact.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

from seq2attn.errors import TrainingError
from seq2attn.studies.cost.memory import peak_bytes

_TILE = 512
"""Keys whose scores are held at once."""
_PATIENCE_SECONDS = 30.0


class RunningSoftmax:
    """The context of some queries, of keys and values that come in parts."""

    def __init__(self, query: Tensor) -> None:
        """`query`: (batch, heads, queries, d_head)."""
        self._query = query / query.shape[-1] ** 0.5
        self._highest = torch.full_like(query[..., :1], float("-inf"))
        self._total = torch.zeros_like(self._highest)
        self._sum = torch.zeros_like(query)

    def add(self, keys: Tensor, values: Tensor) -> None:
        """Take in more keys and values, (batch, heads, keys, d_head), a tile at a time."""
        for some_keys, some_values in zip(keys.split(_TILE, dim=2), values.split(_TILE, dim=2), strict=True):
            scores = self._query @ some_keys.transpose(2, 3)
            highest = torch.maximum(self._highest, scores.amax(dim=-1, keepdim=True))
            weights = scores.sub_(highest).exp_()
            before = (self._highest - highest).exp_()
            self._total = self._total * before + weights.sum(dim=-1, keepdim=True)
            self._sum = self._sum * before + weights @ some_values
            self._highest = highest

    def context(self) -> Tensor:
        """The context of all keys so far, (batch, heads, queries, d_head)."""
        return self._sum / self._total


def ring_attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The context of this process's queries over the keys of all processes, each of which holds as many positions.

    All tensors are (batch, heads, length / processes, d_head). While a part of the keys and values is used, it is on
    its way to the next process. Forward only.
    """
    rank, n_processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
    softmax = RunningSoftmax(query)
    held = torch.stack((keys, values))
    for turn in range(n_processes):
        is_last = turn == n_processes - 1
        received = held if is_last else torch.empty_like(held)
        travelling = (
            []
            if is_last
            else [
                torch.distributed.P2POp(torch.distributed.isend, held, (rank + 1) % n_processes),
                torch.distributed.P2POp(torch.distributed.irecv, received, (rank - 1) % n_processes),
            ]
        )
        works = torch.distributed.batch_isend_irecv(travelling) if travelling else []
        softmax.add(held[0], held[1])
        for work in works:
            work.wait()
        held = received
    return softmax.context()


@dataclass(frozen=True)
class Text:
    """Random queries, keys and values that every process can make for itself."""

    heads: int
    length: int
    d_head: int

    def tensors(self) -> list[Tensor]:
        """Queries, keys and values, each (1, heads, length, d_head)."""
        generator = torch.Generator().manual_seed(self.length)
        return [torch.randn(1, self.heads, self.length, self.d_head, generator=generator) for _ in range(3)]


@dataclass(frozen=True)
class RingAnswer:
    """What one process found."""

    seconds: float
    peak_bytes: int
    context: NDArray[np.float32] | None
    """(1, heads, length / processes, d_head) of its positions."""


class RingProcesses(AbstractContextManager["RingProcesses"]):
    """Processes on this machine that compute ring attention together, and wait between the measurements."""

    def __init__(self, n_processes: int, threads: int) -> None:
        """`threads`: of each process."""
        self.n_processes = n_processes
        self._threads = threads

    def __enter__(self) -> RingProcesses:
        """Start the processes."""
        self._folder = TemporaryDirectory(prefix="seq2attn-ring-")
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(self.n_processes)]
        self._pipes = [ours for ours, _ in pairs]
        store = Path(self._folder.name) / "store"
        self._processes = [
            context.Process(target=_serve, args=(rank, self.n_processes, self._threads, store, theirs), daemon=True)
            for rank, (_, theirs) in enumerate(pairs)
        ]
        for process in self._processes:
            process.start()
        for _, theirs in pairs:
            theirs.close()  # so that a process that ends closes its pipe
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()

    def attend(self, text: Text, repeats: int = 1, with_context: bool = False) -> list[RingAnswer]:
        """What each process found for its part of `text`, whose length is a multiple of their number.

        `repeats`: times that it is computed for one measurement of time, which is divided by it.

        Raises: TrainingError where a process has ended.
        """
        try:
            for pipe in self._pipes:
                pipe.send((text, repeats, with_context))
            return [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError) as error:
            raise TrainingError("ring attention: one of its processes ended, most likely for lack of memory") from error


def _serve(rank: int, n_processes: int, threads: int, store: Path, pipe: Connection) -> None:
    """Answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one will close the pipe
    torch.set_num_threads(threads)
    torch.distributed.init_process_group("gloo", init_method=store.as_uri(), rank=rank, world_size=n_processes)
    try:
        while True:
            text, repeats, with_context = pipe.recv()
            pipe.send(_answer(text, repeats, rank, n_processes, with_context))
    except (EOFError, OSError):
        pass
    torch.distributed.destroy_process_group()


@torch.no_grad()
def _answer(text: Text, repeats: int, rank: int, n_processes: int, with_context: bool) -> RingAnswer:
    query, keys, values = (tensor.chunk(n_processes, dim=2)[rank].contiguous() for tensor in text.tensors())
    peak = peak_bytes(lambda: ring_attention(query, keys, values), torch.device("cpu"))
    torch.distributed.barrier()
    started = time.perf_counter()
    for _ in range(repeats):
        context = ring_attention(query, keys, values)
    seconds = (time.perf_counter() - started) / repeats
    assert peak is not None
    return RingAnswer(seconds, peak, context.numpy() if with_context else None)

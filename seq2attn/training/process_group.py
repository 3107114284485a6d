"""Several processes that train one model: `Ranks` over torch.distributed, as `torchrun` starts them.

Gradients are summed in one all-reduce after the backward pass. DistributedDataParallel would overlap the two, but it
averages instead of summing, and its reductions start inside the backward pass, where a process that runs out of memory
leaves the others waiting.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from seq2attn.errors import ConfigError, OtherProcessError, Seq2AttnError, TrainingError
from seq2attn.training.ranks import ONE_PROCESS, Ranks

Value = TypeVar("Value")

_SECONDS_BETWEEN_TRIES = 0.05
_CPU = torch.device("cpu")
_TIMEOUT_VARIABLE = "SEQ2ATTN_TIMEOUT"
# All processes do the same work at the same time. One may be ahead by the time that the first needs for a checkpoint.
_TIMEOUT_SECONDS = 300.0
_PREPARATION_TIMEOUT = timedelta(minutes=30)


class ProcessGroup(Ranks):
    """The processes of torch's default group. Numbers and objects travel between CPUs, gradients between devices.

    They wait `timeout` seconds for each other; the longer timeout of the default group is for the preparation of text.
    """

    def __init__(self, timeout: float = _TIMEOUT_SECONDS) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.group = dist.new_group(timeout=timedelta(seconds=timeout))

    def leave(self) -> None:
        """Close the connections that were made for this object."""
        dist.destroy_process_group(self.group)

    def gather(self, own: float) -> list[float]:
        """The number that each process calls this with, by rank."""
        numbers = torch.zeros(self.size, 1, dtype=torch.float64)
        with self._lost_processes():
            dist.all_gather(list(numbers.unbind()), torch.tensor([own], dtype=torch.float64), self.group)
        return numbers[:, 0].tolist()

    def exchange(self, own: Value) -> list[Value]:
        """The same for any value that can be pickled; slower."""
        values: list[Any] = [None] * self.size
        with self._lost_processes():
            dist.all_gather_object(values, own, self.group)
        return values

    def first(self, compute: Callable[[], Value]) -> Value:
        """What `compute` returns in the first process, which alone calls it.

        Raises: OtherProcessError in the others where it fails in the first.
        """
        if self.writes:
            with self._announced_failure(self.group):
                value = compute()
            self._broadcast((value, None), self.group)
            return value
        return self._wait_for_first(self.group)

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first process runs the block before the others do, for as long as the default group waits.

        Raises: OtherProcessError in the others where it fails in the first.
        """
        patient = dist.group.WORLD
        if self.writes:
            with self._announced_failure(patient):
                yield
            self._broadcast((None, None), patient)
        else:
            self._wait_for_first(patient)
            yield
        # Otherwise the first would be in the impatient group already while others read a large corpus.
        with self._lost_processes():
            dist.all_gather_object([None] * self.size, None, patient)

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of `model` by their sum over processes."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = parameters_to_vector(gradients)
        with self._lost_processes():
            dist.all_reduce(flat, group=self.group)
        vector_to_parameters(flat, gradients)

    def share_weights(self, model: nn.Module) -> None:
        """Give `model` the weights that it has in the first process."""
        with self._lost_processes():
            for parameter in model.parameters():
                dist.broadcast(parameter.detach(), src=0, group=self.group)

    def shared_error(self, error: Seq2AttnError) -> Seq2AttnError:
        """The `error` itself in the first process, an OtherProcessError in the others."""
        return error if self.writes else OtherProcessError(str(error), error.exit_code)

    @contextmanager
    def _announced_failure(self, group: dist.ProcessGroup | None) -> Iterator[None]:
        """Tell the other processes, which wait in `_wait_for_first`, when the block fails."""
        try:
            yield
        except BaseException as error:
            self._broadcast((None, OtherProcessError(str(error), getattr(error, "exit_code", 1))), group)
            raise

    def _wait_for_first(self, group: dist.ProcessGroup | None) -> Any:
        value, error = self._broadcast(None, group)
        if error is not None:
            raise error
        return value

    def _broadcast(self, own: Any, group: dist.ProcessGroup | None) -> Any:
        """What the first process calls this with."""
        values = [own]
        with self._lost_processes():
            dist.broadcast_object_list(values, src=0, group=group, device=_CPU)
        return values[0]

    @contextmanager
    def _lost_processes(self) -> Iterator[None]:
        """Turn torch's error about a process that ended, or cannot be reached, into a TrainingError."""
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.rank} of {self.size}: another process of this training ended or does not answer; "
                "continue from the last checkpoint with --resume"
            ) from error


@contextmanager
def join_ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """The processes that `torchrun` started this one with, and the device of this one, of the kind of `device`.

    Communication uses gloo on CPUs and NCCL on CUDA. A group that exists already is used and left as it is.

    Raises: ConfigError where there are fewer GPUs than processes, devices cannot communicate, or `SEQ2ATTN_TIMEOUT` is
    no number of seconds; TrainingError where the processes do not find each other.
    """
    if launched_processes() == 1:
        yield ONE_PROCESS, device
        return
    device, timeout = _own_device(device), _timeout()
    joins = not dist.is_initialized()
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        try:
            ranks = _connect(device, joins, timeout)
            try:
                yield ranks, device
            finally:
                ranks.leave()
        finally:
            if joins and dist.is_initialized():
                dist.destroy_process_group()


def _connect(device: torch.device, joins: bool, timeout: float) -> ProcessGroup:
    rank, size = launched_rank(), launched_processes()
    try:
        if joins:
            # Numbers are exchanged between CPUs, because they need not wait for what the GPU still computes.
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            store = store_of_attempt(rank, size, _PREPARATION_TIMEOUT)
            dist.init_process_group(backend, None, _PREPARATION_TIMEOUT, size, rank, store)
        return ProcessGroup(timeout)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise TrainingError(f"process {rank} of {size}: cannot connect to the other processes: {reason}") from error


def store_of_attempt(rank: int, size: int, timeout: timedelta) -> Store:
    """The store of the processes that the environment describes, where only this attempt has written.

    `torchrun` keeps its store when it starts all processes again. A process that is faster than another one would find
    there the address of that one's predecessor.

    Raises: RuntimeError where a process does not come within `timeout`.
    """
    store, *_ = next(rendezvous("env://", rank, size, timeout=timeout))
    attempt = _name_attempt(store, size) if rank == 0 else _ask_for_attempt(store, rank, timeout)
    return PrefixStore(f"attempt/{attempt}", store)


def _name_attempt(store: Store, size: int) -> str:
    """A new name for this attempt, told to the processes that live now."""
    attempt = uuid4().hex
    for rank in range(1, size):
        store.delete_key(f"ask/{rank}")  # perhaps of a process that has ended; one that lives asks again
    for rank in range(1, size):
        store.set(f"answer/{store.get(f'ask/{rank}').decode()}", attempt)
    return attempt


def _ask_for_attempt(store: Store, rank: int, timeout: timedelta) -> str:
    question, deadline = uuid4().hex, time.monotonic() + timeout.total_seconds()
    while not store.check([f"answer/{question}"]):
        if time.monotonic() > deadline:
            raise RuntimeError("the first process does not answer")
        store.set(f"ask/{rank}", question)
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return store.get(f"answer/{question}").decode()


def launched_processes() -> int:
    """The number of processes that `torchrun` started together, this one included; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def launched_rank() -> int:
    """The number of this process among those that `torchrun` started together, from 0."""
    return int(os.environ.get("RANK", "0"))


def was_restarted() -> bool:
    """Whether `torchrun --max-restarts` started this process in place of one that failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _own_device(device: torch.device) -> torch.device:
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigError(f"--device {device.type}: trains with one process only; use --device cpu, or one process")
    index, available = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= available:
        raise ConfigError(
            f"process {index + 1} on this machine has no GPU: there are {available}, one for each process"
        )
    return torch.device("cuda", index)


def _timeout() -> float:
    """Seconds that processes wait for each other during training."""
    words = os.environ.get(_TIMEOUT_VARIABLE, str(_TIMEOUT_SECONDS))
    try:
        seconds = float(words)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{_TIMEOUT_VARIABLE}={words}: expected a number of seconds above 0")
    return seconds

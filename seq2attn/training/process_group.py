"""Several processes that train one model: `Ranks` over torch.distributed, as `torchrun` starts them.

Gradients are summed in one all-reduce after the backward pass. DistributedDataParallel would overlap the two, but it
averages instead of summing, and its reductions start inside the backward pass, where a process that runs out of memory
leaves the others waiting.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from seq2attn.errors import ConfigError, OtherProcessError, Seq2AttnError, TrainingError
from seq2attn.training.ranks import ONE_PROCESS, Ranks

Value = TypeVar("Value")

_CPU = torch.device("cpu")


class ProcessGroup(Ranks):
    """The processes of torch's default group. Numbers and objects travel between CPUs, gradients between devices."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def gather(self, own: float) -> list[float]:
        """The number that each process calls this with, by rank."""
        numbers = torch.zeros(self.size, 1, dtype=torch.float64)
        with self._lost_processes():
            dist.all_gather(list(numbers.unbind()), torch.tensor([own], dtype=torch.float64))
        return numbers[:, 0].tolist()

    def exchange(self, own: Value) -> list[Value]:
        """The same for any value that can be pickled; slower."""
        values: list[Any] = [None] * self.size
        with self._lost_processes():
            dist.all_gather_object(values, own)
        return values

    def first(self, compute: Callable[[], Value]) -> Value:
        """What `compute` returns in the first process, which alone calls it.

        Raises: OtherProcessError in the others where it fails in the first.
        """
        if self.writes:
            with self._announced_failure():
                value = compute()
            self._broadcast((value, None))
            return value
        return self._wait_for_first()

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first process runs the block before the others do.

        Raises: OtherProcessError in the others where it fails in the first.
        """
        if self.writes:
            with self._announced_failure():
                yield
            self._broadcast((None, None))
        else:
            self._wait_for_first()
            yield

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of `model` by their sum over processes."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = parameters_to_vector(gradients)
        with self._lost_processes():
            dist.all_reduce(flat)
        vector_to_parameters(flat, gradients)

    def share_weights(self, model: nn.Module) -> None:
        """Give `model` the weights that it has in the first process."""
        with self._lost_processes():
            for parameter in model.parameters():
                dist.broadcast(parameter.detach(), src=0)

    def shared_error(self, error: Seq2AttnError) -> Seq2AttnError:
        """The `error` itself in the first process, an OtherProcessError in the others."""
        return error if self.writes else OtherProcessError(str(error), error.exit_code)

    @contextmanager
    def _announced_failure(self) -> Iterator[None]:
        """Tell the other processes, which wait in `_wait_for_first`, when the block fails."""
        try:
            yield
        except BaseException as error:
            self._broadcast((None, OtherProcessError(str(error), getattr(error, "exit_code", 1))))
            raise

    def _wait_for_first(self) -> Any:
        value, error = self._broadcast(None)
        if error is not None:
            raise error
        return value

    def _broadcast(self, own: Any) -> Any:
        """What the first process calls this with."""
        values = [own]
        with self._lost_processes():
            dist.broadcast_object_list(values, src=0, device=_CPU)
        return values[0]

    @contextmanager
    def _lost_processes(self) -> Iterator[None]:
        """Turn torch's error about a process that has ended into a TrainingError."""
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

    Raises: ConfigError where there are fewer GPUs than processes, or devices cannot communicate.
    """
    if launched_processes() == 1:
        yield ONE_PROCESS, device
        return
    device = _own_device(device)
    joins = not dist.is_initialized()
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        if joins:
            # Numbers are exchanged between CPUs, because they need not wait for what the GPU still computes.
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        try:
            yield ProcessGroup(), device
        finally:
            if joins:
                dist.destroy_process_group()


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

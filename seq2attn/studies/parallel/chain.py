"""The longest chain of operations in which each needs the result of the one before"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seq2attn.benchmark.subject import random_batch
from seq2attn.config.models import ModelConfig
from seq2attn.models.build import build_model
from seq2attn.training.loss import cross_entropy_sums

_VOCAB_SIZE = 16


def longest_chain(call: Callable[[], object]) -> int:
    """The number of operations in the longest chain of `call`, which runs on the CPU."""
    # oneDNN would run all steps of an LSTM as one operation.
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None), _Chains() as chains:
        call()
    return chains.longest


def chain_of_update(config: ModelConfig, length: int) -> int:
    """The longest chain of a forward and a backward pass on one pair of sentences of `length` tokens, EOS included.

    `config` may be narrow: the chain depends neither on widths nor on the number of sentences.
    """
    with torch.random.fork_rng(devices=[]):
        model = build_model(config, _VOCAB_SIZE, _VOCAB_SIZE, joint_subwords=True).train()
        batch = random_batch([(length, length)], _VOCAB_SIZE)

        def pass_both_ways() -> None:
            loss, _ = cross_entropy_sums(model, model(batch), batch.target_output, label_smoothing=0.1)
            loss.backward()

        return longest_chain(pass_both_ways)


class _Chains(TorchDispatchMode):
    """The length of the longest chain that ends in each storage.

    Tensors that share a storage share it, so the steps of a loop that writes its results into one tensor are a chain.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.longest = 0
        self._lengths: dict[int, int] = {}
        # A storage that is freed would give its address to another one.
        self._alive: list[Tensor] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, which is one more than the longest chain of its inputs."""
        kwargs = kwargs or {}
        inputs = {_storage(tensor) for tensor in _tensors((args, tuple(kwargs.values())))}
        before = max((self._lengths.get(storage, 0) for storage in inputs), default=-1)
        found = function(*args, **kwargs)
        for tensor in _tensors(found):
            storage = _storage(tensor)
            if storage not in inputs or function._schema.is_mutable:  # else it is a view, which computes nothing
                self._lengths[storage] = before + 1
                self._alive.append(tensor)
                self.longest = max(self.longest, before + 1)
        return found


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

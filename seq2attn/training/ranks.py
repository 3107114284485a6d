"""The processes that train one model together: what each of them does, and what they agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

from seq2attn.errors import Seq2AttnError

Value = TypeVar("Value")


class Ranks:
    """The processes of one training, numbered by rank; here there is a single one.

    All processes call the methods in the same order. With several processes (`process_group.py`) only the first half of
    the methods differs; the second half follows from them.
    """

    rank = 0
    """The number of this process, from 0."""
    size = 1
    """The number of processes."""

    def gather(self, own: float) -> list[float]:
        """The number that each process calls this with, by rank."""
        return [own]

    def exchange(self, own: Value) -> list[Value]:
        """The same for any value that can be pickled; slower."""
        return [own]

    def first(self, compute: Callable[[], Value]) -> Value:
        """What `compute` returns in the first process, which alone calls it; its error ends the others too."""
        return compute()

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first process runs the block before the others do; its error ends the others too."""
        yield

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of `model` by their sum over processes."""

    def share_weights(self, model: nn.Module) -> None:
        """Give `model` the weights that it has in the first process."""

    def shared_error(self, error: Seq2AttnError) -> Seq2AttnError:
        """What a process raises for an `error` that all of them raise, so that only the first one reports it."""
        return error

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes the run folder and reports to the user."""
        return self.rank == 0

    def total(self, own: float) -> float:
        """The sum of a number over processes."""
        return sum(self.gather(own))

    def anywhere(self, condition: bool) -> bool:
        """Whether `condition` holds in any process: memory ran out, or a number is not finite."""
        return any(self.gather(float(condition)))

    def own(self, items: Sequence[Value]) -> Sequence[Value]:
        """The items that this process works on: they are dealt out one by one."""
        return items[self.rank :: self.size]

    def in_order(self, own: Sequence[Value]) -> list[Value]:
        """The results of all processes for the items that `own` dealt out, in the order of the items."""
        parts = self.exchange(own)
        results: list[Value] = [value for part in parts for value in part]
        for rank, part in enumerate(parts):
            results[rank :: self.size] = part
        return results


ONE_PROCESS = Ranks()

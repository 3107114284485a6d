from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.errors import is_out_of_memory
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.ranks import Ranks
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import FailedUpdateError, Update, update_weights
from tests.conftest import MODELS, make_batch, make_model

Value = TypeVar("Value")
SETTINGS = TrainConfig(max_steps=1)
BATCH = make_batch([7, 3, 5, 4, 6], [2, 6, 4, 5, 3])


class Narrow:
    """Limits the pairs that a model takes at once, with the error of an exhausted CPU memory for more."""

    def __init__(self, model: Seq2Seq, most_pairs: int) -> None:
        self.taken: list[int] = []
        self.most_pairs = most_pairs
        model.register_forward_pre_hook(self.check)

    def check(self, model: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        (batch,) = arguments
        if len(batch.source_ids) > self.most_pairs:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        self.taken.append(len(batch.source_ids))


@pytest.mark.parametrize("name", ["additive_gru", "transformer_pre"])
def test_a_split_batch_gives_the_weights_of_the_full_batch(name: str) -> None:
    full, split = make_model(MODELS[name]), make_model(MODELS[name])
    narrow = Narrow(split, most_pairs=2)
    updates = [
        update_weights(model, build_optimizer(model, SETTINGS), [BATCH, BATCH], SETTINGS, 1, 0.01)
        for model in (full, split)
    ]
    assert [update.was_split for update in updates] == [False, True]
    # Two batches of five pairs: 2 + 3 do not fit, so each 3 becomes 1 + 2, and each 2 becomes 1 + 1.
    assert narrow.taken[-8:] == [1, 1, 1, 2] * 2
    assert updates[1].loss == pytest.approx(updates[0].loss, rel=1e-6)
    assert updates[1].norm == pytest.approx(updates[0].norm, rel=1e-9)
    for before, after in zip(full.parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-9)


def test_too_little_memory_for_one_pair_changes_nothing() -> None:
    model = make_model(MODELS["fixed_gru"])
    before = [parameter.clone() for parameter in model.parameters()]
    Narrow(model, most_pairs=0)
    with pytest.raises(FailedUpdateError, match="update 5: out of memory even for single pairs"):
        update_weights(model, build_optimizer(model, SETTINGS), [BATCH], SETTINGS, 5, 0.01)
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_all_out_of_memory_errors_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_another_error_of_the_model_is_not_out_of_memory() -> None:
    model = make_model(MODELS["fixed_gru"])

    def fail(*_: Any) -> None:
        raise RuntimeError("shapes differ")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        update_weights(model, build_optimizer(model, SETTINGS), [BATCH], SETTINGS, 1, 0.01)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_non_finite_numbers_change_nothing(value: float) -> None:
    model = make_model(MODELS["additive_gru"])
    with torch.no_grad():
        model.output_bias[5] = value
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(FailedUpdateError, match=r"update 2: the loss is nan"):
        update_weights(model, build_optimizer(model, SETTINGS), [BATCH], SETTINGS, 2, 0.01)
    pairs = zip(model.parameters(), before, strict=True)
    assert all(torch.equal(now.nan_to_num(), then.nan_to_num()) for now, then in pairs)
    assert all(parameter.grad is None for parameter in model.parameters())


class TwoProcesses(Ranks):
    """Two threads that reduce like two processes."""

    size = 2

    def __init__(self, rank: int, shared: list[Any], barrier: threading.Barrier) -> None:
        self.rank = rank
        self.shared = shared
        self.barrier = barrier

    def gather(self, own: float) -> list[float]:
        return self.exchange(own)

    def exchange(self, own: Value) -> list[Value]:
        self.shared[self.rank] = own
        self.barrier.wait(10)
        both = list(self.shared)
        self.barrier.wait(10)
        return both

    def sum_gradients(self, model: Seq2Seq) -> None:
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad = sum(self.exchange(parameter.grad), torch.zeros(()))


def update_in_two(prepare: Callable[[Seq2Seq, int], object]) -> list[tuple[Seq2Seq, Update | FailedUpdateError]]:
    """Update two copies of a model together, each with its part of the pairs of `BATCH`."""
    shared, barrier = [None, None], threading.Barrier(2)
    models = [make_model(MODELS["additive_gru"]) for _ in range(2)]

    def update(number: int) -> Update | FailedUpdateError:
        prepare(model := models[number], number)
        ranks = TwoProcesses(number, shared, barrier)
        part = BATCH.halves()[number]
        try:
            return update_weights(model, build_optimizer(model, SETTINGS), [part], SETTINGS, 3, 0.01, ranks)
        except FailedUpdateError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        return list(zip(models, threads.map(update, range(2)), strict=True))


@pytest.mark.parametrize("most_pairs", [5, 1], ids=["memory suffices", "one process must split"])
def test_two_processes_do_the_update_of_one(most_pairs: int) -> None:
    alone = make_model(MODELS["additive_gru"])
    expected = update_weights(alone, build_optimizer(alone, SETTINGS), [BATCH], SETTINGS, 3, 0.01)
    for model, update in update_in_two(lambda model, number: number == 0 and Narrow(model, most_pairs)):
        assert isinstance(update, Update)
        assert update.target_tokens == expected.target_tokens
        assert update.loss == pytest.approx(expected.loss, rel=1e-6)
        assert update.norm == pytest.approx(expected.norm, rel=1e-6)
        assert update.was_split is (most_pairs == 1), "both processes split where one must"
        for now, then in zip(model.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(now, then, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("fault", "message"), [("memory", "single pairs"), ("number", "gradient's norm")])
def test_an_update_that_fails_in_one_process_changes_no_weight_in_any(fault: str, message: str) -> None:
    def prepare(model: Seq2Seq, number: int) -> None:
        if number == 1 and fault == "memory":
            Narrow(model, most_pairs=0)
        elif number == 1:
            model.register_forward_hook(lambda _, __, hidden: hidden * float("nan"))

    before = list(make_model(MODELS["additive_gru"]).parameters())
    for model, failure in update_in_two(prepare):
        assert isinstance(failure, FailedUpdateError)
        assert message in str(failure)
        assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))
        assert all(parameter.grad is None for parameter in model.parameters())

from __future__ import annotations

import threading

import pytest
import torch

from seq2attn.decoding.threads import search_batches

CPU = torch.device("cpu")


def threads_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    ("threads", "batches", "device"),
    [
        pytest.param(1, 9, CPU, id="one-thread"),
        pytest.param(4, 7, CPU, id="few-batches"),
        pytest.param(4, 9, torch.device("cuda"), id="gpu"),
    ],
    indirect=["threads"],
)
def test_otherwise_one_batch_after_the_other_has_all_threads(threads: int, batches: int, device: torch.device) -> None:
    begun: list[int] = []

    def search(batch: int) -> tuple[int, int]:
        begun.append(batch)
        return torch.get_num_threads(), threading.get_ident()

    found = search_batches(search, range(batches), device)
    assert next(found) == (threads, threading.get_ident())
    assert begun == [0]
    assert list(found) == [(threads, threading.get_ident())] * (batches - 1)


@pytest.mark.parametrize(
    ("threads", "at_once", "threads_each"), [(2, 2, 1), (3, 3, 1), (4, 4, 1), (8, 4, 2)], indirect=["threads"]
)
def test_batches_run_side_by_side_and_divide_the_threads(threads: int, at_once: int, threads_each: int) -> None:
    together = threading.Barrier(at_once, timeout=30)  # Passes only when so many have begun.

    def search(batch: int) -> tuple[int, int]:
        together.wait()
        return batch, torch.get_num_threads()

    found = list(search_batches(search, range(3 * at_once), CPU))
    assert found == [(batch, threads_each) for batch in range(3 * at_once)]
    assert torch.get_num_threads() == threads_of_a_new_thread() == threads


@pytest.mark.parametrize("threads", [4], indirect=True)
def test_an_error_ends_the_search_and_gives_the_threads_back(threads: int) -> None:
    begun: list[int] = []

    def search(batch: int) -> int:
        begun.append(batch)
        if batch == 1:
            raise MemoryError
        return batch

    found = search_batches(search, range(10_000), CPU)
    assert next(found) == 0
    with pytest.raises(MemoryError):
        list(found)
    assert len(begun) < 10_000
    assert torch.get_num_threads() == threads_of_a_new_thread() == 4

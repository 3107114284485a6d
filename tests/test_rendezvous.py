"""How processes find each other, and what is said where they do not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
from torch._C._distributed_c10d import HashStore

from seq2attn.errors import ConfigError, TrainingError
from seq2attn.training import process_group
from seq2attn.training.process_group import join_ranks, store_of_attempt

CPU = torch.device("cpu")


@pytest.mark.parametrize("words", ["soon", "0", "-1", "inf", "nan"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "SEQ2ATTN_TIMEOUT": words}.items():
        monkeypatch.setenv(name, value)
    message = f"^SEQ2ATTN_TIMEOUT={words}: expected a number of seconds above 0$"
    with pytest.raises(ConfigError, match=message), join_ranks(CPU):
        pass


def test_processes_that_cannot_connect_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    message = "^process 0 of 2: cannot connect to the other processes: .*MASTER_PORT"
    with pytest.raises(TrainingError, match=message), join_ranks(CPU):
        pass


def test_an_attempt_does_not_meet_the_processes_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = HashStore()
    monkeypatch.setattr(process_group, "rendezvous", lambda *_, **__: iter([(kept, 0, 2)]))
    kept.set("ask/1", "of a process that has ended")
    for attempt in ("first", "second"):
        with ThreadPoolExecutor() as pool:
            parts = [pool.submit(store_of_attempt, rank, 3, timedelta(seconds=60)) for rank in range(3)]
            first, *others = (part.result() for part in parts)
        assert not first.check(["address"])
        first.set("address", attempt)
        assert [other.get("address") for other in others] == [attempt.encode()] * 2


def test_a_process_gives_up_where_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "rendezvous", lambda *_, **__: iter([(HashStore(), 1, 2)]))
    with pytest.raises(RuntimeError, match=r"^the first process does not answer$"):
        store_of_attempt(1, 2, timedelta(seconds=0.1))

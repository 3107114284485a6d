"""`train.deterministic` on a CPU: every family can be trained with it, and it changes no bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seq2attn.runs.checkpoint import load_weights
from seq2attn.runs.folder import RunFolder
from seq2attn.training.observer import Validated
from seq2attn.training.train import train
from tests.training_samples import FAMILIES, make_config, write_copy_task


class Flag:
    """Records whether deterministic algorithms are enabled during a training."""

    def __init__(self) -> None:
        self.seen: set[bool] = set()

    def validated(self, event: Validated) -> None:
        self.seen.add(torch.are_deterministic_algorithms_enabled())


@pytest.mark.parametrize("family", FAMILIES)
def test_it_changes_no_bit_where_everything_is_deterministic_already(family: str, tmp_path: Path) -> None:
    text = write_copy_task(tmp_path / "text", pairs=120)
    weights = []
    for deterministic in (False, True):
        config = make_config(text, FAMILIES[family] | {"dropout": 0.2}, max_steps=4, deterministic=deterministic)
        flag = Flag()
        train(config, tmp_path / f"run_{deterministic}", "cpu", quiet=True, observer=flag)
        assert flag.seen == {deterministic}
        assert not torch.are_deterministic_algorithms_enabled(), "a training restores the flag"
        weights.append(load_weights(RunFolder(tmp_path / f"run_{deterministic}").final))
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())

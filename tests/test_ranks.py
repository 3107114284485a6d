"""Several processes train as one does."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from seq2attn.config.models import ModelConfig
from seq2attn.config.schema import Config, TrainConfig
from seq2attn.data.batch import Batch
from seq2attn.data.loader import Loader
from seq2attn.errors import ConfigError, Seq2AttnError
from seq2attn.runs.folder import RunFolder
from seq2attn.training import loop
from seq2attn.training.log import TrainingLog
from seq2attn.training.prepare import prepare_text
from seq2attn.training.process_group import join_ranks, launched_rank
from seq2attn.training.ranks import ONE_PROCESS, Ranks
from seq2attn.training.train import check_shareable, train
from seq2attn.training.update import update_weights
from tests.conftest import MODELS, make_batch, make_model
from tests.processes import together
from tests.training_samples import FAMILIES, make_config, read_metrics, write_copy_task

CPU = torch.device("cpu")
SETTINGS = TrainConfig(max_steps=1, clip_norm=1e9)
DROPOUT = 0.3
STEPS = 50
STOP = 30
TIMEOUT = 2
"""Seconds; a process of this machine answers sooner."""
NOISE = 1e-3
"""Relative, after 50 float32 updates whose sums have another order; a wrong mask or divisor makes a far larger one."""
EXPECTED = {
    **{"loss/train": NOISE, "optimizer/gradient_norm": 10 * NOISE, "loss/validation": NOISE},
    **{"optimizer/learning_rate": 0.0, "progress/epoch": 0.0, "speed/padding_share": 0.0},
}
"""Tolerance of metrics."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)


class Recorder(torch.optim.SGD):
    """Keeps the gradients of its last step, and changes no weight."""

    def step(self, closure: Any = None) -> None:
        self.gradients = [
            parameter.grad.clone()
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]


def with_dropout(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"dropout": DROPOUT})


def four_batches() -> list[Batch]:
    """Batches of unequal size, each with its own seed of dropout."""
    lengths = [([7, 3, 5], [2, 6, 4]), ([4, 4], [9, 8]), ([6, 2, 8, 3], [1, 2, 3, 4]), ([5], [5])]
    return [replace(make_batch(*sizes, seed=seed), dropout_seed=seed) for seed, sizes in enumerate(lengths)]


def gradients_of(ranks: Ranks, most_pairs: int | None = None) -> dict[str, list[torch.Tensor]]:
    """The float64 gradients of one update of every model on four batches; `most_pairs` of process 0 fit its memory."""
    found = {}
    for name, config in MODELS.items():
        model = make_model(with_dropout(config)).train()
        if most_pairs is not None and ranks.rank == 0:
            model.register_forward_pre_hook(lambda _, arguments: _check_memory(arguments[0], most_pairs))
        optimizer = Recorder(model.parameters(), lr=1.0)
        update_weights(model, optimizer, ranks.own(four_batches()), SETTINGS, 1, 1.0, ranks)
        found[name] = optimizer.gradients
    return found


def _check_memory(batch: Batch, most_pairs: int) -> None:
    if len(batch.source_ids) > most_pairs:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def joined_gradients(most_pairs: int | None = None) -> dict[str, list[torch.Tensor]]:
    with join_ranks(CPU) as (ranks, _):
        return gradients_of(ranks, most_pairs)


def assert_same_gradients(found: dict[str, list[torch.Tensor]], expected: dict[str, list[torch.Tensor]]) -> None:
    assert found.keys() == expected.keys()
    for name, gradients in expected.items():
        for ours, theirs in zip(found[name], gradients, strict=True):
            assert float((ours - theirs).norm()) <= 1e-6 * float(theirs.norm()) + 1e-12, name


def config_of(text: Path, family: str, **train_settings: Any) -> Config:
    model = FAMILIES[family] | {"dropout": DROPOUT, "n_layers": 2}
    defaults: dict[str, Any] = {
        **{"max_steps": STEPS, "accumulate": 4, "batch_tokens": 30, "dropout_seed": "batch"},
        **{"validate_every_steps": STEPS // 2, "validation_sentences": 5, "checkpoint_every_steps": STEPS // 2},
    }
    return make_config(text, model, **(defaults | train_settings))


def train_all(runs: Path, configs: dict[str, Config], resume: bool = False) -> None:
    """Train each configuration in a folder with its name."""
    with patch.object(loop, "_REPORT_STEPS", 1):
        for name, config in configs.items():
            train(config, runs / name, "cpu", resume, quiet=True)


def train_until_stopped(run: Path, config: Config, step: int, rank: int) -> tuple[int, int | None]:
    """Train until process `rank` gets SIGTERM at `step`; the last step and the signal."""
    metrics = TrainingLog.metrics

    def watch(self: TrainingLog, now: int, values: Mapping[str, float]) -> None:
        metrics(self, now, values)
        if now == step and "loss/train" in values and launched_rank() == rank:
            os.kill(os.getpid(), signal.SIGTERM)

    with patch.object(loop, "_REPORT_STEPS", 1), patch.object(TrainingLog, "metrics", watch):
        result = train(config, run, "cpu", quiet=True)
    return result.steps, result.stopped_by


def fail_in_the_first() -> str:
    """The error of this process where the first one cannot do something."""

    def fail() -> None:
        raise ConfigError("train.seed: too small")

    with join_ranks(CPU) as (ranks, _):
        try:
            ranks.first(fail)
        except Seq2AttnError as error:
            return f"{type(error).__name__}: {error} ({error.exit_code})"
    return "no error"


def share_out() -> tuple[list[str], list[float], bool]:
    """Five items dealt out and joined again, the ranks, and whether the last process's condition reaches this one."""
    with join_ranks(CPU) as (ranks, _):
        upper = [item.upper() for item in ranks.own(list("abcde"))]
        return ranks.in_order(upper), ranks.gather(ranks.rank), ranks.anywhere(ranks.rank == ranks.size - 1)


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def lose_the_last(answer: Path) -> str:
    """The error of the first process where the last one prepares text for longer than the timeout, then is silent."""
    with patch.dict(os.environ, {"SEQ2ATTN_TIMEOUT": str(TIMEOUT)}), join_ranks(CPU) as (ranks, _):
        with ranks.first_then_others():
            time.sleep(0 if ranks.writes else 1.5 * TIMEOUT)
        try:
            if ranks.writes:
                ranks.gather(0.0)
            wait_until(answer.exists)
        except Seq2AttnError as error:
            answer.touch()
            return f"{type(error).__name__}: {error} ({error.exit_code})"
    return "no error"


def do_everything(runs: Path, configs: dict[str, Config]) -> dict[str, Any]:
    """All that several processes do for the tests below; they start once."""
    train_all(runs, configs)
    return {
        "silence": lose_the_last(runs / "answer"),
        "gradients": joined_gradients(),
        "gradients with too little memory": joined_gradients(most_pairs=2),
        "stop": train_until_stopped(runs / "stopped", configs["additive"], STOP, rank=1),
        "error": fail_in_the_first(),
        "shares": share_out(),
    }


def assert_same_training(found: Path, expected: Path) -> None:
    """Losses within float32 noise, after the same batches with the same learning rates."""
    ours, theirs = read_metrics(found), read_metrics(expected)
    assert [line.keys() for line in ours] == [line.keys() for line in theirs]
    for name, tolerance in EXPECTED.items():
        values = [[line[name] for line in lines if name in line] for lines in (ours, theirs)]
        assert values[0], name
        assert values[0] == pytest.approx(values[1], rel=tolerance), name


@dataclass(frozen=True)
class Trained:
    """What one process and two made of the same configurations."""

    configs: dict[str, Config]
    alone: Path
    together: Path
    results: list[dict[str, Any]]


@pytest.fixture(scope="module")
def trained(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("ranks")
    configs = {family: config_of(text, family) for family in FAMILIES}
    train_all(folder / "alone", configs)
    results = together(folder / "start", 2, do_everything, folder / "together", configs)
    return Trained(configs, folder / "alone", folder / "together", results)


@pytest.mark.parametrize("memory", ["gradients", "gradients with too little memory"])
def test_two_processes_compute_the_gradients_of_one(trained: Trained, memory: str) -> None:
    expected = gradients_of(ONE_PROCESS, 2 if "memory" in memory else None)
    for result in trained.results:
        assert_same_gradients(result[memory], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_train_as_one(trained: Trained, family: str) -> None:
    assert_same_training(trained.together / family, trained.alone / family)


def test_a_signal_to_one_process_stops_all_and_another_number_of_processes_resumes(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [result["stop"] for result in trained.results] == [(STOP, signal.SIGTERM)] * 2
    run = trained.together / "stopped"
    assert RunFolder(run).steps()[-1] == STOP
    monkeypatch.setattr(loop, "_REPORT_STEPS", 1)
    # As the user's file says by default; the run itself has the seed of dropout that its processes needed.
    config = trained.configs["additive"]
    as_written = config.model_copy(update={"train": config.train.model_copy(update={"dropout_seed": "run"})})
    assert train(as_written, run, "cpu", resume=True, quiet=True).steps == STEPS
    assert_same_training(run, trained.alone / "additive")


def test_an_error_of_the_first_process_ends_all_and_is_reported_once(trained: Trained) -> None:
    assert [result["error"] for result in trained.results] == [
        "ConfigError: train.seed: too small (2)",
        "OtherProcessError: train.seed: too small (2)",
    ]


def test_a_process_that_does_not_answer_in_time_ends_the_training(trained: Trained) -> None:
    message = (
        "TrainingError: process 0 of 2: another process of this training ended or does not answer; continue from the "
        "last checkpoint with --resume (1)"
    )
    assert [result["silence"] for result in trained.results] == [message, "no error"]


def test_work_is_dealt_out_and_joined_in_order(trained: Trained) -> None:
    for result in trained.results:
        assert result["shares"] == (list("ABCDE"), [0.0, 1.0], True)


def test_batches_are_the_same_for_any_number_of_processes(text: Path, tmp_path: Path) -> None:
    config = config_of(text, "additive")
    pairs = prepare_text(config, RunFolder(tmp_path), resume=False).train
    alone = Loader(pairs, config.train, CPU)
    dealt = [Loader(pairs, config.train, CPU, rank, 2) for rank in range(2)]
    for _ in range(20):
        whole, parts = alone.next_batches(4), [loader.next_batches(4) for loader in dealt]
        assert whole.positions == sum(batch.source_ids.numel() + batch.target_output.numel() for batch in whole.batches)
        for part in parts:
            assert (part.pairs, part.source_tokens, part.positions) == (
                *(whole.pairs, whole.source_tokens, whole.positions),
            )
        joined = [batch for pair in zip(parts[0].batches, parts[1].batches, strict=True) for batch in pair]
        for ours, theirs in zip(joined, whole.batches, strict=True):
            assert torch.equal(ours.source_ids, theirs.source_ids)
            assert ours.dropout_seed == theirs.dropout_seed
    assert len({batch.dropout_seed for batch in alone.next_batches(100).batches}) == 100


def test_updates_with_too_few_batches_are_refused_with_a_remedy() -> None:
    check_shareable(TrainConfig(max_steps=1, accumulate=3), 3)
    message = (
        "train.accumulate: 4 processes cannot share updates of 1 batch; updates of about the same size have "
        "train.accumulate=4 and train.batch_tokens=500"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        check_shareable(TrainConfig(max_steps=1), 4)


@pytest.mark.slow
def test_four_processes_train_as_one_and_two_resume(trained: Trained, tmp_path: Path) -> None:
    results = together(tmp_path / "four", 4, do_everything, tmp_path / "runs", trained.configs)
    for result in results:
        assert_same_gradients(result["gradients"], gradients_of(ONE_PROCESS))
    for family in FAMILIES:
        assert_same_training(tmp_path / "runs" / family, trained.alone / family)
    together(tmp_path / "two", 2, train_all, tmp_path / "runs", {"stopped": trained.configs["additive"]}, True)
    assert_same_training(tmp_path / "runs" / "stopped", trained.alone / "additive")

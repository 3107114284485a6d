"""The process-wide state that importing and training restore: environment, torch's settings, random state, signals."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.training.observer import Validated
from seq2attn.training.process import StopRequest, training_process, without_tensorflow
from seq2attn.training.train import train
from tests.command_line import PATIENCE
from tests.training_samples import FAMILIES, make_config, write_copy_task

CPU = torch.device("cpu")
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"

# Imports the package's dependencies, then its modules, and prints what only the modules changed.
IMPORT_ALL = """
import os, signal, sys, threading, warnings, importlib, pathlib
import matplotlib, numpy, torch, tensorboard.compat

def state():
    return {
        "environment": dict(os.environ),
        "stubs": {name for name, module in sys.modules.items()
                  if name.startswith("tensor") and getattr(module, "__spec__", None) is None},
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "hooks": [sys.excepthook, threading.excepthook],
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": [torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32],
        "random": [torch.get_rng_state().tolist(), str(numpy.random.get_state())],
        "matplotlib": dict(matplotlib.rcParams),
    }

before = state()
package = pathlib.Path(sys.argv[1])
for path in sorted(package.rglob("*.py")):
    name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    if path.name != "__main__.py":
        importlib.import_module(name.removesuffix(".__init__"))
after = state()
print([name for name in before if before[name] != after[name]])
"""

# Builds a model, then runs an LSTM twice on twenty shapes; oneDNN reports whether it still caches the kernels.
TWENTY_SHAPES = """
import os, sys, torch
from seq2attn.config.models import RnnConfig
from seq2attn.models.build import build_model
from seq2attn.models.precision import kept_kernels

torch.set_num_threads(1)
if sys.argv[1] == "built":
    before, random = dict(os.environ), torch.get_rng_state()
    with kept_kernels(torch.device("cpu"), sys.argv[2]):
        build_model(RnnConfig(kind="rnn", d_model=8), 10, 10, True)
    build_model(RnnConfig(kind="rnn", d_model=8), 10, 10, True)
    assert dict(os.environ) == before
lstm = torch.nn.LSTM(8, 8)
for repeat in range(2):
    print("pass", repeat, flush=True)
    with torch.no_grad():
        for length in range(1, 21):
            lstm(torch.ones(length, 2, 8))
"""


def run_python(code: str, *arguments: str | Path, **environment: str) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = os.environ | environment
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, env=variables)
    return done.stdout


def test_importing_changes_nothing_in_the_process() -> None:
    package = Path(__file__).parent.parent / "seq2attn"
    assert run_python(IMPORT_ALL, package) == "[]\n"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@pytest.mark.parametrize(
    ("how", "precision", "is_kept"),
    [("bare", "float32", True), ("built", "float32", False), ("built", "bfloat16", True)],
)
def test_building_a_model_limits_the_kernels_that_onednn_keeps(how: str, precision: str, is_kept: bool) -> None:
    output = run_python(TWENTY_SHAPES, how, precision, ONEDNN_VERBOSE="profile_create")
    second = [line for line in output.partition("pass 1")[2].splitlines() if ",rnn," in line]
    if not second:
        pytest.skip("oneDNN runs no LSTM on this processor")
    assert all(("create:cache_hit" in line) is is_kept for line in second)


def state() -> dict[str, Any]:
    return {
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "precision": [torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32],
        "random": torch.get_rng_state().tolist(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "hook": threading.excepthook,
    }


@pytest.fixture(params=[False, True], ids=["defaults", "other settings"])
def before(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The state before a training: that of a new process, or one changed by the caller."""
    importlib.import_module("torch._dynamo")  # sets an environment variable; optimizers load it
    if request.param:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("medium")
    yield state()
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")


class Watch:
    """Records the state of the process during a training, and fails on request."""

    def __init__(self, fail: bool) -> None:
        self.fail = fail
        self.seen: dict[str, Any] = {}

    def validated(self, event: Validated) -> None:
        self.seen = state()
        if self.fail:
            raise ZeroDivisionError


@pytest.mark.parametrize("fail", [False, True], ids=["finished", "failed"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_training_restores_the_process(
    before: dict[str, Any], deterministic: bool, fail: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CUBLAS, raising=False)
    before |= {"environment": dict(os.environ)}
    text = write_copy_task(tmp_path / "text", pairs=120)
    threads = before["threads"] + 1
    config = make_config(text, FAMILIES["additive"], max_steps=2, threads=threads, deterministic=deterministic)
    watch = Watch(fail)
    try:
        train(config, tmp_path / "run", "cpu", quiet=True, observer=watch)
    except ZeroDivisionError:
        assert fail
    assert (watch.seen["threads"], watch.seen["deterministic"]) == (threads, deterministic)
    assert watch.seen["environment"].get(CUBLAS) == (":4096:8" if deterministic else None)
    assert watch.seen["random"] != before["random"]
    assert state() == before


def test_a_variable_that_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUBLAS, ":16:8")
    with training_process(TrainConfig(max_steps=1, deterministic=True), CPU):
        assert os.environ[CUBLAS] == ":16:8"
    assert os.environ[CUBLAS] == ":16:8"


def test_tf32_is_restored_after_a_training_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    # These settings of torch can be changed without a GPU.
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    cuda: Any = SimpleNamespace(type="cuda")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = state()["precision"]
    assert before == ["highest", False]
    with training_process(TrainConfig(max_steps=1), cuda):
        assert state()["precision"] == ["high", True]
    assert state()["precision"] == before


def test_the_stub_of_tensorflow_is_removed() -> None:
    with without_tensorflow():
        assert "tensorboard.compat.notf" in sys.modules
    assert "tensorboard.compat.notf" not in sys.modules


def test_a_stop_request_restores_the_handlers() -> None:
    before = state()["signals"]
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signal_number == signal.SIGTERM
    assert state()["signals"] == before

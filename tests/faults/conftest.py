"""Fixtures that count injected and survived faults, and mount small disks."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from seq2attn.config.load import dump_config
from seq2attn.config.schema import Config
from tests.conftest import FAULTS
from tests.training_samples import FAMILIES, make_config, write_copy_task

Fault = Callable[[], AbstractContextManager[None]]
"""What is done while it is entered is the fault and what must hold after it."""


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    counts = {"injected": 0, "survived": 0}
    request.node.user_properties.append((FAULTS, counts))

    @contextmanager
    def count() -> Iterator[None]:
        counts["injected"] += 1
        yield
        counts["survived"] += 1

    return count


@pytest.fixture(autouse=True)
def _no_training_outlives_its_test() -> Iterator[None]:
    """Kill the trainings that a test leaves running, also when it fails."""
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)


def config_of(text: Path, family: str = "additive", **train: object) -> Config:
    """A run of 27 updates in 3 epochs, with dropout, two layers and checkpoints between validations."""
    settings = {"max_epochs": 3, "validate_every_steps": 7, "checkpoint_every_steps": 3} | train
    return make_config(text, FAMILIES[family] | {"dropout": 0.2, "n_layers": 2}, **settings)


def write_config(folder: Path, config: Config) -> Path:
    """`config` as a YAML file in `folder`, for the command."""
    file = folder / "config_of_the_test.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    return file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts file systems in memory with the given options, as in `size=2m`."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here ({done.stderr.strip()})")
        mounted.append(place)
        return place

    if os.geteuid() != 0:
        pytest.skip("only a superuser can mount a file system")
    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)

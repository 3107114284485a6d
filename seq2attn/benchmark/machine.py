"""What this machine can do: its rate of matrix products, the start of the command; and what it is."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from dataclasses import dataclass

import torch

import seq2attn
from seq2attn.benchmark.timing import Timing
from seq2attn.device import describe_machine

# Large enough that memory is no limit, small enough for a fraction of a second on one CPU core.
_PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}
_PRODUCTS = 2


@dataclass(frozen=True)
class Setting:
    """Where and how figures were measured."""

    machine: str
    device: str
    threads: int
    versions: dict[str, str]
    command: str

    @classmethod
    def here(cls, device: torch.device, command: str) -> Setting:
        """This process, started by `command`."""
        versions = {"seq2attn": seq2attn.__version__, "torch": torch.__version__, "python": platform.python_version()}
        return cls(describe_machine(device), str(device), torch.get_num_threads(), versions, command)


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done what it was given, without which a clock measures nothing on an accelerator."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class MatrixProducts:
    """Products of two square matrices in float32: the rate that no model on this machine can be above."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.size = _PRODUCT_SIZE.get(device.type, _PRODUCT_SIZE["cpu"])
        self.left, self.right, self.out = (torch.randn(self.size, self.size, device=device) for _ in range(3))

    def __call__(self) -> Timing:
        """A few of them in a row."""
        synchronize(self.device)
        started = time.perf_counter()
        for _ in range(_PRODUCTS):
            torch.mm(self.left, self.right, out=self.out)
        synchronize(self.device)
        return Timing(time.perf_counter() - started, flops=_PRODUCTS * 2 * self.size**3)


def start_help() -> Timing:
    """`seq2attn --help` in a new process."""
    return _time_python("-m", "seq2attn", "--help")


def start_training() -> Timing:
    """Everything that `seq2attn train` imports, in a new process."""
    return _time_python("-c", "import seq2attn.training.train")


def _time_python(*arguments: str) -> Timing:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return Timing(time.perf_counter() - started)

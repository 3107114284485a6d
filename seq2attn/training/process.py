"""What a training changes in its process, and restores: torch's settings, random state, signal handlers, imports."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, ModuleType, TracebackType
from typing import Any

import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.device import allow_tf32, environment_default
from seq2attn.models.precision import kept_kernels

# cuBLAS reads it when the process first uses it, and is deterministic only with it.
_CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
_NO_TENSORFLOW = "tensorboard.compat.notf"


@contextmanager
def training_process(settings: TrainConfig, device: torch.device) -> Iterator[None]:
    """Threads, determinism, TF32, environment and random state as a training needs them; restored at the end."""
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(kept_kernels(device, settings.precision))
        if settings.threads is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(settings.threads)
        if settings.deterministic:
            stack.enter_context(environment_default(*_CUBLAS_WORKSPACE))
        before = torch.are_deterministic_algorithms_enabled()
        # Setting what is already set would load torch's compiler, which takes a second.
        if settings.deterministic != before:
            warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
            stack.callback(torch.use_deterministic_algorithms, before, warn_only=warn_only)
            torch.use_deterministic_algorithms(settings.deterministic)
        if device.type == "cuda":
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            allow_tf32(device)
        yield


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Make TensorBoard use its own file functions even where TensorFlow is installed.

    TensorFlow takes seconds to load, fills stderr, claims the GPU and may be broken. TensorBoard does without it where
    it finds a module of a certain name. It looks once, so the module exists only within this context.
    """
    from tensorboard.compat import tf

    inserted = _NO_TENSORFLOW not in sys.modules
    if inserted:
        sys.modules[_NO_TENSORFLOW] = ModuleType(_NO_TENSORFLOW)
    try:
        dir(tf)  # makes it look
        yield
    finally:
        if inserted:
            del sys.modules[_NO_TENSORFLOW]


class StopRequest:
    """A context in which SIGINT and SIGTERM set `signal_number` and let the work continue; a second SIGINT ends it."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number

"""Time and peak memory of training steps, measured in a new process"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from seq2attn.benchmark.machine import synchronize
from seq2attn.config.schema import Config
from seq2attn.data.batch import Batch, collate
from seq2attn.device import forget_peak_memory, peak_memory_bytes
from seq2attn.errors import TrainingError
from seq2attn.models.build import build_model
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import update_weights

Lengths = Sequence[tuple[int, int]]
"""Tokens of source and target of each pair of a batch, EOS included."""

# So small that the weights stay those of a new model, however long a benchmark runs.
LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class StepCost:
    """The cost of training steps."""

    seconds: float
    """Of all steps once; the median where they were repeated."""
    peak_bytes: int
    """The most memory that the process held: Python, torch, model, optimizer and steps. On CUDA: that torch held."""
    added_bytes: int
    """By how much the steps raised the peak of an update on a single pair of two tokens."""


def measure_steps(config: Config, batches: Sequence[Lengths], device: torch.device, repeats: int) -> StepCost:
    """The cost of one update on each of `batches`, in a new process.

    Raises: TrainingError where the process is killed; DataError where the model cannot take a sentence so long.
    """
    new_process = multiprocessing.get_context("spawn")
    # Ctrl-C also reaches the new process, which should not print a traceback.
    silent = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(1, new_process, initializer=signal.signal, initargs=silent) as pool:
        try:
            return pool.submit(measure_steps_here, config, batches, device, repeats).result()
        except BrokenProcessPool as error:
            raise TrainingError(
                f"{config.name}: the process that measured its training step was killed, most likely for lack of "
                "memory; use shorter --lengths, or a smaller --set train.batch_tokens"
            ) from error


def measure_steps_here(config: Config, batches: Sequence[Lengths], device: torch.device, repeats: int) -> StepCost:
    """The same in this process, whose peak may be from before the steps unless on CUDA."""
    forget_peak_memory(device)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    torch.manual_seed(config.train.seed)
    vocab_size = config.subwords.vocab_size
    model = build_model(config.model, vocab_size, vocab_size, config.subwords.joint).to(device).train()
    optimizer = build_optimizer(model, config.train)
    made = [_random_batch(lengths, vocab_size) for lengths in batches]

    def step(batch: Batch) -> None:
        update_weights(model, optimizer, [batch.to(device)], config.train, 1, LEARNING_RATE)

    step(_random_batch([(2, 2)], vocab_size))
    before = peak_memory_bytes(device)
    times: list[float] = []
    for _ in range(1 + repeats):
        synchronize(device)
        started = time.perf_counter()
        for batch in made:
            step(batch)
        synchronize(device)
        times.append(time.perf_counter() - started)
    peak = peak_memory_bytes(device)
    return StepCost(statistics.median(times[1:]), peak, peak - before)


def _random_batch(lengths: Lengths, vocab_size: int) -> Batch:
    """Sentences of these lengths; which subwords they hold costs nothing."""

    def draw(length: int) -> list[int]:
        return torch.randint(vocab_size // 2, vocab_size, (length,)).tolist()

    return collate([draw(source) for source, _ in lengths], [draw(target - 1) for _, target in lengths])

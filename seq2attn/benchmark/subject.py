"""The models of one configuration under measurement: their work, and the cost of training steps in a new process"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from seq2attn.benchmark.flops import Sizes, decoding_flops, encoding_flops, training_flops, window_of
from seq2attn.benchmark.machine import Timing, synchronize
from seq2attn.benchmark.workload import Workload
from seq2attn.config.schema import Config
from seq2attn.config.settings import with_training
from seq2attn.data.batch import Batch, collate
from seq2attn.data.subwords import EOS_ID, PAD_ID
from seq2attn.decoding.translate import Translator
from seq2attn.device import forget_peak_memory, peak_memory_bytes
from seq2attn.errors import TrainingError
from seq2attn.models.build import build_model
from seq2attn.models.precision import kept_kernels, resolve_precision
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import forward_of, update_weights

Lengths = Sequence[tuple[int, int]]
"""Tokens of source and target of each pair of a batch, EOS included."""

# So small that the weights stay those of a new model, however long a benchmark runs.
LEARNING_RATE = 1e-6


@contextmanager
def resolved(configs: Mapping[str, Config], device: torch.device) -> Iterator[dict[str, Config]]:
    """The `configs` with the precision that `auto` stands for on `device`, in a process that is prepared for it."""
    precisions = {asked for config in configs.values() for asked in (config.train.precision, config.decode.precision)}
    with kept_kernels(device, *precisions):
        yield {
            name: with_training(config, precision=resolve_precision(config.train.precision, device))
            for name, config in configs.items()
        }


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
    optimizer, forward = build_optimizer(model, config.train), forward_of(model, config.train, device)
    made = [random_batch(lengths, vocab_size) for lengths in batches]

    def step(batch: Batch) -> None:
        update_weights(model, optimizer, [batch.to(device)], config.train, 1, LEARNING_RATE, forward=forward)

    step(random_batch([(2, 2)], vocab_size))
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


def random_batch(lengths: Lengths, vocab_size: int) -> Batch:
    """Sentences of these lengths; which subwords they hold costs nothing."""

    def draw(length: int) -> list[int]:
        return torch.randint(vocab_size // 2, vocab_size, (length,)).tolist()

    return collate([draw(source) for source, _ in lengths], [draw(target - 1) for _, target in lengths])


Work = Literal["training", "encoding", "greedy", "beam"]
WORKS: tuple[Work, ...] = get_args(Work)

# Target subwords per source subword, in addition to the few always allowed: about as long as the references.
_TRANSLATION_RATIO = 0.75


class Subject:
    """The models of `config`, and the same work for them in every round."""

    def __init__(self, config: Config, workload: Workload, updates: int, sentences: int, device: torch.device) -> None:
        """`updates` of training and `sentences` to translate make a round."""
        self.config = config
        self.device = device
        self.subwords = workload.subwords
        self.vocab_size = workload.subwords.target_size
        self.batches = workload.sample_batches(config.train, updates * config.train.accumulate)
        self.window = window_of(config.model)
        self.sizes = Sizes.of((lengths for batch in self.batches for lengths in lengths_of(batch)), window=self.window)
        self.sources = workload.sample_sources(sentences)
        self.source_lengths = [len(ids) for ids in self.subwords.encode_source(self.sources)]
        self.trained = self._build().train()
        self.forward = forward_of(self.trained, config.train, device)
        self.optimizer = build_optimizer(self.trained, config.train)
        if self.forward is not self.trained:
            self._train()  # compiles, which must not count
        self.translating = self._build().eval()
        # A new model would end sentences anywhere. Without EOS, all reach the maximum length.
        self.translating.output_bias.data[EOS_ID] = float("-inf")

    def measure(self, work: Work) -> Timing:
        """A round of `work`."""
        match work:
            case "training":
                return self._train()
            case "encoding":
                return self._encode()
            case "greedy":
                return self._translate(1)
            case "beam":
                return self._translate(self.config.decode.beam_size)

    def _build(self) -> Seq2Seq:
        torch.manual_seed(self.config.train.seed)
        subwords = self.subwords
        model = build_model(self.config.model, subwords.source_size, subwords.target_size, subwords.joint)
        return model.to(self.device)

    def _train(self) -> Timing:
        """Updates as in a training, from batches in memory to new weights; target tokens."""
        started = time.perf_counter()
        size = self.config.train.accumulate
        for first in range(0, len(self.batches), size):
            group = [batch.to(self.device) for batch in self.batches[first : first + size]]
            settings = self.config.train
            update_weights(self.trained, self.optimizer, group, settings, 1, LEARNING_RATE, forward=self.forward)
        synchronize(self.device)
        seconds = time.perf_counter() - started
        flops = training_flops(self.config.model, self.vocab_size, self.sizes)
        return Timing(seconds, self.sizes.target_tokens, flops)

    @torch.inference_mode()
    def _encode(self) -> Timing:
        """The same batches through the encoder, without gradients; source tokens."""
        started = time.perf_counter()
        for batch in self.batches:
            self.translating.encode(batch.source_ids.to(self.device), batch.source_valid.to(self.device))
        synchronize(self.device)
        seconds = time.perf_counter() - started
        return Timing(seconds, self.sizes.source_tokens, encoding_flops(self.config.model, self.sizes))

    def _translate(self, beam_size: int) -> Timing:
        """Sentences to translations, subwords and back included; target tokens of the best hypotheses."""
        settings = {"beam_size": beam_size, "max_length_ratio": _TRANSLATION_RATIO}
        translator = Translator(self.translating, self.subwords, self.config.decode.model_copy(update=settings))
        started = time.perf_counter()
        found = list(translator.stream(self.sources))
        seconds = time.perf_counter() - started
        lengths = [best[0].tokens for best in found]
        model = self.config.model
        sizes = Sizes.of(zip(self.source_lengths, lengths, strict=True), hypotheses=beam_size, window=self.window)
        flops = encoding_flops(model, sizes) + decoding_flops(model, self.vocab_size, sizes)
        return Timing(seconds, sum(lengths), flops)


def lengths_of(batch: Batch) -> list[tuple[int, int]]:
    """Tokens of each source and target, EOS included."""
    sources, targets = batch.source_valid.sum(dim=1), (batch.target_output != PAD_ID).sum(dim=1)
    return list(zip(sources.tolist(), targets.tolist(), strict=True))

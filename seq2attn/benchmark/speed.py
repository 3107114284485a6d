"""Speed of training and translation on this machine: `seq2attn bench`"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from seq2attn.benchmark.machine import (
    Audience,
    MatrixProducts,
    Ratio,
    Setting,
    Spread,
    Timing,
    alternate,
    start_help,
    start_training,
)
from seq2attn.benchmark.subject import WORKS, Subject, Work, lengths_of, measure_steps
from seq2attn.benchmark.workload import Workload, make_up_text
from seq2attn.config.schema import Config, SubwordsConfig, TrainConfig
from seq2attn.errors import ConfigError

_Key = tuple[str, str]
_Job = Callable[[], Timing]
_PRODUCTS = "products"
_START_UP: Mapping[str, _Job] = {"seq2attn --help": start_help, "imports of seq2attn train": start_training}


@dataclass(frozen=True)
class Effort:
    """The amount of work in a round."""

    pairs: int = 10_000
    """Sentence pairs of the text."""
    updates: int = 8
    """Of training, for each model."""
    sentences: int = 128
    """Translated by each model, greedily and with its beam."""


@dataclass(frozen=True)
class WorkSpeed:
    """The speed of one kind of work."""

    tokens_per_second: Spread
    """Source tokens for encoding, target tokens otherwise, without padding."""
    flops_per_second: Spread
    """By the count of `flops.py`."""
    share_of_products: Spread
    """Of the rate of matrix products in the same round."""
    relative_to_first: Ratio
    """Tokens per second, divided by those of the first model in the same round."""


@dataclass(frozen=True)
class ModelSpeed:
    """Everything about one model."""

    name: str
    kind: str
    attention: str
    parameters: int
    batch_tokens: int
    beam_size: int
    works: Mapping[Work, WorkSpeed]
    peak_memory_bytes: int
    """Of a process that only trains on the same batches; measured once."""


@dataclass(frozen=True)
class Bench:
    """A whole benchmark."""

    setting: Setting
    rounds: int
    products_flops_per_second: Spread
    start_up_seconds: Mapping[str, Spread]
    pipeline_tokens_per_second: Mapping[str, Spread]
    """Text to ids: tokens of both sides. Ids to batches: target tokens."""
    models: tuple[ModelSpeed, ...]

    def to_json(self) -> str:
        """The benchmark as indented JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def use_threads(configs: Sequence[Config]) -> None:
    """Use as many CPU threads as the configurations ask for.

    Raises: ConfigError where they differ, because all models share one process.
    """
    asked = {config.train.threads for config in configs}
    if len(asked) > 1:
        found = ", ".join(sorted("none" if number is None else str(number) for number in asked))
        raise ConfigError(
            f"train.threads: the configurations differ ({found}); use the same value, as in --set train.threads=2"
        )
    for threads in asked:
        if threads is not None:
            torch.set_num_threads(threads)


def measure_speed(
    configs: Mapping[str, Config],
    device: torch.device,
    command: str,
    seconds: float,
    audience: Audience,
    effort: Effort | None = None,
) -> Bench:
    """Measure the models of `configs`, by their names, for about `seconds`.

    Raises: ConfigError where they cannot be measured together; DataError where a sentence is too long for a model.
    """
    effort = effort or Effort()
    use_threads(list(configs.values()))
    with TemporaryDirectory() as folder:
        audience.say(f"generating {effort.pairs:,} sentence pairs and their subwords")
        workloads = _prepare_workloads(list(configs.values()), effort, Path(folder))
        subjects = {
            name: Subject(config, workloads[config.subwords], effort.updates, effort.sentences, device)
            for name, config in configs.items()
        }
        start_up = {("start-up", what): job for what, job in _START_UP.items()}
        pipeline = {("pipeline", what): job for what, job in _pipeline_jobs(configs, workloads).items()}
        timings = alternate(start_up | pipeline | _model_jobs(subjects, device), seconds, audience)
    audience.say("measuring the peak memory of training, each model in a new process")
    return Bench(
        setting=Setting.here(device, command),
        rounds=len(timings[_PRODUCTS, WORKS[0]]),
        products_flops_per_second=Spread.of(
            timing.flops_per_second for work in WORKS for timing in timings[_PRODUCTS, work]
        ),
        start_up_seconds={what: Spread.of(timing.seconds for timing in timings[key, what]) for key, what in start_up},
        pipeline_tokens_per_second={
            what: Spread.of(timing.tokens_per_second for timing in timings[key, what]) for key, what in pipeline
        },
        models=tuple(_model_speed(name, subject, next(iter(subjects)), timings) for name, subject in subjects.items()),
    )


def _prepare_workloads(configs: Sequence[Config], effort: Effort, folder: Path) -> dict[SubwordsConfig, Workload]:
    text = make_up_text(effort.pairs)
    return {
        subwords: Workload.prepare(text, subwords, folder)
        for subwords in dict.fromkeys(config.subwords for config in configs)
    }


def _model_jobs(subjects: Mapping[str, Subject], device: torch.device) -> dict[_Key, _Job]:
    """Each kind of work by all models in turn, and matrix products before it, under the same conditions."""
    products = MatrixProducts(device)
    jobs: dict[_Key, _Job] = {}
    for work in WORKS:
        jobs[_PRODUCTS, work] = products
        jobs |= {(work, name): partial(subject.measure, work) for name, subject in subjects.items()}
    return jobs


def _pipeline_jobs(configs: Mapping[str, Config], workloads: Mapping[SubwordsConfig, Workload]) -> dict[str, _Job]:
    """The steps between text and model, once for all configurations that share them."""
    jobs: dict[str, _Job] = {}
    for config in configs.values():
        subwords, settings = config.subwords, config.train
        workload = workloads[subwords]
        words = f"{subwords.vocab_size:,} {'joint ' if subwords.joint else ''}{subwords.kind} subwords"
        jobs[f"text to ids, {words}"] = partial(_time_encoding, workload)
        jobs[f"ids to batches of {settings.batch_tokens:,}, {words}"] = partial(_time_batches, workload, settings)
    return jobs


def _time_encoding(workload: Workload) -> Timing:
    started = time.perf_counter()
    workload.encode_again()
    return Timing(time.perf_counter() - started, workload.tokens)


def _time_batches(workload: Workload, settings: TrainConfig) -> Timing:
    started = time.perf_counter()
    batches = workload.all_batches(settings)
    return Timing(time.perf_counter() - started, sum(batch.target_tokens for batch in batches))


def _model_speed(name: str, subject: Subject, first: str, timings: Mapping[_Key, Sequence[Timing]]) -> ModelSpeed:
    """`first`: the model that the others are compared with."""
    config = subject.config
    works = {work: _work_speed(timings[work, name], timings[_PRODUCTS, work], timings[work, first]) for work in WORKS}
    lengths = [lengths_of(batch) for batch in subject.batches]
    memory = measure_steps(config, lengths, subject.device, repeats=1).peak_bytes
    return ModelSpeed(
        name=name,
        kind=config.model.kind,
        attention=config.model.attention,
        parameters=subject.trained.count_parameters(),
        batch_tokens=config.train.batch_tokens,
        beam_size=config.decode.beam_size,
        works=works,
        peak_memory_bytes=memory,
    )


def _work_speed(timings: Sequence[Timing], products: Sequence[Timing], first: Sequence[Timing]) -> WorkSpeed:
    return WorkSpeed(
        Spread.of(timing.tokens_per_second for timing in timings),
        Spread.of(timing.flops_per_second for timing in timings),
        Spread.of(
            timing.flops_per_second / limit.flops_per_second for timing, limit in zip(timings, products, strict=True)
        ),
        Ratio.of(
            timing.tokens_per_second / other.tokens_per_second for timing, other in zip(timings, first, strict=True)
        ),
    )

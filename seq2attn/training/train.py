"""One training run from its configuration to its folder: `seq2attn train`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

import seq2attn
from seq2attn.config.load import load_config
from seq2attn.config.schema import Config, TrainConfig
from seq2attn.config.settings import as_in_run, flat_settings, with_training
from seq2attn.device import choose_device, describe_machine
from seq2attn.errors import ConfigError, DataError, MismatchError, RunError, disk_errors
from seq2attn.models.build import build_model
from seq2attn.models.precision import kept_kernels, resolve_precision, slowness
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.checkpoint import differences, made_for, set_weights, weights_of
from seq2attn.runs.folder import RunFolder, TrainedRun, load_run
from seq2attn.runs.lock import locked
from seq2attn.runs.model_card import write_card
from seq2attn.training.board import Board
from seq2attn.training.display import Display
from seq2attn.training.log import Backend, JsonLines, LogFile, TrainingLog
from seq2attn.training.loop import Trainer, TrainingResult
from seq2attn.training.observer import Observer
from seq2attn.training.prepare import PreparedText, prepare_text
from seq2attn.training.process import training_process
from seq2attn.training.process_group import join_ranks, was_restarted
from seq2attn.training.ranks import Ranks

# What a resumed run may change: how long it trains and how often it saves, never what it computes.
_FREE_ON_RESUME = {
    *(f"train.{key}" for key in ("max_steps", "max_epochs", "max_minutes", "threads")),
    *(f"train.{key}" for key in ("checkpoint_every_steps", "keep_checkpoints", "max_failed_updates", "histograms")),
    *(f"decode.{key}" for key in ("beam_size", "length_penalty", "batch_tokens", "precision")),
    *("data.folder", "data.processes"),
}


def train(
    config: Config,
    path: Path,
    device_name: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    observer: Observer | None = None,
    display: Callable[[], Backend] = Display,
    start_from: Path | None = None,
) -> TrainingResult:
    """Train `config` in the run folder `path`; with `resume`, continue from its newest checkpoint.

    `observer` sees each validation; `display` makes what shows the training, which `quiet` leaves out. `start_from`: a
    run of the same model, whose weights and subwords a new run starts with. Processes that `torchrun` started together
    train one model together; each calls this with the same arguments, and the first one writes the folder.

    Raises: RunError where the folder holds a run and `resume` is False, or another process trains in it; DiskError
    where it cannot be written; ConfigError where the run to resume was started with another configuration;
    MismatchError where `start_from` has another model; DataError, FetchError, CheckpointError, TrainingError.
    """
    folder, resume = RunFolder(path), resume or was_restarted()
    with join_ranks(choose_device(device_name)) as (ranks, device), _locked(folder, ranks):
        config = _with_dropout_seed(config, folder, resume, ranks)
        translating = kept_kernels(device, config.decode.precision)
        with training_process(config.train, device), translating, disk_errors(path):
            config = _with_precision(config, folder, resume, device, ranks)
            resumes = ranks.first(lambda: check_folder(folder, config, resume))
            return _train(config, folder, device, resumes, None if quiet else display, observer, start_from, ranks)


@contextmanager
def _locked(folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Make and lock the folder; the first process does so for all."""

    def lock() -> None:
        folder.make()
        stack.enter_context(locked(folder.path))

    with ExitStack() as stack:
        ranks.first(lock)
        yield


def check_shareable(settings: TrainConfig, n_processes: int) -> None:
    """Check that each of several processes gets a batch of every update.

    Raises: ConfigError.
    """
    if settings.accumulate < n_processes:
        batches = f"{settings.accumulate} batch" + "es" * (settings.accumulate > 1)
        tokens = max(1, settings.batch_tokens * settings.accumulate // n_processes)
        raise ConfigError(
            f"train.accumulate: {n_processes} processes cannot share updates of {batches}; updates of about the same "
            f"size have train.accumulate={n_processes} and train.batch_tokens={tokens}"
        )


def _with_dropout_seed(config: Config, folder: RunFolder, resume: bool, ranks: Ranks) -> Config:
    """`config` with the seed of dropout that the number of processes requires; a resumed run keeps its own.

    Raises: ConfigError where an update has fewer batches than there are processes.
    """
    try:
        check_shareable(config.train, ranks.size)
    except ConfigError as error:
        raise ranks.shared_error(error) from None
    by_batch = ranks.size > 1 or (resume and folder.exists and folder.read_config().train.dropout_seed == "batch")
    if not by_batch:
        return config
    return with_training(config, dropout_seed="batch")


def _with_precision(config: Config, folder: RunFolder, resume: bool, device: torch.device, ranks: Ranks) -> Config:
    """`config` with the precision that `auto` stands for: that of the run to resume, or the faster one here."""

    def choose() -> str:
        kept = as_in_run(config, folder.read_config()) if resume and folder.exists else config
        return resolve_precision(kept.train.precision, device)

    return with_training(config, precision=ranks.first(choose))


def open_log(folder: RunFolder, first_step: int, display: Callable[[], Backend] | None) -> TrainingLog:
    """The log of a run that starts or resumes after `first_step`; without a `display` it is only written to files."""
    # Closed in reverse order: the bar has left the terminal before another back end fails.
    backends = [JsonLines(folder, first_step), LogFile(folder), Board(folder.tensorboard, first_step)]
    return TrainingLog(backends if display is None else [*backends, display()])


def _train(
    config: Config,
    folder: RunFolder,
    device: torch.device,
    resume: bool,
    display: Callable[[], Backend] | None,
    observer: Observer | None,
    start_from: Path | None,
    ranks: Ranks,
) -> TrainingResult:
    first: TrainedRun | None = None
    # The others find what the first process has made: the subwords in the folder, the encoded text in the cache.
    with ranks.first_then_others():
        if ranks.writes:
            first = _first_weights(config, folder, resume, start_from)
        text = prepare_text(config, folder, resume or not ranks.writes, None if first is None else first.folder.path)
        if ranks.writes:
            _check_text(text, folder, resume)
            # Only now, so that unusable text leaves no run behind that would block the next attempt.
            folder.begin(config)
    torch.manual_seed(config.train.seed)
    subwords = text.subwords
    model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint)
    env = _environment(config, text, model, device, ranks)
    if first is not None:
        set_weights(model, weights_of(first.model), str(first.folder.path))
    starts_from = folder.read_env().get("starts_from") if resume else start_from
    if starts_from is not None:
        env["starts_from"] = str(starts_from)
    ranks.first(lambda: _describe(folder, env))
    trainer = Trainer(config, text, model, folder, device, observer if ranks.writes else None, ranks)
    warnings: list[str] = []
    if resume:
        trainer.resume(warnings.append)
    if ranks.writes and (slow := slowness(config.train.precision, device)) is not None:
        warnings.append(f"train.precision: {slow}")
    with open_log(folder, trainer.step, display) if ranks.writes else TrainingLog([]) as log:
        log.begin(config)
        pairs, parameters = len(text.train), model.count_parameters()
        log.message(f"{config.name}: {parameters:,} parameters, {pairs:,} training pairs, {env['machine']}")
        for warning in warnings:
            log.message(warning)
        if trainer.step:
            log.message(f"resumes after step {trainer.step}")
        result = trainer.run(log)
    ranks.first(lambda: write_card(folder))
    return result


def _check_text(text: PreparedText, folder: RunFolder, resume: bool) -> None:
    if resume and folder.read_env().get("corpus_digest", text.corpus.digest) != text.corpus.digest:
        raise DataError(
            f"--resume: {folder.path} was started with other text than the corpus has now; train in another --run-dir"
        )


def _describe(folder: RunFolder, env: Mapping[str, Any]) -> None:
    folder.write_env(env)
    write_card(folder)


def _first_weights(config: Config, folder: RunFolder, resume: bool, start_from: Path | None) -> TrainedRun | None:
    """The run whose weights this one starts with, if any; a run that was stopped before its first checkpoint, again."""
    if resume:
        before = folder.read_env().get("starts_from")
        start_from = Path(before) if before is not None and not folder.steps() else None
    if start_from is None:
        return None
    run = load_run(start_from, torch.device("cpu"))
    ours, theirs = (made_for(model, run.subwords) for model in (config.model, run.config.model))
    if differing := differences(theirs, ours):
        raise MismatchError(f"--start-from {start_from}: has another model: {', '.join(differing)}")
    return run


def check_folder(folder: RunFolder, config: Config, resume: bool) -> bool:
    """Whether the folder holds a run to resume.

    Raises: RunError where it holds a run and `resume` is False, or a finished one; ConfigError where the run was
    started with another configuration.
    """
    if not folder.exists:
        return False
    if not resume:
        raise RunError(f"{folder.path}: already holds a run; resume it with --resume, or choose another --run-dir")
    if folder.finished:
        raise RunError(f"{folder.path}: this run is finished; train longer in another --run-dir")
    of_run = load_config(folder.config_file)
    before, now = _decided(of_run), _decided(as_in_run(config, of_run))
    if changes := differences(before, now):
        raise ConfigError(f"--resume: {folder.path} was started with another configuration: {', '.join(changes)}")
    return True


def _decided(config: Config) -> dict[str, Any]:
    """The settings by dotted key that a resumed run must share."""
    return {key: value for key, value in flat_settings(config).items() if key not in _FREE_ON_RESUME}


def _environment(
    config: Config, text: PreparedText, model: Seq2Seq, device: torch.device, ranks: Ranks
) -> dict[str, Any]:
    corpus = text.corpus
    processes = f"; {ranks.size} processes" if ranks.size > 1 else ""
    return {
        "seq2attn": seq2attn.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{describe_machine(device)}{processes}",
        "device": str(device),
        "seed": config.train.seed,
        "parameters": model.count_parameters(),
        "corpus": corpus.name,
        "source_language": corpus.source_language,
        "target_language": corpus.target_language,
        "corpus_digest": corpus.digest,
        "corpus_counts": {split: dict(counts) for split, counts in corpus.counts.items()},
    }

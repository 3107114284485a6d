"""The trainings of an experiment: which are left, how many run side by side, and how they divide the cores"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from seq2attn.config.load import replace_seed
from seq2attn.corpora.load import load_corpus
from seq2attn.data.workers import available_cores
from seq2attn.device import choose_device
from seq2attn.errors import ConfigError
from seq2attn.experiment.pictures import Pictures
from seq2attn.experiment.side_by_side import Cores, Interrupted, Training, train_side_by_side
from seq2attn.models.build import build_model
from seq2attn.runs.folder import RunFolder
from seq2attn.training.train import check_folder, train


def with_seeds(first: Sequence[Training], n_seeds: int) -> list[Training]:
    """`first`, then each of them with the next seed, and so on."""
    return [*first, *(_of_next_seed(training, more) for more in range(1, n_seeds) for training in first)]


def train_all(trainings: Sequence[Training], device_name: str, jobs: int | None = 1) -> None:
    """Train what is not finished yet; side by side, of each seed the model with the most weights first.

    `jobs`: trainings side by side, a process each; None for as many as the device and its cores allow. With one, this
    process trains, and translates nothing.

    Raises: ConfigError where a folder holds a run with other settings, before anything starts; Interrupted; the errors
    of training.
    """
    device = choose_device(device_name)
    left = [training for training in trainings if not _is_trained(training)]
    cores = Cores(available_cores(), torch.get_num_threads())
    n_jobs = choose_jobs(left, device, cores.total) if jobs is None else jobs
    if min(n_jobs, len(left)) > 1:
        _prepare_corpora(left)
        train_side_by_side(sorted(left, key=turn), device_name, n_jobs, cores)
        return
    for training in left:
        _train_here(training, device_name)


def turn(training: Training) -> tuple[int, int]:
    """Its place in the order, by seed, then by weights: the longest training must not be the last one on one core."""
    vocab_size = training.config.subwords.vocab_size
    with torch.device("meta"):  # shapes without numbers
        model = build_model(training.config.model, vocab_size, vocab_size, training.config.subwords.joint)
    return training.seeds_before, -sum(weights.numel() for weights in model.parameters())


def choose_jobs(trainings: Sequence[Training], device: torch.device, cores: int) -> int:
    """How many trainings run side by side by default: on a CPU as many as it has cores for, on a GPU one."""
    # On Windows no process can be asked to stop, only be ended.
    if device.type != "cpu" or sys.platform == "win32":
        return 1
    threads = max((training.config.train.threads or 1 for training in trainings), default=1)
    return max(1, cores // threads)


def _of_next_seed(training: Training, more: int) -> Training:
    seed = training.config.train.seed + more
    run = training.run.with_name(f"{training.run.name}-seed{seed}")
    return replace(training, run=run, config=replace_seed(training.config, seed), seeds_before=more)


def _is_trained(training: Training) -> bool:
    """Whether the training is finished.

    Raises: ConfigError where its folder holds a run with other settings.
    """
    folder = RunFolder(training.run)
    if not folder.finished:
        check_folder(folder, training.config, resume=True)
        return False
    if not folder.is_of(training.config):
        raise ConfigError(
            f"{training.run}: holds a run with other settings; choose another --out, or delete the folder"
        )
    return True


def _prepare_corpora(trainings: Iterable[Training]) -> None:
    """Fetch and clean the text of all trainings, so that no two processes do so at once."""
    for data in {training.config.data.model_dump_json(): training.config.data for training in trainings}.values():
        load_corpus(data)


def _train_here(training: Training, device_name: str) -> None:
    resume = RunFolder(training.run).exists
    result = train(training.config, training.run, device_name, resume=resume, observer=Pictures())
    if result.stopped_by is not None:
        raise Interrupted(result.stopped_by)

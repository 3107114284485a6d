"""The checkpoints of a run in training: saving, finding, averaging, deleting"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seq2attn.errors import CheckpointError, DiskError
from seq2attn.runs.checkpoint import (
    load_weights,
    newest_intact,
    read_manifest,
    remove_checkpoint,
    save_checkpoint,
    weights_of,
)
from seq2attn.runs.folder import RunFolder

# Four bytes for each weight, and as many for each of AdamW's two averages of its gradients.
_BYTES_PER_WEIGHT = 12
_OTHER_BYTES = 2**20  # manifest, metrics, log, a growing TensorBoard file


class CheckpointManager:
    """Saves checkpoints, and keeps only the newest and the best of them."""

    def __init__(self, folder: RunFolder, keep_newest: int, made_for: Mapping[str, Any]) -> None:
        """`made_for`: the architecture and vocabulary that each checkpoint records."""
        self.folder = folder
        self.keep_newest = keep_newest
        self.made_for = dict(made_for)

    def save(self, step: int, model: nn.Module, state: Mapping[str, Any], best: Sequence[int]) -> None:
        """Write the checkpoint of `step` unless it exists, and delete those that are neither new nor in `best`."""
        if step not in self.folder.steps():
            about = {"step": step, "made_for": self.made_for}
            save_checkpoint(self.folder.step(step), weights_of(model), state, about)
        newest = self.folder.steps()[-self.keep_newest :]
        for old in self.folder.steps():
            if old not in newest and old not in best:
                remove_checkpoint(self.folder.step(old))

    def save_final(self, model: nn.Module, about: Mapping[str, Any]) -> None:
        """Write the final weights, which the run translates with; `about` is part of their manifest."""
        save_checkpoint(self.folder.final, weights_of(model), None, {**about, "made_for": self.made_for})

    def newest(self, warn: Callable[[str], object]) -> Path | None:
        """The newest intact checkpoint, None without any checkpoint; `warn` receives a line on damaged ones.

        Newer ones that are damaged are renamed, and partial ones that a killed process left are deleted.

        Raises: CheckpointError where all are damaged.
        """
        found = newest_intact(self.folder.newest_first(), warn)
        for step in self.folder.steps():
            if found is not None and step > int(found.name.removeprefix("step_")):
                damaged = self.folder.step(step)
                shutil.rmtree(damaged.with_name(f"{damaged.name}.damaged"), ignore_errors=True)
                damaged.rename(damaged.with_name(f"{damaged.name}.damaged"))
        for partial in self.folder.checkpoints.glob(".step_*"):
            shutil.rmtree(partial, ignore_errors=True)
        return found

    def is_intact(self, step: int) -> bool:
        """Whether the checkpoint of `step` exists and matches its checksums."""
        try:
            read_manifest(self.folder.step(step))
        except CheckpointError:
            return False
        return True

    def average(self, steps: Sequence[int]) -> dict[str, Tensor]:
        """The mean of the weights of the checkpoints of `steps`."""
        members = [load_weights(self.folder.step(step)) for step in steps]
        return {name: torch.stack([member[name] for member in members]).mean(0) for name in members[0]}

    def check_free_space(self, weights: int, best: int) -> None:
        """Check that the disk has room for all checkpoints of a model of `weights` parameters.

        Raises: DiskError with the space that is needed and the space that is free.
        """
        # One more than are kept, because the new one is complete before an old one is deleted.
        missing = max(1, self.keep_newest + best + 1 - len(self.folder.steps()))
        needed = missing * weights * _BYTES_PER_WEIGHT + _OTHER_BYTES
        free = shutil.disk_usage(self.folder.path).free
        if free < needed:
            raise DiskError(
                f"{self.folder.path}: {free / 2**20:,.0f} MiB are free and the checkpoints take up to "
                f"{needed / 2**20:,.0f} MiB; free some space, choose another --run-dir, or lower "
                "train.keep_checkpoints and train.average_checkpoints"
            )

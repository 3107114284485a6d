"""Checkpoints that are whole or not there: written aside, synced, renamed, and checked by sha256 when read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seq2attn.errors import CheckpointError

FORMAT = 1
_MODEL, _STATE, _MANIFEST = "model.safetensors", "state.pt", "manifest.json"


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The trainable weights by name; shared ones stand once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def set_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy `weights` into `model`.

    Raises: CheckpointError naming what differs, where names or shapes do.
    """
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(value.shape) for name, value in parameters.items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    differing = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
    if differing:
        first = differing[0]
        raise CheckpointError(
            f"{where}: its weights are of another model: {len(differing)} differ, first {first}, "
            f"{found.get(first, 'missing')} in the file and {shapes.get(first, 'missing')} in the model"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def save_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], state: Mapping[str, Any] | None, about: Mapping[str, Any]
) -> None:
    """Write weights, training state (none for a model that only translates) and `about` as the new `folder`.

    Raises: CheckpointError where the disk is full or cannot be written; a checkpoint of that name then stays as it was.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file({name: value.contiguous().cpu() for name, value in weights.items()}, aside / _MODEL)
        if state is not None:
            torch.save(dict(state), aside / _STATE)
        files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
        manifest = {"format": FORMAT, "files": files, **about}
        (aside / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for path in (*aside.iterdir(), aside):
            _sync(path)
        before = folder.with_name(f".{folder.name}.before")
        if folder.exists():
            folder.rename(before)
        aside.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(before, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(f"{folder}: could not be written ({error}); free some space and use --resume") from error


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, after its files were compared with its manifest.

    Raises: CheckpointError.
    """
    read_manifest(folder)
    return load_file(folder / _MODEL)


def load_state(folder: Path) -> dict[str, Any]:
    """The training state of a checkpoint; nothing but tensors and plain values is ever unpickled.

    Raises: CheckpointError.
    """
    if _STATE not in read_manifest(folder)["files"]:
        raise CheckpointError(f"{folder}: holds weights alone, no training state to go on from")
    try:
        state = torch.load(folder / _STATE, weights_only=True, map_location="cpu")
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{folder / _STATE}: refused, it holds more than tensors and plain values") from error
    assert isinstance(state, dict)
    return state


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the checkpoint says of itself.

    Raises: CheckpointError where a file is missing or is not the one that was written.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"{folder}: has format {manifest['format']}, this version reads {FORMAT}")
        for name, digest in manifest["files"].items():
            if _digest(folder / name) != digest:
                raise CheckpointError(f"{folder / name}: damaged, its sha256 is not the one in the manifest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder}: not a whole checkpoint ({error})") from error
    return dict(manifest)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

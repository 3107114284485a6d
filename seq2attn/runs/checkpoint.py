"""Checkpoints, written atomically and verified by SHA-256 when read"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seq2attn.config.models import MODEL_KINDS, ModelConfig
from seq2attn.data.cache import sync
from seq2attn.data.subwords import Subwords
from seq2attn.errors import CheckpointError, MismatchError

FORMAT = 1
_MODEL, _STATE, _MANIFEST = "model.safetensors", "state.pt", "manifest.json"


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The trainable weights by name; shared weights appear once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def set_weights(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy `weights` into `model`.

    Raises: MismatchError naming what differs, where names or shapes do.
    """
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(value.shape) for name, value in parameters.items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    differing = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
    if differing:
        first = differing[0]
        raise MismatchError(
            f"{where}: its weights belong to another model: {len(differing)} differ, first {first}, "
            f"{found.get(first, 'missing')} in the file and {shapes.get(first, 'missing')} in the model"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def save_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], state: Mapping[str, Any] | None, about: Mapping[str, Any]
) -> None:
    """Write weights, training state (None for a model that only translates) and `about` as the new `folder`.

    Raises: CheckpointError where the disk is full or not writable; an existing checkpoint of that name is unchanged.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file({name: value.contiguous().cpu() for name, value in weights.items()}, aside / _MODEL)
        if state is not None:
            with (aside / _STATE).open("wb") as file:
                torch.save(dict(state), file)
        files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
        manifest = {"format": FORMAT, "files": files, **about}
        manifest["checksum"] = _checksum(manifest)
        (aside / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for path in (*aside.iterdir(), aside):
            sync(path)
        before = folder.with_name(f".{folder.name}.before")
        if folder.exists():
            folder.rename(before)
        aside.rename(folder)
        sync(folder.parent)
        shutil.rmtree(before, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(
            f"{folder}: could not be written ({_reason(error)}); free some space and use --resume"
        ) from error


def remove_checkpoint(folder: Path) -> None:
    """Delete a checkpoint. If the process is killed, nothing named like a checkpoint is left."""
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, whose files are first verified against its manifest.

    Raises: CheckpointError.
    """
    read_manifest(folder)
    try:
        return load_file(folder / _MODEL)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / _MODEL}: refused, not a safetensors file ({error})") from error


def load_state(folder: Path) -> dict[str, Any]:
    """The training state of a checkpoint; only tensors and plain values are ever unpickled.

    Raises: CheckpointError.
    """
    if _STATE not in read_manifest(folder)["files"]:
        raise CheckpointError(f"{folder}: holds only weights, no training state to resume from")
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles not written by torch, which it then refuses
            state = torch.load(folder / _STATE, weights_only=True, map_location="cpu")
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{folder / _STATE}: refused, it holds more than tensors and plain values") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{folder / _STATE}: holds a {type(state).__name__}; expected a training state")
    return state


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, after its files were verified against it.

    Raises: CheckpointError where a file is missing or damaged; MismatchError where another version wrote it.
    """
    manifest = read_about(folder)
    try:
        for name, digest in manifest["files"].items():
            if _digest(folder / name) != digest:
                raise CheckpointError(f"{folder / name}: damaged, its sha256 differs from the manifest")
    except OSError as error:
        raise CheckpointError(f"{folder}: not a complete checkpoint ({error})") from error
    return manifest


def read_about(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, without verifying its files.

    Raises: CheckpointError where its manifest is missing or damaged; MismatchError where another version wrote it.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise MismatchError(
                f"{folder}: format is {manifest['format']}; expected {FORMAT}, the format of this version"
            )
        # Manifests of the first versions have neither `checksum` nor `made_for`.
        if {"checksum", "made_for"} & manifest.keys() and manifest["checksum"] != _checksum(manifest):
            raise CheckpointError(f"{folder / _MANIFEST}: damaged, its checksum differs from its content")
        if not {_MODEL} <= manifest["files"].keys() <= {_MODEL, _STATE}:
            raise CheckpointError(f"{folder / _MANIFEST}: lists {', '.join(manifest['files']) or 'no file'}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{folder}: not a complete checkpoint ({error})") from error
    return dict(manifest)


def newest_intact(newest_first: Iterable[Path], warn: Callable[[str], object]) -> Path | None:
    """The first intact checkpoint, None for no checkpoints; `warn` receives a line on damaged ones.

    Raises: CheckpointError where all are damaged; MismatchError where one is from another version.
    """
    damage = ""
    for folder in newest_first:
        try:
            read_manifest(folder)
        except MismatchError:
            raise
        except CheckpointError as error:
            damage = str(error)
        else:
            if damage:
                warn(f"{damage}; using {folder.name} instead")
            return folder
    if damage:
        raise CheckpointError(f"{damage}, and no other checkpoint is intact; train again in another --run-dir")
    return None


def made_for(model: ModelConfig, subwords: Subwords) -> dict[str, Any]:
    """The architecture and the vocabulary of weights, as recorded in their checkpoint."""
    architecture = {f"model.{key}": value for key, value in model.model_dump(exclude={"dropout"}).items()}
    sizes = {"source_size": subwords.source_size, "target_size": subwords.target_size, "digest": subwords.digest}
    return architecture | {f"subwords.{key}": value for key, value in sizes.items()}


def check_made_for(folder: Path, now: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a checkpoint, after checking that it belongs to the model that `now` describes.

    Raises: CheckpointError where it is damaged; MismatchError naming what differs.
    """
    manifest = read_manifest(folder)
    # Without this record, weights are still compared by name and shape.
    if "made_for" in manifest and (differing := differences(*map(_with_all_settings, (manifest["made_for"], now)))):
        raise MismatchError(f"{folder}: belongs to another model: {', '.join(differing)}")
    return manifest


def _with_all_settings(made_for: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the settings that it leaves out, or that models did not have yet, at their defaults."""
    kind = MODEL_KINDS.get(made_for.get("model.kind", ""))
    known = kind.model_fields if kind else {}
    defaults = {f"model.{key}": field.default for key, field in known.items() if key != "dropout"}
    return defaults | dict(made_for)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, each in words: `train.seed was 1 and is 2`."""
    keys = sorted(key for key in before if before[key] != now.get(key)) + sorted(now.keys() - before.keys())
    return [f"{key} was {before.get(key)} and is {now.get(key)}" for key in keys]


def _reason(error: BaseException) -> BaseException:
    """The OSError behind `error`, if any: torch raises its own error about file positions on top of it."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, OSError):
        link = link.__context__
    return link or error


def _checksum(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

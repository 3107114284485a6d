"""The presets: a folder of model configurations each, shipped with the package."""

from __future__ import annotations

from pathlib import Path

import seq2attn
from seq2attn.errors import ConfigError

_PACKAGE = Path(seq2attn.__file__).parent
# Where the question is what lies past the training length, consecutive sentences are joined, beyond 120 words.
_JOIN_SIZES: dict[str, tuple[int, ...]] = {"positions": (1, 2, 4, 6)}


def presets_folder() -> Path:
    """`configs/` inside the installed package, or beside the package's source."""
    # Inside goes first: beside an installed package, a folder of this name would be somebody else's.
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def preset_names() -> list[str]:
    """All presets, by name."""
    return sorted(path.name for path in presets_folder().iterdir() if path.is_dir())


def preset_files(name: str) -> list[Path]:
    """The model configurations of a preset, by name.

    Raises: ConfigError where there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(f"--preset {name}: there is none of this name; choose one of {', '.join(preset_names())}")
    return sorted((presets_folder() / name).glob("*.yaml"))


def join_sizes(name: str) -> tuple[int, ...]:
    """How many sentences are joined when a preset is evaluated; empty: none are."""
    return _JOIN_SIZES.get(name, ())

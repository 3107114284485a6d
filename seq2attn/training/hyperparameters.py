"""The settings of a run as a flat table, and as TensorBoard's table of runs takes them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from seq2attn.config.schema import MODEL_KINDS, Config


def flat_settings(config: Config) -> dict[str, Any]:
    """Every setting by its dotted key, as in `train.seed`."""
    flat: dict[str, Any] = {"name": config.name}
    for section, settings in _sections(config).items():
        flat |= {f"{section}.{key}": value for key, value in settings.model_dump().items()}
    return flat


def hyperparameters(config: Config) -> dict[str, float | str]:
    """Every setting by its dotted key: a number where its default is one, else words."""
    table: dict[str, float | str] = {"name": str(config.name)}
    for section, settings in _sections(config).items():
        table |= _columns(section, settings)
    return table


def all_hyperparameters(config: Config) -> dict[str, float | str]:
    """Those of `config` and of every other kind of model.

    TensorBoard takes the columns of its table from any one run, and runs of all kinds are to have theirs in it.
    """
    others = (kind() for kind in MODEL_KINDS.values())
    return {key: value for model in others for key, value in _columns("model", model).items()} | hyperparameters(config)


def _sections(config: Config) -> dict[str, BaseModel]:
    return {name: section for name in Config.model_fields if isinstance(section := getattr(config, name), BaseModel)}


def _columns(section: str, settings: BaseModel) -> dict[str, float | str]:
    fields = type(settings).model_fields
    return {
        f"{section}.{key}": _cell(value, is_number=_is_number(fields[key].default))
        for key, value in settings.model_dump().items()
    }


def _cell(value: Any, is_number: bool) -> float | str:
    """One column is either numbers or words, or else it cannot be sorted: what may be left out is words."""
    if is_number:
        return float(value)
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(default: object) -> bool:
    return isinstance(default, int | float) and not isinstance(default, bool)

"""The settings of a run as a flat table, for comparing runs and for TensorBoard's table of hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from seq2attn.config.models import MODEL_KINDS
from seq2attn.config.schema import Config


def flat_settings(config: Config) -> dict[str, Any]:
    """Every setting by its dotted key, as in `train.seed`."""
    flat: dict[str, Any] = {"name": config.name}
    for section, settings in _sections(config).items():
        flat |= {f"{section}.{key}": value for key, value in settings.model_dump().items()}
    return flat


def with_training(config: Config, **settings: Any) -> Config:
    """`config` with these settings of `train`, which are valid."""
    return config.model_copy(update={"train": config.train.model_copy(update=settings)})


def as_in_run(config: Config, of_run: Config) -> Config:
    """`config` for a run that began with `of_run`: `train.precision: auto` is what it stood for there."""
    return with_training(config, precision=of_run.train.precision) if config.train.precision == "auto" else config


def hyperparameters(config: Config) -> dict[str, float | str]:
    """Every setting by its dotted key: a number if its default is a number, else a string."""
    table: dict[str, float | str] = {"name": str(config.name)}
    for section, settings in _sections(config).items():
        table |= _columns(section, settings)
    return table


def all_hyperparameters(config: Config) -> dict[str, float | str]:
    """The hyperparameters of `config`, and defaults for those that only other kinds of model have.

    TensorBoard takes the columns of its table from a single run, so every run names the columns of all kinds.
    """
    others = (kind() for kind in MODEL_KINDS.values())
    return {key: value for model in others for key, value in _columns("model", model).items()} | hyperparameters(config)


def _sections(config: Config) -> dict[str, BaseModel]:
    return {name: section for name in Config.model_fields if isinstance(section := getattr(config, name), BaseModel)}


def _columns(section: str, settings: BaseModel) -> dict[str, float | str]:
    fields = type(settings).model_fields
    return {
        f"{section}.{key}": _cell(value, is_number=fields[key].annotation in (int, float))
        for key, value in settings.model_dump().items()
    }


def _cell(value: Any, is_number: bool) -> float | str:
    # A column can be sorted only if it holds either numbers or strings; optional settings are strings.
    if is_number:
        return float(value)
    return value if isinstance(value, str) else json.dumps(value)


Settings = Mapping[str, object]
"""The settings of one run by dotted key."""

ABSENT = "–"
"""Stands for the value of a setting that a kind of model does not have."""

_NOT_SET = "not set"
_SECTIONS: Mapping[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


@dataclass(frozen=True)
class DifferingSetting:
    """A key, its meaning in the first run that has it, and its value in each run."""

    key: str
    meaning: str
    values: tuple[str, ...]


def differing_settings(runs: Sequence[Settings]) -> list[DifferingSetting]:
    """The settings, except the name, that are not the same in all runs.

    A setting that is unset in some runs and does not exist in the others does not differ.
    """
    keys = dict.fromkeys(key for settings in runs for key in settings if key != "name")
    sections = list(dict.fromkeys(_section(key) for key in keys))
    differing = []
    # Keys that only some kinds of model have are listed with the rest of their section.
    for key in sorted(keys, key=lambda key: sections.index(_section(key))):
        values = [settings.get(key) for settings in runs]
        if any(value != values[0] for value in values):
            meaning = _meaning(key, next(settings for settings in runs if key in settings))
            differing.append(DifferingSetting(key, meaning, tuple(_text(key, settings) for settings in runs)))
    return differing


def _section(key: str) -> str:
    return key.partition(".")[0]


def _text(key: str, settings: Settings) -> str:
    if key not in settings:
        return ABSENT
    value = settings[key]
    if value is None:
        return _NOT_SET
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meaning(key: str, settings: Settings) -> str:
    """The meaning of `key` given the other `settings`: the same key can mean different things in different models."""
    section, _, name = key.partition(".")
    schema = MODEL_KINDS[str(settings["model.kind"])] if section == "model" else _SECTIONS.get(section)
    field = None if schema is None else schema.model_fields.get(name)
    return "" if field is None else " ".join((field.description or "").split())

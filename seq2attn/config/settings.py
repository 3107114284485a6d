"""The settings of a run as a flat table, and as TensorBoard's table of runs takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


Settings = Mapping[str, object]
"""Those of one run by dotted key."""

ABSENT = "–"
"""The value of a setting that this kind of model lacks."""

_NOT_SET = "not set"
_SECTIONS: Mapping[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


@dataclass(frozen=True)
class DifferingSetting:
    """A key, what it means in the first run that has it, and its values, one a run."""

    key: str
    meaning: str
    values: tuple[str, ...]


def differing_settings(runs: Sequence[Settings]) -> list[DifferingSetting]:
    """The settings that are not the same in all runs, without the name.

    What nobody has set is no difference, even where only some kinds of model could have it.
    """
    keys = dict.fromkeys(key for settings in runs for key in settings if key != "name")
    sections = list(dict.fromkeys(_section(key) for key in keys))
    found = []
    # The keys that only some kinds of model have stand beside those that all have.
    for key in sorted(keys, key=lambda key: sections.index(_section(key))):
        values = [settings.get(key) for settings in runs]
        if any(value != values[0] for value in values):
            meaning = _meaning(key, next(settings for settings in runs if key in settings))
            found.append(DifferingSetting(key, meaning, tuple(_text(key, settings) for settings in runs)))
    return found


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
    """What `key` means beside the other `settings`; a key of the model can mean another thing in another kind."""
    section, _, name = key.partition(".")
    schema = MODEL_KINDS[str(settings["model.kind"])] if section == "model" else _SECTIONS.get(section)
    field = None if schema is None else schema.model_fields.get(name)
    return "" if field is None else " ".join((field.description or "").split())

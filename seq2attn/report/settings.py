"""Where the configurations of several runs differ, and what the differing keys mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from seq2attn.config.schema import MODEL_KINDS, Config
from seq2attn.report.content import RunRecord

_ABSENT = object()


@dataclass(frozen=True)
class DifferingSetting:
    """A key, what it means, and its value in each run; a dash where a run has no such key."""

    key: str
    meaning: str
    values: tuple[str, ...]


def differing_settings(runs: Sequence[RunRecord]) -> list[DifferingSetting]:
    """The settings that are not the same in all runs, without the name."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if key != "name")
    sections = list(dict.fromkeys(_section(key) for key in keys))
    meanings = _meanings()
    found = []
    # The keys that only some kinds of model have stand beside those that all have.
    for key in sorted(keys, key=lambda key: sections.index(_section(key))):
        values = [run.settings.get(key, _ABSENT) for run in runs]
        if any(value != values[0] for value in values):
            found.append(DifferingSetting(key, meanings.get(key, ""), tuple(map(_text, values))))
    return found


def _section(key: str) -> str:
    return key.partition(".")[0]


def _text(value: object) -> str:
    if value is _ABSENT or value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meanings() -> Mapping[str, str]:
    """What each key means, by its dotted name."""
    sections: list[tuple[str, type[BaseModel]]] = [("model", model) for model in MODEL_KINDS.values()]
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append((name, field.annotation))
    return {
        f"{section}.{key}": " ".join((field.description or "").split())
        for section, model in sections
        for key, field in model.model_fields.items()
    }

"""A validated `Config` from YAML files and `key.path=value` overrides, and back to YAML."""

from __future__ import annotations

import io
import reprlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from seq2attn.config.models import MODEL_KINDS
from seq2attn.config.schema import Config, DataConfig, is_address
from seq2attn.errors import ConfigError

_LONGEST_FOUND = 80
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = _LONGEST_FOUND


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The validated configuration in `path`, with `overrides` (`train.seed=2`) applied.

    Raises: ConfigError naming the file, the key and what was expected.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{file}: no such configuration file{_similar_file(file)}")
    try:
        tree = _parse_yaml(file.read_text(encoding="utf-8"), f"{file}: not valid YAML")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not valid YAML: not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected a mapping with the sections {', '.join(Config.model_fields)}")
    for override in overrides:
        _apply_override(tree, override)
    tree.setdefault("name", file.stem)
    config = parse_config(tree, str(file), {override.partition("=")[0].strip(): override for override in overrides})
    return config.model_copy(update={"data": _with_absolute_paths(config.data)})


def parse_config(tree: Mapping[str, Any], where: str, overrides: Mapping[str, str] = MappingProxyType({})) -> Config:
    """The validated configuration in nested mappings; `where` names their origin in errors.

    `overrides`: the arguments of `--set`, by key.

    Raises: ConfigError naming every wrong key.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for details in error.errors(include_url=False):
            location = _location(dict(details))
            paths = [".".join(location[:depth]) for depth in range(len(location), 0, -1)]
            origin = next((f"--set {overrides[path]}" for path in paths if path in overrides), where)
            # Even a key may contain a line end.
            problems.setdefault(origin, []).append(" ".join(_explain(dict(details), location, tree).split()))
        raise ConfigError("; ".join(f"{origin}: {'; '.join(lines)}" for origin, lines in problems.items())) from error


def replace_budget(config: Config, minutes: float) -> Config:
    """`config` with a budget of `minutes` instead of its own.

    Raises: ConfigError if `minutes` is not a positive number.
    """
    return _replace_training(config, {"max_minutes": minutes, "max_steps": None, "max_epochs": None}, "--minutes")


def replace_seed(config: Config, seed: int) -> Config:
    """`config` with another `train.seed`.

    Raises: ConfigError if `seed` is not a valid seed.
    """
    return _replace_training(config, {"seed": seed}, "--seeds")


def dump_config(config: Config) -> str:
    """`config` as YAML, with every key written out."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(config.model_dump(), stream)
    return stream.getvalue()


def in_short(value: object) -> str:
    """The beginning of `value`; with YAML aliases, all of it could fill the memory."""
    text = _REPR.repr(value)
    return text if len(text) <= _LONGEST_FOUND else f"{text[:_LONGEST_FOUND]}…"


def _replace_training(config: Config, settings: Mapping[str, object], origin: str) -> Config:
    tree = config.model_dump()
    tree["train"] |= settings
    return parse_config(tree, origin)


def _with_absolute_paths(data: DataConfig) -> DataConfig:
    """`data` with absolute paths to the user's files, so that a run finds them from any working folder."""
    absolute: dict[str, str | list[str]] = {}
    for split in ("train", "validation", "test"):
        spec = getattr(data, split)
        if isinstance(spec, str):
            absolute[split] = spec if is_address(spec) else str(Path(spec).absolute())
        elif spec is not None:
            absolute[split] = [str(Path(name).absolute()) for name in spec]
    return data.model_copy(update=absolute)


def _parse_yaml(text: str, problem: str) -> Any:
    try:
        with warnings.catch_warnings(action="error"):  # an anchor defined twice is a typo
            return YAML(typ="safe", pure=True).load(text)
    except Exception as error:  # on some text the parser itself fails, with a TypeError and the like
        raise ConfigError(f"{problem}: {_first_line(error)}") from error


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: expected key.path=value, as in train.seed=2")
    value = _parse_yaml(text, f"--set {override}: the value is not valid YAML") if text.strip() else None
    section = tree
    for key in keys[:-1]:
        if not isinstance(section.setdefault(key, {}), dict):
            raise ConfigError(f"--set {override}: {key} is a value, not a section")
        section = section[key]
    section[keys[-1]] = value


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _location(details: dict[str, Any]) -> list[str]:
    """The path of keys to the value that a pydantic error is about."""
    location = [str(part) for part in details["loc"]]
    # The union of models adds its tag ("rnn") to the path; the user did not write it.
    if len(location) > 1 and location[0] == "model" and location[1] in MODEL_KINDS:
        del location[1]
    # So does the union of the two forms of `data.join`.
    if location[:2] == ["data", "join"]:
        del location[2:3]
    if details["type"].startswith("union_tag"):
        location.append("kind")
    return location


def _explain(details: dict[str, Any], location: Sequence[str], tree: Mapping[str, Any]) -> str:
    """A pydantic error as `key.path: what is wrong`, with the nearest known key for an unknown one."""
    path = ".".join(location) or "the configuration"
    if details["type"] == "extra_forbidden":
        near = _similar_key(location, tree)
        hint = f", did you mean {near}?" if near else f" (known: {', '.join(_keys_at(location[:-1], tree))})"
        return f"unknown key {path}{hint}"
    if details["type"] == "union_tag_invalid":
        return f"{path}: expected one of {', '.join(MODEL_KINDS)}, found {in_short(details['input'].get('kind'))}"
    if details["type"] == "union_tag_not_found":
        return f"{path}: missing; expected one of {', '.join(MODEL_KINDS)}"
    if details["type"] == "missing":
        return f"{path}: missing"
    if details["type"] == "value_error":
        return f"{path}: {details['ctx']['error']}"
    message = details["msg"][0].lower() + details["msg"][1:]
    return f"{path}: {message}, found {in_short(details['input'])}"


def _similar_key(location: Sequence[str], tree: Mapping[str, Any]) -> str | None:
    """The key that was probably meant: the same name within a section, or a similar name."""
    *section, key = location
    if not section:
        for name in Config.model_fields:
            if key in _keys_at([name], tree):
                return f"{name}.{key}"
    return next(iter(get_close_matches(key, _keys_at(section, tree), n=1, cutoff=0.5)), None)


def _similar_file(file: Path) -> str:
    """A hint at a file with a similar name in the same folder, or nothing."""
    names = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
    return "".join(f"; did you mean {file.parent / name}?" for name in get_close_matches(file.name, names, n=1))


def _keys_at(location: Iterable[str], tree: Mapping[str, Any]) -> list[str]:
    """The keys that the schema knows in the section at `location`."""
    section: type[BaseModel] = Config
    for part in location:
        if part == "model":
            model = tree.get("model")
            section = MODEL_KINDS[model["kind"] if isinstance(model, dict) else "rnn"]
            continue
        subsection = _section_in(section.model_fields[part].annotation)
        if subsection is None:
            return []
        section = subsection
    return list(section.model_fields)


def _section_in(annotation: object) -> type[BaseModel] | None:
    """The section in the annotation of a field, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)

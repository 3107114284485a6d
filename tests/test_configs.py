"""The configurations that are shipped, and the page that describes their keys."""

from pathlib import Path
from typing import Any

import pytest

from seq2attn.config.document import configuration_page
from seq2attn.config.load import load_config
from seq2attn.config.schema import Config
from tests.command_line import CONFIGS

FILES = sorted(CONFIGS.rglob("*.yaml"))
PRESETS = sorted(path for path in CONFIGS.iterdir() if path.is_dir())
PAGE = CONFIGS.parent / "docs" / "configuration.md"
BUDGET = ("max_steps", "max_epochs", "max_minutes")


def differences(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    """The dotted keys at which two resolved configurations differ."""
    found = set()
    for key in first.keys() | second.keys():
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found |= {f"{key}.{inner}" for inner in differences(one, other)}
        elif one != other:
            found.add(key)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_shipped_configuration_loads_and_names_its_system(file: Path) -> None:
    config = load_config(file)
    assert config.name != file.stem  # what figures show is written for people
    assert config.data.corpus is not None


@pytest.mark.parametrize("preset", PRESETS, ids=name_of)
def test_a_preset_has_the_three_models_under_distinct_names(preset: Path) -> None:
    assert {path.stem for path in preset.glob("*.yaml")} >= {"rnn_fixed", "rnn_attention", "transformer"}
    names = [load_config(path).name for path in preset.glob("*.yaml")]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("preset", PRESETS, ids=name_of)
def test_attention_is_one_line_of_yaml(preset: Path) -> None:
    fixed, attention = (load_config(preset / f"{name}.yaml").model_dump() for name in ("rnn_fixed", "rnn_attention"))
    assert differences(fixed, attention) == {"name", "model.attention"}
    assert fixed["model"]["attention"] == "none"


@pytest.mark.parametrize("preset", PRESETS, ids=name_of)
def test_all_models_of_a_preset_get_the_same_text_and_time(preset: Path) -> None:
    def shared(config: Config) -> tuple[object, ...]:
        return config.data, config.subwords, *(getattr(config.train, key) for key in BUDGET)

    assert len({str(shared(load_config(path))) for path in preset.glob("*.yaml")}) == 1


def test_the_page_of_all_keys_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), "run scripts/make_docs.py"


def test_the_page_says_choices_bounds_defaults_and_meaning() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]
    assert "| `cell` | `gru`, `lstm` | `lstm` | The recurrent cell. |" in rows
    assert any(row.startswith("| `label_smoothing` | number ≥ 0, < 1 | `0.1` | Share of") for row in rows)
    assert any(row.startswith("| `max_steps` | integer > 0 | – |") for row in rows)
    assert any(row.startswith("| `train` | string or list of strings | – |") for row in rows)
    assert all(row.count("|") == 5 for row in rows)

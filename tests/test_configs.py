"""The shipped configurations, and the page that describes their keys."""

from pathlib import Path
from typing import Any, get_args

import pytest

from scripts.make_docs import ARCHITECTURE, CONFIGURATION, architecture_page, configuration_page
from seq2attn.config.load import load_config
from seq2attn.config.models import TransformerConfig
from seq2attn.config.schema import Config
from tests.command_line import CONFIGS

FILES = sorted(CONFIGS.rglob("*.yaml"))
# The presets compare three models, or one model on different training text, with different position schemes, or with
# different attention in its encoder.
CURVES = sorted(path.parent for path in CONFIGS.glob("*/rnn_fixed.yaml"))
PAPER, POSITIONS, ENCODERS = CONFIGS / "paper", CONFIGS / "positions", CONFIGS / "encoders"
BUDGET = ("max_steps", "max_epochs", "max_minutes")


def differences(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    """The dotted keys at which two resolved configurations differ."""
    found = set()
    for key in first.keys() | second.keys():
        left, right = first.get(key), second.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            found |= {f"{key}.{inner}" for inner in differences(left, right)}
        elif left != right:
            found.add(key)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_shipped_configuration_loads_and_names_its_system(file: Path) -> None:
    config = load_config(file)
    assert config.name != file.stem  # names in figures are meant for people
    assert config.data.corpus is not None


@pytest.mark.parametrize("preset", CURVES, ids=name_of)
def test_a_preset_has_the_three_models_under_distinct_names(preset: Path) -> None:
    assert {path.stem for path in preset.glob("*.yaml")} >= {"rnn_fixed", "rnn_attention", "transformer"}
    names = [load_config(path).name for path in preset.glob("*.yaml")]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("preset", CURVES, ids=name_of)
def test_attention_is_one_line_of_yaml(preset: Path) -> None:
    fixed, attention = (load_config(preset / f"{name}.yaml").model_dump() for name in ("rnn_fixed", "rnn_attention"))
    # Where a length penalty was chosen on validation, it was for each model.
    assert differences(fixed, attention) - {"decode.length_penalty"} == {"name", "model.attention"}
    assert fixed["model"]["attention"] == "none"


@pytest.mark.parametrize("preset", CURVES, ids=name_of)
def test_all_models_of_a_preset_get_the_same_text_and_time(preset: Path) -> None:
    def shared(config: Config) -> tuple[object, ...]:
        return config.data, config.subwords, *(getattr(config.train, key) for key in BUDGET)

    assert len({str(shared(load_config(path))) for path in preset.glob("*.yaml")}) == 1


def test_every_preset_is_of_a_checked_kind() -> None:
    assert sorted(path for path in CONFIGS.iterdir() if path.is_dir()) == sorted([*CURVES, PAPER, POSITIONS, ENCODERS])


@pytest.mark.parametrize("model", ["rnn_fixed", "rnn_attention", "transformer"])
def test_the_models_of_the_paper_differ_only_in_training_length(model: str) -> None:
    up_to_30, up_to_50 = (load_config(PAPER / f"{model}_{cap}.yaml") for cap in (30, 50))
    assert differences(up_to_30.model_dump(), up_to_50.model_dump()) == {"name", "data.max_source_words"}
    assert (up_to_30.data.max_source_words, up_to_50.data.max_source_words) == (30, 50)


def test_the_paper_s_two_recurrent_models_differ_only_in_attention() -> None:
    fixed, attention = (load_config(PAPER / f"{name}_30.yaml").model_dump() for name in ("rnn_fixed", "rnn_attention"))
    assert differences(fixed, attention) == {"name", "model.attention"}
    assert len(list(PAPER.glob("*.yaml"))) == 6


def test_the_study_of_positions_differs_only_in_positions_and_has_all() -> None:
    configs = {path.stem: load_config(path) for path in POSITIONS.glob("*.yaml")}
    schemes = get_args(TransformerConfig.model_fields["positions"].annotation)
    assert configs.keys() == set(schemes)
    for scheme, config in configs.items():
        assert config.model.model_dump()["positions"] == scheme
        assert config.data.max_source_words == 30
        assert differences(config.model_dump(), configs["none"].model_dump()) <= {"name", "model.positions"}


def test_the_comparison_of_encoders_differs_only_in_self_attention_and_has_all() -> None:
    configs = {path.stem: load_config(path) for path in ENCODERS.glob("*.yaml")}
    assert configs.keys() == set(get_args(TransformerConfig.model_fields["self_attention"].annotation))
    full = configs["full"].model_dump()
    for kind, config in configs.items():
        assert isinstance(config.model, TransformerConfig)
        assert config.model.self_attention == kind
        assert differences(config.model_dump(), full) <= {"name", "model.self_attention", "model.window"}
    assert differences(full, load_config(CONFIGS / "quick" / "transformer.yaml").model_dump()) == {"name"}


def test_the_page_of_all_keys_is_current() -> None:
    assert CONFIGURATION.read_text(encoding="utf-8") == configuration_page(), "run scripts/make_docs.py"


def test_the_page_lists_choices_bounds_defaults_and_meaning() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]
    assert "| `cell` | `gru`, `lstm` | `lstm` | The recurrent cell. |" in rows
    assert any(row.startswith("| `label_smoothing` | number ≥ 0, < 1 | `0.1` | Fraction of") for row in rows)
    assert any(row.startswith("| `max_steps` | integer > 0 | – |") for row in rows)
    assert any(row.startswith("| `train` | string or list of strings | – |") for row in rows)
    assert all(row.count("|") == 5 for row in rows)


def test_the_architecture_page_has_every_module() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    assert page == architecture_page(page), "run scripts/make_docs.py"

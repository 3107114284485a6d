from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from seq2attn.config.load import dump_config, load_config, parse_config, replace_budget
from seq2attn.config.models import RnnConfig, TransformerConfig
from seq2attn.config.schema import Config, DataConfig, DecodeConfig, JoinConfig, SubwordsConfig, TrainConfig
from seq2attn.errors import ConfigError

_SECTIONS = (Config, DataConfig, SubwordsConfig, RnnConfig, TransformerConfig, TrainConfig, DecodeConfig)
ALL_KEYS = sorted({key for section in _SECTIONS for key in section.model_fields})

MINIMAL = "data: {corpus: bible-fr-en}\nmodel: {kind: rnn}\ntrain: {max_steps: 10}\n"


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "rnn_small.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def test_the_name_defaults_to_the_file_and_overrides_win(minimal: Path) -> None:
    config = load_config(minimal, ["train.seed=7", "model.attention=dot", "train.learning_rate=3e-4"])
    assert config.name == "rnn_small"
    assert config.train.seed == 7
    assert config.model.attention == "dot"
    assert config.train.learning_rate == 3e-4


def test_no_is_norwegian_and_not_false(minimal: Path) -> None:
    assert load_config(minimal, ["data.target_language=no"]).data.target_language == "no"


def test_a_dumped_configuration_loads_to_the_same(minimal: Path, tmp_path: Path) -> None:
    config = load_config(minimal)
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config


def test_minutes_replace_every_other_budget(minimal: Path) -> None:
    train = replace_budget(load_config(minimal, ["train.max_epochs=3"]), 2.5).train
    assert (train.max_minutes, train.max_steps, train.max_epochs) == (2.5, None, None)


def test_own_files_get_absolute_paths(minimal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = ["data.corpus=", "data.train=text/train", "data.validation=[a.fr, /b.en]"]
    data = load_config(minimal, overrides).data
    assert data.train == str(tmp_path / "text" / "train")
    assert data.validation == [str(tmp_path / "a.fr"), "/b.en"]
    assert data.test is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.seeed=1", r"unknown key train\.seeed, did you mean seed\?"),
        ("model.cel=gru", r"unknown key model\.cel, did you mean cell\?"),
        ("model.n_heads=4", r"unknown key model\.n_heads"),
        ("modell.kind=rnn", r"unknown key modell, did you mean model\?"),
        ("model.kind=lstm", r"model\.kind: expected one of rnn, transformer, found 'lstm'"),
        ("model.attention=multiplicative", r"model\.attention: input should be 'none', 'additive'"),
        ("model.d_model=33", r"d_model must be even"),
        ("model.dropout=1.5", r"model\.dropout: input should be less than 1, found 1\.5"),
        ("train.learning_rate=.nan", r"train\.learning_rate: input should be a finite number"),
        ("train.max_steps=", r"give at least one of max_steps"),
        ("train={max_steps: 9, best_by: bleu, validation_sentences: 0}", r"best_by: bleu needs validation_sentences"),
        ("data.train=a.tsv", r"give either corpus or train"),
        ("data.join=0", r"data\.join: input should be greater than or equal to 1"),
        ("data.join={sizes: 2..4}", r"data\.join\.sizes: expected 1 and larger sizes, each once"),
        ("data.join={sizes: [1]}", r"data\.join\.sizes: list should have at least 2 items"),
        ("data.join={sizes: 1..3, single: 2}", r"unknown key data\.join\.single, did you mean singles\?"),
        ("data={corpus: x, split_clauses: true, join: {sizes: 1..3}}", r"split_clauses adds parts of sentences"),
        ("train", r"expected key\.path=value"),
        ("train.seed.x=1", r"train\.seed"),
        ("train.seed=[", r"not valid YAML"),
    ],
)
def test_a_wrong_override_is_a_one_line_error(minimal: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(minimal, [override])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_joining_by_sizes_survives_a_round_trip_through_a_file(minimal: Path, tmp_path: Path) -> None:
    config = load_config(minimal, ["data.join={sizes: 1..4, singles: 3}"])
    assert isinstance(config.data.join, JoinConfig)
    assert config.data.join.sizes == [1, 2, 3, 4]
    (tmp_path / "dumped.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "dumped.yaml") == config


def test_yaml_can_construct_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text("data: !!python/object/apply:os.system ['true']\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_missing_file_and_wrong_shape(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a mapping with the sections"):
        load_config(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match=r"x: data: missing; model: missing; train: missing"):
        parse_config({}, "x")


def config_or_message(load: Callable[[], Config]) -> Config | str:
    try:
        return load()
    except ConfigError as error:
        return str(error)


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ALL_KEYS) | st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    text=st.text(st.characters(codec="utf-8"), max_size=60)
    | st.text(st.sampled_from("data:{}[]&*!- \n\"'|>#"), max_size=60)
)
def test_any_text_is_a_configuration_or_a_one_line_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    loaded = config_or_message(lambda: load_config(path))
    assert isinstance(loaded, Config) or "\n" not in loaded


@given(value=YAML_VALUES, key=st.sampled_from(ALL_KEYS), section=st.sampled_from(["", *Config.model_fields]))
def test_any_value_under_any_key_is_accepted_or_a_one_line_error(value: object, key: str, section: str) -> None:
    tree: dict[str, Any] = {"data": {"corpus": "x"}, "model": {"kind": "rnn"}, "train": {"max_steps": 1}}
    if section in ("", "name"):
        tree[key] = value
    else:
        tree[section] = tree.get(section, {}) | {key: value}
    loaded = config_or_message(lambda: parse_config(tree, "x"))
    if isinstance(loaded, Config):
        assert parse_config(YAML(typ="safe", pure=True).load(dump_config(loaded)), "x") == loaded
    else:
        assert "\n" not in loaded
        assert len(loaded) < 4000

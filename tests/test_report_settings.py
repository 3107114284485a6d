from __future__ import annotations

from seq2attn.config.load import load_config
from seq2attn.config.settings import Settings, differing_settings, flat_settings
from tests.command_line import CONFIGS


def a_run(file: str, *overrides: str) -> Settings:
    return flat_settings(load_config(CONFIGS / "smoke" / f"{file}.yaml", overrides))


def test_the_ablation_is_one_line() -> None:
    (setting,) = differing_settings([a_run("rnn_attention"), a_run("rnn_fixed")])
    assert setting.key == "model.attention"
    assert setting.values[1] == "none"
    assert setting.meaning.startswith("How the decoder sees the source")


def test_settings_of_only_one_kind_of_model_are_listed_with_the_model() -> None:
    found = differing_settings([a_run("transformer"), a_run("rnn_fixed", "train.seed=7")])
    by_key = {setting.key: setting for setting in found}
    assert by_key["model.n_heads"].values[1] == by_key["model.cell"].values[0] == "–"
    # The same key can have another meaning for another kind of model; the meaning in the first run is shown.
    assert by_key["model.attention"].meaning.startswith("The attention score")
    sections = [setting.key.partition(".")[0] for setting in found]
    assert sections == sorted(sections, key=["data", "subwords", "model", "train", "decode"].index)
    assert all(setting.meaning for setting in found)


def test_a_setting_that_is_never_set_does_not_differ() -> None:
    runs = [a_run("transformer"), a_run("rnn_fixed")]
    assert (runs[0]["model.d_ff"], runs[1].get("model.d_ff")) == (None, None)
    assert "model.d_ff" not in [setting.key for setting in differing_settings(runs)]


def test_unset_and_nonexistent_settings_are_distinct() -> None:
    runs = [a_run("transformer"), a_run("transformer", "model.d_ff=512"), a_run("rnn_fixed")]
    (values,) = [setting.values for setting in differing_settings(runs) if setting.key == "model.d_ff"]
    assert values == ("not set", "512", "–")


def test_identical_runs_have_no_differing_settings() -> None:
    assert differing_settings([a_run("rnn_fixed"), a_run("rnn_fixed")]) == []
    assert differing_settings([]) == []

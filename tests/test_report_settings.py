from __future__ import annotations

from seq2attn.config.load import load_config
from seq2attn.config.settings import Settings, differing_settings, flat_settings
from tests.command_line import CONFIGS


def a_run(file: str, *overrides: str) -> Settings:
    return flat_settings(load_config(CONFIGS / "smoke" / f"{file}.yaml", overrides))


def test_the_ablation_is_one_line() -> None:
    (one,) = differing_settings([a_run("rnn_attention"), a_run("rnn_fixed")])
    assert one.key == "model.attention"
    assert one.values[1] == "none"
    assert one.meaning.startswith("How the decoder sees the source")


def test_what_only_one_kind_of_model_has_stands_with_the_model() -> None:
    found = differing_settings([a_run("transformer"), a_run("rnn_fixed", "train.seed=7")])
    by_key = {one.key: one for one in found}
    assert by_key["model.n_heads"].values[1] == by_key["model.cell"].values[0] == "–"
    # The same key of another kind of model means another thing; told is that of the first run.
    assert by_key["model.attention"].meaning.startswith("The score")
    sections = [one.key.partition(".")[0] for one in found]
    assert sections == sorted(sections, key=["data", "subwords", "model", "train", "decode"].index)
    assert all(one.meaning for one in found)


def test_what_nobody_has_set_is_no_difference() -> None:
    runs = [a_run("transformer"), a_run("rnn_fixed")]
    assert (runs[0]["model.d_ff"], runs[1].get("model.d_ff")) == (None, None)
    assert "model.d_ff" not in [one.key for one in differing_settings(runs)]


def test_not_set_and_not_there_are_told_apart() -> None:
    runs = [a_run("transformer"), a_run("transformer", "model.d_ff=512"), a_run("rnn_fixed")]
    (values,) = [one.values for one in differing_settings(runs) if one.key == "model.d_ff"]
    assert values == ("not set", "512", "–")


def test_runs_that_are_alike_differ_in_nothing() -> None:
    assert differing_settings([a_run("rnn_fixed"), a_run("rnn_fixed")]) == []
    assert differing_settings([]) == []

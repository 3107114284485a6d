from __future__ import annotations

from seq2attn.config.load import load_config
from seq2attn.report.settings import Settings, differing_settings
from seq2attn.training.hyperparameters import flat_settings
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


def test_runs_that_are_alike_differ_in_nothing() -> None:
    assert differing_settings([a_run("rnn_fixed"), a_run("rnn_fixed")]) == []
    assert differing_settings([]) == []

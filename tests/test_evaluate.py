import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seq2attn.config.load import dump_config, load_config
from seq2attn.errors import DataError
from seq2attn.evaluation.lengths import Bins
from seq2attn.experiment.evaluate import Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.experiment.judge import search_otherwise
from seq2attn.experiment.outputs import report_content
from seq2attn.report.content import ReportDetails
from tests.command_line import call

SETTINGS = EvaluationSettings("validation", Bins((0, 30)), "source", beam_size=None, command="seq2attn eval")


class Translated:
    """Records which systems were translated, and the last progress of each."""

    def __init__(self) -> None:
        self.progress: dict[str, tuple[int, int]] = {}

    def __call__(self, name: str, finished: int, total: int) -> None:
        self.progress[name] = finished, total


def evaluate(*runs: Path, settings: EvaluationSettings = SETTINGS) -> tuple[Evaluation, dict[str, tuple[int, int]]]:
    translated = Translated()
    return evaluate_runs(runs, settings, torch.device("cpu"), translated), translated.progress


def change(run: Path, *overrides: str) -> None:
    file = run / "config.yaml"
    file.write_text(dump_config(load_config(file, overrides)), encoding="utf-8")


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the small run without translations, which tests may change."""
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("translations"))


def test_translations_are_saved_with_the_run_and_reused(run: Path) -> None:
    first, progress = evaluate(run)
    total = len(first.text.sources)
    assert progress == {"RNN, attention": (total, total)}
    second, progress = evaluate(run)
    assert progress == {}
    assert (second.summary, second.translations) == (first.summary, first.translations)


@pytest.mark.parametrize(
    "setting", ["decode.length_penalty=0.5", "decode.max_length_ratio=1.5", "data.max_length_ratio=3.5"]
)
def test_another_search_or_text_is_translated_again(run: Path, setting: str) -> None:
    evaluate(run)
    change(run, setting)
    assert evaluate(run)[1]
    assert not evaluate(run)[1]


def test_the_size_of_a_batch_changes_no_translation(run: Path) -> None:
    evaluate(run)
    change(run, "decode.batch_tokens=100")
    assert not evaluate(run)[1]


def test_other_weights_are_translated_again_and_a_run_in_training_says_so(run: Path) -> None:
    finished, _ = evaluate(run)
    checkpoints = run / "checkpoints"
    for name in ("final", "step_30"):
        shutil.rmtree(checkpoints / name)
    unfinished, progress = evaluate(run)
    assert progress
    (before,), (now,) = finished.summary.systems, unfinished.summary.systems
    assert before.training is not None
    assert before.training.steps == 30
    assert now.training is None


def test_each_beam_size_has_its_own_translations(run: Path) -> None:
    evaluate(run)
    wider = EvaluationSettings("validation", SETTINGS.bins, "source", beam_size=2, command="")
    assert evaluate(run, settings=wider)[1]
    assert not evaluate(run)[1]
    assert not evaluate(run, settings=wider)[1]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("decode.length_penalty=0.6", ["greedy search", "length penalties"]),
        ("decode.beam_size=1", []),
    ],
)
def test_a_search_that_is_the_run_s_own_is_not_repeated(run: Path, own: str, expected: list[str]) -> None:
    change(run, "decode.beam_size=2", "decode.max_length_ratio=0.1", own)
    first, _ = evaluate(run)
    for names in (expected, []):
        searched = Translated()
        found = search_otherwise(first.runs, first.text, None, searched)
        assert list(searched.progress) == [f"RNN, attention, {name}" for name in names]
    assert list(found) == ["greedy search", "length penalty 0", "length penalty 0.6", "length penalty 1"]
    assert found["length penalty 0.6"] == first.translations
    if not expected:
        assert found["greedy search"] == found["length penalty 0"] == found["length penalty 1"] == first.translations


def test_other_searches_make_a_run_s_own_on_the_way(run: Path) -> None:
    change(run, "decode.beam_size=2", "decode.length_penalty=0.3")
    first, _ = evaluate(run)
    shutil.rmtree(run / "translations")
    search_otherwise(first.runs, first.text, None, lambda *_: None)
    again, progress = evaluate(run)
    assert not progress
    assert again.translations == first.translations


def test_other_searches_need_joined_sentences(tiny_run: Path) -> None:
    done = call("eval", tiny_run, "--searches", "--split=validation")
    assert done.code == 2
    assert "--searches: these sentences are not joined; train the runs with sizes in data.join" in done.stderr


def test_truncated_translations_are_made_again(run: Path) -> None:
    first, _ = evaluate(run)
    (saved,) = (run / "translations").iterdir()
    saved.write_bytes(saved.read_bytes()[:200])
    again, progress = evaluate(run)
    assert progress
    assert again.translations == first.translations


def test_runs_on_different_text_cannot_be_compared(run: Path, tiny_run: Path) -> None:
    config = load_config(run / "config.yaml")
    corpus = evaluate(tiny_run)[0].text.corpus
    assert config.data.source_language is None
    languages = f"data.source_language={corpus.target_language}", f"data.target_language={corpus.source_language}"
    change(run, *languages)
    with pytest.raises(DataError, match="its validation sentences differ from those of"):
        evaluate(tiny_run, run)


def test_two_runs_of_one_name_are_distinguished_by_folder(run: Path, tiny_run: Path) -> None:
    evaluation, _ = evaluate(tiny_run, run)
    names = [f"RNN, attention ({folder})" for folder in (tiny_run, run)]
    assert [system.name for system in evaluation.summary.systems] == names
    assert evaluation.translations[names[0]] == evaluation.translations[names[1]]


def test_two_runs_of_one_name_are_distinguished_by_seed(run: Path, tiny_run: Path) -> None:
    change(run, "train.seed=2")
    evaluation, _ = evaluate(tiny_run, run)
    assert [system.name for system in evaluation.summary.systems] == [
        "RNN, attention, seed 1",
        "RNN, attention, seed 2",
    ]


def test_runs_of_one_name_are_seeds_of_one_model(run: Path, tiny_run: Path) -> None:
    named = replace(SETTINGS, names={run: "both", tiny_run: "both"})
    evaluation, _ = evaluate(tiny_run, run, settings=named)
    (system,) = evaluation.summary.systems
    assert (system.name, system.run, system.attention) == ("both", str(tiny_run), "general")
    assert [output.run for output in system.outputs] == [str(tiny_run), str(run)]
    # Both runs are copies.
    bleu = system.overall.scores["BLEU"]
    assert bleu.value == system.outputs[0].bleu == system.outputs[1].bleu
    assert bleu.std == 0.0
    # The attention maps of one seed represent the model.
    explorations = report_content(evaluation, ReportDetails()).explorations
    assert {system.name for exploration in explorations for system in exploration.systems} == {"both"}
    assert {len(exploration.systems) for exploration in explorations} == {1}
    (alone,) = evaluate(tiny_run)[0].summary.systems
    of_one = alone.overall.scores["BLEU"]
    assert (of_one.value, alone.outputs, of_one.std) == (bleu.value, (), None)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.load import replace_budget
from seq2attn.config.schema import Config
from seq2attn.decoding.translate import Translator
from seq2attn.device import choose_device
from seq2attn.errors import ConfigError, RunError, TrainingError
from seq2attn.experiment.pictures import Pictures
from seq2attn.models.build import build_model
from seq2attn.runs.checkpoint import load_weights, read_manifest, weights_of
from seq2attn.runs.folder import RunFolder, load_run
from seq2attn.training import loop
from seq2attn.training.loop import Trainer
from seq2attn.training.prepare import prepare_text
from seq2attn.training.train import open_log, train
from tests.training_samples import FAMILIES, loss_curve, make_config, read_metrics, write_copy_task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=180)


@pytest.fixture(scope="module")
def large_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("large_text"), pairs=2000)


@pytest.fixture
def _report_every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_REPORT_STEPS", 1)


def small(text: Path, family: str = "fixed", **train_settings: Any) -> Config:
    return make_config(text, FAMILIES[family], **({"max_steps": 6} | train_settings))


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("additive", {"max_steps": 300, "batch_tokens": 200, "learning_rate": 0.01}),
        ("transformer", {"max_steps": 200, "batch_tokens": 400, "learning_rate": 0.005}),
    ],
)
def test_the_copy_task_is_learned(large_text: Path, tmp_path: Path, family: str, settings: dict[str, Any]) -> None:
    schedule = {"warmup_steps": 30, "validate_every_steps": 100, "validation_sentences": 40}
    config = make_config(large_text, FAMILIES[family] | {"d_model": 64}, **settings, **schedule)
    result = train(config, tmp_path / "run", "cpu", quiet=True)
    assert result.validation is not None
    assert result.validation.bleu is not None
    assert result.validation.bleu > 95
    trained = load_run(tmp_path / "run", CPU)
    test = [line.split("\t")[0] for line in (large_text / "test.tsv").read_text().splitlines()]
    translations = Translator(trained.model, trained.subwords, trained.config.decode).translate(test)
    assert sum(found == wanted for found, wanted in zip(translations, test, strict=True)) >= 0.9 * len(test)
    assert trained.about["validation_bleu"] == result.validation.bleu


# Losses of the first updates, which a change without numerical effect must not change. If a change is
# meant to change them, run `pytest tests/test_training.py -k golden`, copy the numbers from the failure, and give the
# reason in the commit message. Without dropout, because random numbers differ between processors.
GOLDEN = {
    "fixed": [3.258204, 3.182952, 3.177832, 3.16654, 2.871448, 3.086709],
    "additive": [3.330223, 3.246678, 3.219824, 3.199065, 3.068173, 3.134237],
    "general": [3.287909, 3.300072, 3.223088, 3.25062, 3.143222, 3.182653],
    "transformer": [4.065168, 4.383348, 3.821509, 3.543565, 3.209482, 3.354299],
}


@pytest.mark.usefixtures("_report_every_update")
@pytest.mark.parametrize("family", FAMILIES)
def test_golden_loss_curve(text: Path, tmp_path: Path, family: str) -> None:
    train(small(text, family), tmp_path / "run", "cpu", quiet=True)
    curve = loss_curve(tmp_path / "run")
    assert curve == pytest.approx(GOLDEN[family], rel=1e-4), f"now {[round(loss, 6) for loss in curve]}"


@pytest.mark.usefixtures("_report_every_update")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_decides_everything(text: Path, tmp_path: Path, family: str) -> None:
    curves = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        config = make_config(text, FAMILIES[family] | {"dropout": 0.3}, max_steps=4, seed=seed)
        train(config, tmp_path / name, "cpu", quiet=True)
        torch.rand(7)  # the process may be in any random state
        curves[name] = loss_curve(tmp_path / name)
    assert curves["first"] == curves["again"]
    assert all(first != other for first, other in zip(curves["first"], curves["other"], strict=True))


@pytest.mark.usefixtures("_report_every_update")
def test_a_budget_in_minutes_is_kept_and_anneals_the_learning_rate(text: Path, tmp_path: Path) -> None:
    minutes = 0.05
    config = replace_budget(small(text, validate_every_steps=100_000, checkpoint_every_steps=100_000), minutes)
    result = train(config, tmp_path / "run", "cpu", quiet=True)
    # An update and a validation may exceed the budget; a busy machine takes seconds for them.
    assert 60 * minutes <= result.seconds < 60 * minutes + 30
    name = "optimizer/learning_rate"
    rates = [line[name] for line in read_metrics(tmp_path / "run") if name in line]
    assert max(rates) > 0.8 * config.train.learning_rate
    assert rates[-1] < 0.2 * config.train.learning_rate


def test_patience_ends_a_run_that_does_not_improve(text: Path, tmp_path: Path) -> None:
    # The learning rate is too low to change a weight, so the first validation stays the best.
    config = small(text, max_steps=100, learning_rate=1e-30, validate_every_steps=2, patience=3)
    result = train(config, tmp_path / "run", "cpu", quiet=True)
    assert result.steps == 8
    assert read_manifest(RunFolder(tmp_path / "run").final)["weights"] == "step 2"


@pytest.mark.parametrize(
    ("settings", "averaged"),
    [
        # Large noisy steps around an optimum: their mean is closer to it than any of them.
        ({"learning_rate": 0.03, "decay": "none", "max_steps": 120, "validate_every_steps": 10}, True),
        # Each validation is far better than the previous one.
        ({"learning_rate": 0.01, "decay": "none", "max_steps": 9, "validate_every_steps": 3}, False),
    ],
)
def test_final_weights_are_the_mean_of_the_best_or_the_best(
    text: Path, tmp_path: Path, settings: dict[str, Any], averaged: bool
) -> None:
    config = small(text, average_checkpoints=3, **settings)
    result = train(config, tmp_path / "run", "cpu", quiet=True)
    run = RunFolder(tmp_path / "run")
    losses = {line["step"]: line["loss/validation"] for line in read_metrics(run.path) if "loss/validation" in line}
    best = sorted(losses, key=lambda step: losses[step])[:3]
    about = read_manifest(run.final)
    shown = f"the average of steps {', '.join(map(str, sorted(best)))}" if averaged else f"step {best[0]}"
    assert about["weights"] == shown
    members = [load_weights(run.step(int(step))) for step in (best if averaged else best[:1])]
    for name, value in load_weights(run.final).items():
        torch.testing.assert_close(value, sum(member[name] for member in members) / len(members))
    assert result.validation is not None
    assert about["validation_loss"] == result.validation.loss <= losses[best[0]] + 1e-6


def test_old_checkpoints_go_and_the_newest_and_best_stay(text: Path, tmp_path: Path) -> None:
    config = small(
        text,
        max_steps=13,
        learning_rate=1e-30,
        validate_every_steps=4,
        checkpoint_every_steps=2,
        keep_checkpoints=3,
        average_checkpoints=1,
    )
    train(config, tmp_path / "run", "cpu", quiet=True)
    assert RunFolder(tmp_path / "run").steps() == [4, 10, 12, 13]


def test_non_finite_losses_change_no_weight_and_end_the_run(text: Path, tmp_path: Path) -> None:
    config, run = small(text, max_failed_updates=3), RunFolder(tmp_path / "run")
    run.make()
    prepared = prepare_text(config, run, resume=False)
    subwords = prepared.subwords
    model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint)
    with torch.no_grad():
        model.output_bias[5] = float("inf")
    before = {name: value.clone() for name, value in weights_of(model).items()}
    trainer = Trainer(config, prepared, model, run, CPU)
    reason = r"^3 updates in a row .* loss is nan"
    with open_log(run, 0, None) as log, pytest.raises(TrainingError, match=reason):
        trainer.run(log)
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())
    assert (trainer.step, run.steps()) == (3, [3])
    pairs = [json.loads(line) for line in run.failed_batch_file.read_text(encoding="utf-8").splitlines()]
    train_pairs = prepared.corpus.splits["train"]
    assert pairs
    for pair in pairs:
        original = train_pairs[pair["pair"]]
        assert pair == {"pair": pair["pair"], "source": original["source"], "target": original["target"]}


def test_a_failed_start_leaves_no_run(text: Path, tmp_path: Path) -> None:
    config = small(text, max_steps=2)
    too_many = config.model_copy(update={"subwords": config.subwords.model_copy(update={"vocab_size": 5000})})
    with pytest.raises(ConfigError, match=r"subwords\.vocab_size"):
        train(too_many, tmp_path / "run", "cpu", quiet=True)
    assert train(config, tmp_path / "run", "cpu", quiet=True).steps == 2


def test_a_run_folder_that_cannot_be_made_is_one_clear_error(text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file/run: cannot be written"):
        train(small(text), tmp_path / "file" / "run", "cpu", quiet=True)


def test_a_run_without_a_checkpoint_says_how_to_continue(text: Path, tmp_path: Path) -> None:
    config, run = small(text), RunFolder(tmp_path / "run")
    run.make()
    prepare_text(config, run, resume=False)
    with pytest.raises(RunError, match=r"not a run folder, it has no config\.yaml"):
        load_run(run.path, CPU)
    run.begin(config)
    with pytest.raises(RunError, match=f"train {run.config_file} --run-dir {run.path} --resume"):
        load_run(run.path, CPU)


def test_an_unknown_device_is_named_with_the_available_ones() -> None:
    with pytest.raises(RunError, match=r"--device abacus: not available here; available: .*cpu"):
        choose_device("abacus")
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


@pytest.mark.usefixtures("_report_every_update")
def test_the_folder_of_a_run_can_be_read_back(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small(text, validate_every_steps=3, validation_sentences=4)
    train(config, tmp_path / "run", "cpu", observer=Pictures())
    run = RunFolder(tmp_path / "run")
    assert run.read_config() == config
    env = run.read_env()
    assert (env["seed"], env["device"], env["corpus"]) == (1, "cpu", "own")
    assert env["corpus_counts"]["train"]["kept"] == 100
    assert len(env["corpus_digest"]) == 64
    metrics = read_metrics(run.path)
    assert [line["step"] for line in metrics if "loss/validation" in line] == [3, 6]
    events = EventAccumulator(str(run.tensorboard)).Reload()
    for name in ("loss/train", "loss/validation", "bleu/validation"):
        written = [(line["step"], line[name]) for line in metrics if name in line]
        read = [(event.step, event.value) for event in events.Scalars(name)]
        assert written
        assert read == [(step, pytest.approx(value, rel=1e-6)) for step, value in written]
    assert b"| reference |" in events.Tensors("translations/text_summary")[-1].tensor_proto.string_val[0]
    said = run.log_file.read_text(encoding="utf-8")
    assert f"{env['parameters']:,} parameters, 100 training pairs" in said
    assert "final weights: " in said
    streams = capsys.readouterr()
    assert streams.out == ""
    assert [line[20:] for line in said.splitlines()] == streams.err.splitlines()


def test_metrics_are_strict_json(text: Path, tmp_path: Path) -> None:
    train(small(text), tmp_path / "run", "cpu", quiet=True)
    for line in RunFolder(tmp_path / "run").metrics_file.read_text().splitlines():
        figures = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert all(isinstance(value, int | float) for value in figures.values())

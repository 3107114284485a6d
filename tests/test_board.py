"""What a run shows in TensorBoard, read back from its event files."""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import HISTOGRAMS, IMAGES, TENSORS, EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata as hparams_metadata

from seq2attn.config.schema import Config
from seq2attn.data.batch import Batch
from seq2attn.data.loader import Loader
from seq2attn.data.subwords import PAD_ID
from seq2attn.experiment import pictures
from seq2attn.experiment.pictures import Pictures
from seq2attn.models.build import build_model
from seq2attn.runs.folder import RunFolder
from seq2attn.training import loop
from seq2attn.training.board import Board
from seq2attn.training.log import MetricsWindow, TrainingLog
from seq2attn.training.observer import Validated
from seq2attn.training.prepare import PreparedText, prepare_text
from seq2attn.training.train import train
from seq2attn.training.update import Update
from seq2attn.training.validation import Validator
from tests.faults.trainings import assert_same_run, start_training, train_to_the_end
from tests.training_samples import FAMILIES, make_config, read_metrics, write_copy_task

CPU = torch.device("cpu")
VALIDATED = [3, 6]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy task with 80 sentences for validation, enough for two buckets of length."""
    folder = write_copy_task(tmp_path_factory.mktemp("text"), pairs=220)
    test = (folder / "test.tsv").read_text(encoding="utf-8")
    with (folder / "validation.tsv").open("a", encoding="utf-8") as file:
        file.write(test)
    return folder


def show_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loop, "_REPORT_STEPS", 1)
    patch.setattr(pictures, "_SHARE_OF_TIME", math.inf)


@pytest.fixture
def _everything_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    show_everything(monkeypatch)


def config_of(text: Path, family: str, **train_settings: Any) -> Config:
    settings: dict[str, Any] = {"max_steps": 6, "validate_every_steps": 3, "validation_sentences": 80}
    model = FAMILIES[family] | {"dropout": 0.2, "n_layers": 2}
    return make_config(text, model, **(settings | {"label_smoothing": 0.0} | train_settings))


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of six updates with every display enabled."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    with pytest.MonkeyPatch.context() as patch:
        show_everything(patch)
        train(config_of(text, "transformer", histograms=True), run.path, "cpu", quiet=True, observer=Pictures())
    return run


def events_of(run: RunFolder, purge: bool = True) -> EventAccumulator:
    everything = {IMAGES: 0, TENSORS: 0, HISTOGRAMS: 0}
    return EventAccumulator(str(run.tensorboard), everything, purge_orphaned_data=purge).Reload()


def scalars_of(events: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def metrics_of(run: RunFolder) -> dict[str, list[tuple[int, Any]]]:
    """The values in metrics.jsonl, by name."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for line in map(json.loads, run.metrics_file.read_text(encoding="utf-8").splitlines()):
        for name in line.keys() - {"step"}:
            found.setdefault(name, []).append((line["step"], pytest.approx(line[name], rel=1e-6)))
    return found


def test_everything_of_a_run_is_in_one_folder(run: RunFolder) -> None:
    events = events_of(run)
    scalars = scalars_of(events)
    assert scalars == metrics_of(run)
    groups = {
        "loss": {"train", "validation"},
        "perplexity": {"train", "validation"},
        "bleu": {"validation"},
        "chrf": {"validation"},
        "optimizer": {"learning_rate", "gradient_norm"},
        "speed": {"target_tokens_per_second", "padding_share"},
        "memory": {"peak_gib"},
        "progress": {"epoch"},
        "final": {"loss", "perplexity", "bleu"},
    }
    assert {f"{group}/{name}" for group, names in groups.items() for name in names} <= scalars.keys()
    buckets = [name for name in scalars if name.startswith("bleu_by_length/")]
    assert len(buckets) == 2
    assert all([step for step, _ in scalars[name]] == VALIDATED for name in (*buckets, "chrf/validation"))
    (folder,) = {path.parent for path in run.path.rglob("events.out.tfevents.*")}
    assert folder == run.tensorboard
    assert [event.step for event in events.Tensors("translations/text_summary")] == VALIDATED


def test_pictures_show_every_validation(run: RunFolder) -> None:
    events = events_of(run)
    assert set(events.Tags()["images"]) == {"bleu_by_length", "attention/1", "attention/2", "attention/3"}
    for tag in events.Tags()["images"]:
        images = events.Images(tag)
        assert [image.step for image in images] == VALIDATED
        shown = [np.asarray(Image.open(io.BytesIO(image.encoded_image_string))) for image in images]
        assert all(120 < size < 1_000 for picture in shown for size in picture.shape[:2])
        if tag != "bleu_by_length":
            # The words are the same, but the weights differ.
            assert shown[0].shape == shown[1].shape
            assert (shown[0] != shown[1]).any()


@pytest.mark.usefixtures("_everything_shown")
def test_a_fixed_context_has_no_attention_to_show(text: Path, tmp_path: Path) -> None:
    train(config_of(text, "fixed"), tmp_path / "run", "cpu", quiet=True, observer=Pictures())
    tags = events_of(RunFolder(tmp_path / "run")).Tags()
    assert tags["images"] == ["bleu_by_length"]
    assert tags["histograms"] == [], "histograms were not requested"


def test_histograms_of_every_weight_on_request(run: RunFolder) -> None:
    events = events_of(run)
    tags = events.Tags()["histograms"]
    assert "weights/output_bias" in tags
    assert all([event.step for event in events.Histograms(tag)] == VALIDATED for tag in tags)


def test_the_layout_puts_training_and_validation_on_one_plot(run: RunFolder) -> None:
    events = events_of(run)
    layout = Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    patterns = [chart.multiline.tag[0] for category in layout.category for chart in category.chart]
    lines = [sum(bool(re.search(pattern, tag)) for tag in events.Tags()["scalars"]) for pattern in patterns]
    assert lines == [2, 2, 2, 2]


def test_settings_stand_next_to_the_final_metrics(run: RunFolder) -> None:
    plugin = events_of(run).summary_metadata
    content = {
        tag: plugin[tag].plugin_data.content
        for tag in ("_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info")
    }
    experiment, start, end = content.values()
    settings = hparams_metadata.parse_session_start_info_plugin_data(start).hparams
    assert settings["model.n_heads"].number_value == 2
    assert settings["model.norm"].string_value == "pre"
    assert settings["train.max_minutes"].string_value == "null"
    assert settings["train.deterministic"].string_value == "false"
    assert "model.cell" not in settings
    assert settings["model.kind"].string_value == "transformer"
    columns = hparams_metadata.parse_experiment_plugin_data(experiment)
    assert {"model.n_heads", "model.cell", "train.seed"} <= {info.name for info in columns.hparam_infos}
    assert [info.name.tag for info in columns.metric_infos] == ["final/loss", "final/perplexity", "final/bleu"]
    assert hparams_metadata.parse_session_end_info_plugin_data(end).status == 1


def test_the_projector_has_a_vector_for_each_subword(run: RunFolder) -> None:
    said = (run.tensorboard / "projector_config.pbtxt").read_text(encoding="utf-8")
    paths = dict(re.findall(r'(tensor|metadata)_path: "(.+)"', said))
    vectors, names = (
        (run.tensorboard / paths[kind]).read_text(encoding="utf-8").splitlines() for kind in ("tensor", "metadata")
    )
    assert len(vectors) == len(names) == 27 - 4
    assert not [name for name in names if name.startswith("<")]
    assert all(len(line.split("\t")) == 16 for line in vectors)


def test_the_last_validation_has_all_pictures_whatever_they_cost(text: Path, tmp_path: Path) -> None:
    train(config_of(text, "additive"), tmp_path / "run", "cpu", quiet=True, observer=Pictures())
    events = events_of(RunFolder(tmp_path / "run"))
    assert [events.Images(tag)[-1].step for tag in ("bleu_by_length", "attention/1", "attention/3")] == [6, 6, 6]


def test_a_killed_run_resumes_without_duplicate_lines(text: Path, tmp_path: Path) -> None:
    config = config_of(text, "additive", max_steps=80, validate_every_steps=40, checkpoint_every_steps=45)
    run = RunFolder(tmp_path / "run")
    process = start_training(config, run.path)
    # The report after update 48, which follows a checkpoint; the next checkpoint is far away.
    while '\n{"step": 52' not in (run.metrics_file.read_text(encoding="utf-8") if run.metrics_file.exists() else ""):
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not run.finished
    before = scalars_of(events_of(run))["loss/train"][-1][0]
    assert before > run.steps()[-1], "the kill came too late to cause duplicates"
    train_to_the_end(config, run.path)
    steps = [step for step, _ in scalars_of(events_of(run, purge=False))["loss/train"]]
    assert len(steps) > len(set(steps)), "there was nothing to skip"
    events = events_of(run)
    assert scalars_of(events) == metrics_of(run)
    assert [event.step for event in events.Tensors("translations/text_summary")] == [40, 80]


@pytest.mark.usefixtures("_everything_shown")
@pytest.mark.parametrize("family", ["additive", "transformer"])
def test_displays_change_no_number(family: str, text: Path, tmp_path: Path) -> None:
    config = config_of(text, family, histograms=True, label_smoothing=0.1)
    chance = (random.getstate(), str(np.random.get_state()))
    train(config, tmp_path / "shown", "cpu", quiet=True, observer=Pictures())
    assert (random.getstate(), str(np.random.get_state())) == chance
    train(config, tmp_path / "unseen", "cpu", quiet=True)
    assert_same_run(tmp_path / "shown", tmp_path / "unseen")


@pytest.fixture
def prepared(text: Path, tmp_path: Path) -> tuple[Config, PreparedText]:
    config = config_of(text, "additive")
    return config, prepare_text(config, RunFolder(tmp_path), resume=False)


def test_pictures_wait_until_they_cost_less_than_their_limit(
    prepared: tuple[Config, PreparedText], tmp_path: Path
) -> None:
    config, text = prepared
    subwords = text.subwords
    model = build_model(config.model, subwords.source_size, subwords.target_size, subwords.joint).train()
    validator = Validator(text, config, CPU)
    result = validator.validate(model)
    observer, run = Pictures(), RunFolder(tmp_path)
    with TrainingLog([Board(run.tensorboard, 0)]) as log:
        for step, seconds in ((1, 1e-6), (2, 1e-6), (3, 1e9)):
            observer.validated(Validated(step, seconds, model, result, validator, log))
    assert model.training
    events = events_of(run)
    assert [image.step for image in events.Images("bleu_by_length")] == [1, 3]
    assert [image.step for image in events.Images("attention/1")] == [3]
    assert [event.step for event in events.Tensors("translations/text_summary")] == [1, 2, 3]


def test_scores_are_sacrebleu_s(prepared: tuple[Config, PreparedText]) -> None:
    config, text = prepared
    validator = Validator(text, config, CPU)
    draw = random.Random(1)
    translations = [" ".join(draw.sample(words := line.split(), len(words))) for line in validator.references]
    result = validator._scored(1.0, translations)
    assert result.bleu == sacrebleu.corpus_bleu(translations, [validator.references]).score
    assert result.chrf == sacrebleu.corpus_chrf(translations, [validator.references]).score
    for bucket, bleu in result.by_length.items():
        low, high = (int(edge or 99) for edge in re.split("[-+]", bucket))
        rows = [row for row, line in enumerate(validator.sources) if low <= len(line.split()) <= high]
        assert len(rows) >= 20
        chosen = [[side[row] for row in rows] for side in (translations, validator.references)]
        assert bleu == sacrebleu.corpus_bleu(chosen[0], [chosen[1]]).score
    assert result.metrics()["perplexity/validation"] == pytest.approx(math.e)


@pytest.mark.usefixtures("_everything_shown")
def test_training_metrics_are_computed_on_its_batches(text: Path, tmp_path: Path) -> None:
    config = config_of(text, "additive", accumulate=2)
    train(config, tmp_path / "run", "cpu", quiet=True)
    loader = Loader(prepare_text(config, RunFolder(tmp_path), resume=False).train, config.train, CPU)
    for line in (line for line in read_metrics(tmp_path / "run") if "loss/train" in line):
        # Without label smoothing the loss is the logarithm of the perplexity.
        assert line["perplexity/train"] == pytest.approx(math.exp(line["loss/train"]))
        assert line["speed/padding_share"] == pytest.approx(padding_share(loader.next_batches(2).batches))


def padding_share(batches: list[Batch]) -> float:
    ids = [side for batch in batches for side in (batch.source_ids, batch.target_output)]
    return sum(int((side == PAD_ID).sum()) for side in ids) / sum(side.numel() for side in ids)


def test_an_installed_tensorflow_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('built for another CPU')", encoding="utf-8")
    code = "import sys, seq2attn.training.board; print('tensorflow' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_perplexity_ignores_label_smoothing() -> None:
    window = MetricsWindow()
    window.add(Update(3.0, math.log(8.0), 1.0, target_tokens=6), 0.1, source_tokens=5, positions=20)
    window.add(Update(2.0, math.log(2.0), 1.0, target_tokens=4), 0.1, source_tokens=5, positions=20)
    metrics = window.metrics()
    assert metrics["loss/train"] == 2.5
    assert metrics["perplexity/train"] == pytest.approx(4.0)
    assert metrics["speed/padding_share"] == 0.5

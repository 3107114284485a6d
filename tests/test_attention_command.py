"""`seq2attn attention` from the command line."""

from __future__ import annotations

import json
import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.translate import Translator
from seq2attn.device import choose_device
from seq2attn.experiment.explore import explore
from seq2attn.runs.folder import load_run
from seq2attn.studies.effects.measure import measure_sentence
from tests.command_line import CONFIGS, call, train_tiny

SOURCE = "ta kiso"
UNTRAINED = ("--set", "train.max_steps=1", "--set", "train.validation_sentences=0")
TRANSFORMER = "model={kind: transformer, d_model: 16, n_heads: 2, n_layers: 2}"


@pytest.fixture(scope="module")
def transformer(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "transformer"
    return train_tiny(folder, data_folder, *UNTRAINED, "--set", TRANSFORMER, "--set", "name=Transformer")


@pytest.fixture(scope="module")
def fixed(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(
        tmp_path_factory.mktemp("runs") / "fixed", data_folder, *UNTRAINED, "--set", "model.attention=none"
    )


def read_json(*arguments: str | Path) -> dict[str, Any]:
    done = call("attention", *arguments, "--json")
    assert done.code == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_map_in_the_terminal_names_the_model_its_words_and_the_map(tiny_run: Path) -> None:
    done = call("attention", tiny_run, "--source", SOURCE, "--target", "zu mi")
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["RNN, attention", "zu mi", "cross-attention"]
    assert any(line.split()[0] == "⟨end⟩" for line in lines if line.strip())
    assert lines[-1].startswith("Rows attend to columns.")
    assert "\x1b" not in done.stdout


def test_models_are_shown_together_and_one_without_attention_says_so(
    tiny_run: Path, fixed: Path, transformer: Path
) -> None:
    found = read_json(tiny_run, fixed, transformer, "--source", SOURCE, "--target", "zu mi", "--kind", "encoder")
    names = [system["name"] for system in found["systems"]]
    assert names == [f"RNN, attention ({tiny_run})", f"RNN, attention ({fixed})", "Transformer"]
    assert [len(system["maps"]) for system in found["systems"]] == [1, 0, 18]
    assert {system["translation"] for system in found["systems"]} == {"zu mi"}
    shown = call("attention", fixed, "--source", SOURCE)
    assert "No attention: every word is written from the same vector." in shown.stdout


@pytest.mark.parametrize("name", ["map.png", "map.svg", "map.html"])
def test_the_suffix_of_out_chooses_picture_or_page(name: str, transformer: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / name
    done = call("attention", transformer, "--source", SOURCE, "--out", out, "--head", "2")
    assert (done.code, done.stdout, done.stderr) == (0, "", f"wrote {out}\n")
    assert out.stat().st_size > 5000


def test_a_models_own_translation_as_target_has_the_same_maps(tiny_run: Path) -> None:
    device = torch.device("cpu")
    (own,) = explore([tiny_run], SOURCE, None, device).systems
    (given,) = explore([tiny_run], SOURCE, own.translation, device).systems
    assert (own.given, given.given) == (False, True)
    assert given.translation == own.translation
    # The text may be split into other subwords than the model wrote; only the common beginning is compared.
    pairs = zip(own.attention.written.subwords, given.attention.written.subwords, strict=False)
    n_common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    assert n_common > 0
    own_weights, given_weights = (system.attention.weights["cross"][0][:, :n_common] for system in (own, given))
    np.testing.assert_allclose(own_weights, given_weights, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "3"], "--layer 3: the cross-attention has 2 layer(s), counted from 1 (Transformer)"),
        (
            ["--kind", "decoder", "--head", "3"],
            "--head 3: layer 2 of the decoder self-attention has no such head; choose from 1, 2 (Transformer)",
        ),
        (["--out", "map.pdf"], "--out map.pdf: expected a file name ending in .png, .svg or .html"),
        (["--effects"], "--effects: shown by a page alone; add --out NAME.html, or --json"),
        (["--target", " "], "--target: contains no word; give a sentence"),
    ],
)
def test_a_mistake_is_a_one_line_error_without_output(options: list[str], message: str, transformer: Path) -> None:
    done = call("attention", transformer, "--source", SOURCE, *options)
    assert (done.code, done.stdout) == (2, "")
    assert done.complaint == f"seq2attn: {message}"


def test_effects_are_those_of_the_study(transformer: Path) -> None:
    done = call("attention", transformer, "--source", SOURCE, "--effects", "--json")
    assert done.code == 0, done.stderr
    (system,) = json.loads(done.stdout)["systems"]
    run = load_run(transformer, choose_device("cpu"))
    (source,) = run.subwords.encode_source([SOURCE])
    (best, *_) = Translator(run.model, run.subwords, run.config.decode).search([source])[0]
    measured = measure_sentence(run.model, run, source, [*best.token_ids, *([EOS_ID] if best.finished else [])])
    n_words = len(measured.written)
    np.testing.assert_allclose(system["drops"]["every_look"][:n_words], measured.every_look, atol=1e-3)
    np.testing.assert_allclose(system["drops"]["left_out"][:n_words], measured.left_out, atol=1e-3)
    own = {reading.name: reading.own_look for reading in measured.readings}
    for shown in (shown for shown in system["maps"] if shown["kind"] == "cross"):
        name = f"layer {shown['layer']} " + ("mean" if shown["head"] is None else f"head {shown['head']}")
        np.testing.assert_allclose(shown["drops"][:n_words], own[name], atol=1e-3)


@pytest.mark.parametrize("option", ["--layer", "--head"])
def test_an_rnn_has_one_layer_and_one_head(option: str, tiny_run: Path, fixed: Path) -> None:
    assert call("attention", tiny_run, "--source", SOURCE, option, "1").code == 0
    done = call("attention", fixed, tiny_run, "--source", SOURCE, option, "7")
    assert (done.code, done.stdout) == (2, "")
    has = {
        "--layer": "the cross-attention has 1 layer(s), counted from 1 (RNN, attention",
        "--head": "layer 1 of the cross-attention has no such head; choose from 1 (RNN, attention",
    }[option]
    assert done.complaint.startswith(f"seq2attn: {option} 7: {has}")


def test_the_commands_of_the_document_run(
    tiny_run: Path, fixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (CONFIGS.parent / "docs" / "maps.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(tiny_run)
    (tmp_path / "runs" / "without").symlink_to(fixed)
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks).splitlines():
        program, *words = shlex.split(line)
        done = call(*words)
        assert (program, done.code) == ("seq2attn", 0), done.stderr
    assert (tmp_path / "map.html").is_file()


def test_a_folder_without_a_run_and_a_source_without_words_are_errors(tiny_run: Path, tmp_path: Path) -> None:
    assert "not a run folder" in call("attention", tmp_path, "--source", SOURCE).complaint
    assert call("attention", tiny_run, "--source", " ").complaint == (
        "seq2attn: --source: contains no word; give a sentence"
    )

"""Hugging Face's transformers compute what an exported run does, and refuse nothing that was exported."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.models import KeptHeads, TransformerConfig
from seq2attn.config.schema import DecodeConfig
from seq2attn.data.batch import collate
from seq2attn.data.subwords import BOS_ID, PAD_ID
from seq2attn.decoding.translate import Translator
from seq2attn.errors import RunError
from seq2attn.export.transformers import export_transformers
from seq2attn.models.build import build_model
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.training.train import train
from tests.command_line import call
from tests.training_samples import make_config, train_copier, write_copy_task

CPU = torch.device("cpu")
SMALL = {"kind": "transformer", "n_heads": 2, "n_layers": 2}
# Settings of the model, and whether both languages share their subwords.
VARIANTS: dict[str, tuple[dict[str, Any], bool]] = {
    "pre, sinusoidal": ({}, True),
    "pre, learned": ({"positions": "learned", "max_positions": 40}, True),
    "pre, unscaled": ({"attention": "dot"}, True),
    "pre, no positions": ({"positions": "none", "d_ff": 24}, True),
    "post, sinusoidal": ({"norm": "post"}, True),
    "post, two vocabularies": ({"norm": "post"}, False),
    "post, untied": ({"norm": "post", "tie_embeddings": False}, True),
    "post, two vocabularies, untied": ({"norm": "post", "tie_embeddings": False}, False),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rotary": ({"positions": "rotary"}, "model.positions: sinusoidal"),
    "alibi": ({"positions": "alibi"}, "model.positions: sinusoidal"),
    "learned after": ({"norm": "post", "positions": "learned"}, "model.positions: sinusoidal or model.norm: pre"),
    "none after": ({"norm": "post", "positions": "none"}, "model.positions: sinusoidal or model.norm: pre"),
    "untied before": ({"tie_embeddings": False}, "model.tie_embeddings true, or model.norm: post"),
    "pruned": ({"kept_heads": KeptHeads(encoder=[[1], [2]], decoder=[[1], [1]], cross=[[1], [1]])}, "all heads"),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=2000)


@pytest.fixture(scope="module")
def learned(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_copier(text, tmp_path_factory.mktemp("learned") / "run", SMALL | {"d_model": 32})


@pytest.fixture(scope="module")
def apart(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """A run with a vocabulary for each language."""
    folder = tmp_path_factory.mktemp("apart") / "run"
    config = make_config(text, SMALL | {"norm": "post"}, max_steps=1)
    config = config.model_copy(update={"subwords": config.subwords.model_copy(update={"joint": False})})
    train(config, folder, "cpu", quiet=True)
    return load_run(folder, CPU)


def with_model(run: TrainedRun, settings: dict[str, Any]) -> TrainedRun:
    """The run with a model of these settings, whose weights are random and far from their first values."""
    model_config = TransformerConfig(**SMALL | {"d_model": 16, "dropout": 0.0} | settings)
    torch.manual_seed(5)
    sizes = (run.subwords.source_size, run.subwords.target_size, run.subwords.joint)
    model = build_model(model_config, *sizes).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return dataclasses.replace(run, config=run.config.model_copy(update={"model": model_config}), model=model)


def sources(text: Path) -> list[str]:
    lines = (text / "test.tsv").read_text(encoding="utf-8").splitlines()
    return [*(line.split("\t")[0] for line in lines), "ba be bi " * 5]


def load(folder: Path) -> tuple[Any, Any]:
    transformers = pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
    transformers.utils.logging.disable_progress_bar()
    model, loading = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    with pytest.warns(UserWarning, match="sacremoses"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return model.eval(), tokenizer


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_the_logits_are_the_same(
    variant: str, learned: TrainedRun, apart: TrainedRun, text: Path, tmp_path: Path
) -> None:
    settings, joint = VARIANTS[variant]
    run = with_model(learned if joint else apart, settings)
    export_transformers(run, tmp_path / "exported")
    model, tokenizer = load(tmp_path / "exported")
    lines = sources(text)
    batch = collate(run.subwords.encode_source(lines), run.subwords.encode_target(lines[::-1]))
    encoded = tokenizer(lines, return_tensors="pt", padding=True)
    assert encoded["input_ids"].tolist() == batch.source_ids.tolist()
    theirs = model(**encoded, decoder_input_ids=batch.target_input).logits
    written = [token_id for token_id in range(run.subwords.target_size) if token_id not in (PAD_ID, BOS_ID)]
    torch.testing.assert_close(
        theirs[..., written], run.model.project(run.model(batch))[..., written], atol=1e-4, rtol=0
    )
    assert (theirs[..., [PAD_ID, BOS_ID]] < -1000).all()
    assert {type(model).__name__} == {"pre": {"PegasusForConditionalGeneration"}, "post": {"MarianMTModel"}}[
        run.config.model.norm
    ]


def translate_both(
    run: TrainedRun, folder: Path, lines: list[str], length_penalty: float
) -> list[tuple[list[int], float, list[int], float]]:
    """The best translation and its score, from the run and from transformers."""
    model, tokenizer = load(folder)
    search = DecodeConfig(beam_size=4, length_penalty=length_penalty, max_length_ratio=5)
    own = Translator(run.model, run.subwords, search).search(run.subwords.encode_source(lines))
    found = model.generate(
        **tokenizer(lines, return_tensors="pt", padding=True),
        num_beams=4,
        length_penalty=length_penalty,
        max_length=100,
        return_dict_in_generate=True,
        output_scores=True,
    )
    theirs = [[token_id for token_id in ids if token_id > 3] for ids in found.sequences.tolist()]
    scores = found.sequences_scores.tolist()
    texts = tokenizer.batch_decode(found.sequences, skip_special_tokens=True)
    assert texts == run.subwords.decode_target(theirs)
    assert all(best[0].finished for best in own)
    return [(best[0].token_ids, best[0].score, *pair) for best, *pair in zip(own, theirs, scores, strict=True)]


@pytest.fixture(scope="module")
def exported(learned: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    done = call("export", learned.folder.path, "--to", "transformers", "--out", folder)
    assert done.code == 0, done.stderr
    assert done.stdout == f"{folder}\n"
    return folder


def test_the_beams_are_the_same(learned: TrainedRun, exported: Path, text: Path) -> None:
    found = translate_both(learned, exported, sources(text), 0.0)
    assert [own for own, _, _, _ in found] == [theirs for _, _, theirs, _ in found]
    assert [score for _, score, _, _ in found] == pytest.approx([score for _, _, _, score in found], abs=1e-4)
    assert len({len(own) for own, _, _, _ in found}) > 3


def test_with_a_length_penalty_they_differ_only_where_theirs_searches_longer(
    learned: TrainedRun, exported: Path, text: Path
) -> None:
    found = translate_both(learned, exported, sources(text), 1.0)
    same = [(score, their_score) for own, score, theirs, their_score in found if own == theirs]
    assert len(same) >= 0.8 * len(found)
    assert [score for score, _ in same] == pytest.approx([score for _, score in same], abs=1e-4)
    assert all(their_score > score for own, score, theirs, their_score in found if own != theirs)


def test_the_card_and_the_settings_describe_the_model(exported: Path, learned: TrainedRun) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage:\n- xx\n- yy\nlibrary_name: transformers\n")
    assert learned.folder.card_file.read_text(encoding="utf-8") in card
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert f'AutoTokenizer.from_pretrained("{exported}")' in program
    generation = json.loads((exported / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["num_beams"] == learned.config.decode.beam_size
    assert generation["length_penalty"] == learned.config.decode.length_penalty


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_class_computes_is_refused(kind: str, learned: TrainedRun, tmp_path: Path) -> None:
    settings, better = REFUSED[kind]
    with pytest.raises(RunError) as refusal:
        export_transformers(with_model(learned, settings), tmp_path / "exported")
    assert str(refusal.value).endswith(f"{better}, or use --to onnx")
    assert not (tmp_path / "exported").exists()


def test_a_run_of_an_rnn_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    done = call("export", tiny_run, "--to", "transformers", "--out", tmp_path / "exported")
    assert done.code == 2
    assert done.complaint == (
        f"seq2attn: {tiny_run}: model.kind is rnn, and Hugging Face's transformers has no such model; export a run "
        "with model.kind: transformer, or use --to onnx"
    )


def test_an_existing_folder_is_not_changed(learned: TrainedRun, tmp_path: Path) -> None:
    done = call("export", learned.folder.path, "--to", "transformers", "--out", tmp_path)
    assert done.code == 2
    assert done.complaint == f"seq2attn: {tmp_path}: already exists; name a new folder, or delete it"
    assert list(tmp_path.iterdir()) == []

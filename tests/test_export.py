"""An exported model translates like its run."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.config.schema import DecodeConfig
from seq2attn.data.batch import collate
from seq2attn.decoding.search import next_log_probabilities
from seq2attn.decoding.translate import Translator
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.training.train import train
from tests.command_line import CONFIGS, call
from tests.training_samples import make_config, train_copier, write_copy_task

ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")

CPU = torch.device("cpu")
PAGE = CONFIGS.parent / "docs" / "export.md"
SMALL = {"kind": "transformer", "n_heads": 2, "n_layers": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "pre-norm, sinusoidal": {},
    "post-norm, learned": {"norm": "post", "positions": "learned", "max_positions": 40},
    "no positions, untied": {"positions": "none", "tie_embeddings": False, "d_ff": 24},
    "rotary": {"positions": "rotary"},
    "unscaled": {"attention": "dot"},
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_task(tmp_path_factory.mktemp("text"), pairs=2000)


@pytest.fixture(scope="module")
def learned(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_copier(text, tmp_path_factory.mktemp("learned") / "run", SMALL | {"d_model": 32})


def export(run: TrainedRun, folder: Path) -> Path:
    done = call("export", run.folder.path, "--to", "ctranslate2", "--out", folder)
    assert done.code == 0, done.stderr
    assert done.stdout == f"{folder}\n"
    return folder


def open_exported(folder: Path) -> Any:
    return ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)


def pieces(run: TrainedRun, sentences: Sequence[str]) -> list[list[str]]:
    """The subwords of sources, without EOS, which CTranslate2 adds."""
    return [run.subwords.pieces(ids[:-1], "source") for ids in run.subwords.encode_source(sentences)]


def sources(text: Path) -> list[str]:
    lines = (text / "test.tsv").read_text(encoding="utf-8").splitlines()
    # Longer than any in training, to test distant positions.
    return [*(line.split("\t")[0] for line in lines), "ba be bi " * 5]


@torch.no_grad()
def own_log_probabilities(run: TrainedRun, sources: list[list[int]], targets: list[list[int]]) -> list[list[float]]:
    """The model's log-probability of each token of each target, EOS included."""
    batch = collate(sources, targets)
    log_p = next_log_probabilities(run.model.project(run.model(batch)).flatten(0, 1))
    picked = log_p.gather(1, batch.target_output.flatten()[:, None]).view(batch.target_output.shape)
    return [row[: len(target) + 1].tolist() for row, target in zip(picked, targets, strict=True)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("joint", [True, False], ids=["joint", "apart"])
def test_every_token_is_as_probable(text: Path, tmp_path: Path, variant: str, joint: bool) -> None:
    config = make_config(text, SMALL | VARIANTS[variant], max_steps=20)
    config = config.model_copy(update={"subwords": config.subwords.model_copy(update={"joint": joint})})
    train(config, tmp_path / "run", "cpu", quiet=True)
    run = load_run(tmp_path / "run", CPU)
    lines = sources(text)
    ids, references = run.subwords.encode_source(lines), run.subwords.encode_target(lines[::-1])
    scored = open_exported(export(run, tmp_path / "exported")).score_batch(
        pieces(run, lines), [run.subwords.pieces(reference, "target") for reference in references]
    )
    for expected, result in zip(own_log_probabilities(run, ids, references), scored, strict=True):
        assert result.log_probs == pytest.approx(expected, abs=1e-4)


def translate_both(
    run: TrainedRun, exported: Path, sentences: Sequence[str], beam_size: int, length_penalty: float
) -> list[tuple[list[str], float, list[str], float]]:
    """The best translation and score of each sentence, from the run and from CTranslate2, cut off at ten subwords."""
    settings = DecodeConfig(beam_size=beam_size, length_penalty=length_penalty, max_length_ratio=1e-6)
    own = Translator(run.model, run.subwords, settings).search(run.subwords.encode_source(sentences))
    theirs = open_exported(exported).translate_batch(
        pieces(run, sentences),
        beam_size=beam_size,
        length_penalty=length_penalty,
        min_decoding_length=0,
        max_decoding_length=10,
        return_scores=True,
    )
    return [
        (run.subwords.pieces(found[0].token_ids, "target"), found[0].score, result.hypotheses[0], result.scores[0])
        for found, result in zip(own, theirs, strict=True)
    ]


@pytest.mark.parametrize("beam_size", [1, 5])
def test_the_translations_are_the_same(learned: TrainedRun, text: Path, tmp_path: Path, beam_size: int) -> None:
    found = translate_both(learned, export(learned, tmp_path / "exported"), sources(text), beam_size, 0.0)
    assert [own for own, _, _, _ in found] == [theirs for _, _, theirs, _ in found]
    assert [score for _, score, _, _ in found] == pytest.approx([score for _, _, _, score in found], abs=1e-4)
    assert len({len(own) for own, _, _, _ in found}) > 3


@pytest.mark.parametrize("length_penalty", [0.6, 1.0])
def test_with_a_length_penalty_they_differ_only_where_ours_searches_longer(
    learned: TrainedRun, text: Path, tmp_path: Path, length_penalty: float
) -> None:
    found = translate_both(learned, export(learned, tmp_path / "exported"), sources(text), 5, length_penalty)
    same = [(score, their_score) for own, score, theirs, their_score in found if own == theirs]
    assert len(same) >= 0.8 * len(found)
    assert [score for score, _ in same] == pytest.approx([score for _, score in same], abs=1e-4)
    assert all(score > their_score for own, score, theirs, their_score in found if own != theirs)


def test_a_run_of_an_rnn_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    done = call("export", tiny_run, "--to", "ctranslate2", "--out", tmp_path / "exported")
    assert done.code == 2
    assert done.complaint == (
        f"seq2attn: {tiny_run}: model.kind is rnn, and CTranslate2 has transformers only; export a run with "
        "model.kind: transformer"
    )
    assert not (tmp_path / "exported").exists()


def test_an_encoder_with_alibi_is_refused(text: Path, tmp_path: Path) -> None:
    train(make_config(text, SMALL | {"positions": "alibi"}, max_steps=1), tmp_path / "run", "cpu", quiet=True)
    done = call("export", tmp_path / "run", "--to", "ctranslate2", "--out", tmp_path / "exported")
    assert done.code == 2
    assert done.complaint == (
        f"seq2attn: {tmp_path / 'run'}: model.positions is alibi, and CTranslate2 has no such encoder; export a run "
        "with model.positions: rotary, sinusoidal, learned or none"
    )
    assert not (tmp_path / "exported").exists()


def test_an_encoder_with_a_window_is_refused(text: Path, tmp_path: Path) -> None:
    train(make_config(text, SMALL | {"self_attention": "window"}, max_steps=1), tmp_path / "run", "cpu", quiet=True)
    done = call("export", tmp_path / "run", "--to", "ctranslate2", "--out", tmp_path / "exported")
    assert done.code == 2
    assert done.complaint.startswith(
        f"seq2attn: {tmp_path / 'run'}: model.self_attention is window, and CTranslate2 has no such encoder; "
    )
    page = call("play", tmp_path / "run", "--out", tmp_path / "page.html")
    assert page.code == 2
    assert "model.self_attention is window, which a page cannot compute" in page.complaint


def test_an_existing_folder_is_not_changed(learned: TrainedRun, tmp_path: Path) -> None:
    done = call("export", learned.folder.path, "--to", "ctranslate2", "--out", tmp_path)
    assert done.code == 2
    assert done.complaint == f"seq2attn: {tmp_path}: already exists; name a new folder, or delete it"
    assert list(tmp_path.iterdir()) == []


def test_without_ctranslate2_the_extra_is_named(
    learned: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ctranslate2"]:
        monkeypatch.setitem(sys.modules, name, None)
    done = call("export", learned.folder.path, "--to", "ctranslate2", "--out", tmp_path / "exported")
    assert done.code == 1
    assert "pip install 'seq2attn[export]'" in done.complaint


def test_the_program_of_the_documentation_runs(
    learned: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, _ = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    export(learned, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    variables: dict[str, Any] = {}
    exec(program, variables)
    settings = learned.config.decode.model_copy(update={"beam_size": 5})
    assert variables["translations"] == Translator(learned.model, learned.subwords, settings).translate(
        variables["sentences"]
    )

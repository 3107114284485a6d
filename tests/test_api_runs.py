"""Runs from Python: training, translation, attention, scores, errors, process-wide state, and the examples."""

from __future__ import annotations

import doctest
import json
import os
import random
import re
import shlex
import shutil
import signal
import threading
import warnings
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
import pytest
import sacrebleu
import torch

import seq2attn
import seq2attn.api.runs
import seq2attn.api.scores
import seq2attn.attention.html
from seq2attn.corpora import catalog
from tests.browser import needs_browser, run_in_page
from tests.command_line import CONFIGS, RNN_ATTENTION, call, tiny, write

SENTENCE = "rel ibol ar zobur cedul."
NASTY = 'rel </script><script>alert(1)</script> "ibol" & <b>'


def settings(data_folder: Path) -> list[str]:
    """Overrides for a run that takes seconds."""
    return tiny(data_folder)[1::2]


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> seq2attn.Run:
    return seq2attn.load_run(str(tiny_run))


@pytest.fixture(scope="module")
def pairs(data_folder: Path, tiny_run: Path) -> dict[str, list[str]]:
    rows = pq.read_table(catalog.read_splits("synthetic", data_folder)["test"]).to_pylist()[:40]
    return {side: [row[side] for row in rows] for side in ("source", "target")}


def state() -> dict[str, Any]:
    """The process-wide state."""
    return {
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "matplotlib": mpl.rcParams.copy(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(),
        "type": torch.get_default_dtype(),
        "warnings": warnings.filters[:],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "alive": {thread.name for thread in threading.enumerate()},
    }


def test_a_run_leaves_the_process_as_it_was(
    run: seq2attn.Run, tiny_run: Path, pairs: dict[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    seq2attn.evaluate(tiny_run)  # a library may set up state when it is first used
    before = state()
    seq2attn.load_run(tiny_run).translate(SENTENCE)
    run.attention(SENTENCE).plot()
    run.score(pairs["source"], pairs["target"])._repr_html_()
    seq2attn.evaluate(run).plot()
    assert changed(before) == set()
    assert capfd.readouterr().err == ""


def test_training_leaves_the_process_as_it_was(data_folder: Path, tmp_path: Path) -> None:
    overrides = [*settings(data_folder), "train.max_steps=2", "train.threads=2", "train.deterministic=true"]
    config = seq2attn.load_config(RNN_ATTENTION, overrides)
    before = state()
    seq2attn.train(config, tmp_path / "run", quiet=True)
    assert changed(before) == set()


def changed(before: dict[str, Any]) -> set[str]:
    after = state()
    return {name for name in before if after[name] != before[name]}


def test_a_run_is_trained_resumed_and_reused(data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = seq2attn.load_config(RNN_ATTENTION, [*settings(data_folder), "train.max_steps=2"])
    run = seq2attn.train(config, str(folder), quiet=True)
    assert run.finished
    assert run.config == config
    assert (run.path, run.name) == (folder, "RNN, attention")
    assert re.fullmatch(r"<Run RNN, attention: .*/run, [\d,]+ parameters>", repr(run))
    with pytest.raises(seq2attn.RunError, match="already holds a run"):
        seq2attn.train(config, folder, quiet=True)
    before = (folder / "metrics.jsonl").read_bytes()
    assert seq2attn.train(config, folder, reuse=True, quiet=True).translate(SENTENCE) == run.translate(SENTENCE)
    assert (folder / "metrics.jsonl").read_bytes() == before
    other = seq2attn.load_config(RNN_ATTENTION, [*settings(data_folder), "train.max_steps=3"])
    with pytest.raises(seq2attn.ConfigError, match="other settings"):
        seq2attn.train(other, folder, reuse=True, quiet=True)
    shutil.rmtree(folder / "checkpoints" / "final")
    assert not seq2attn.load_run(folder).finished
    assert "unfinished, step 2" in repr(seq2attn.load_run(folder))
    assert seq2attn.train(other, folder, resume=True, quiet=True).finished


def test_a_path_is_a_configuration_and_a_budget_replaces_its_own(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []
    monkeypatch.setattr(seq2attn.api.runs, "run_training", lambda *given: seen.append(given) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        seq2attn.train(str(RNN_ATTENTION), minutes=2)
    ((config, folder, device, resume, quiet, _),) = seen
    assert (config.train.max_minutes, folder, device, resume, quiet) == (
        2, Path("runs/RNN, attention"), "auto", False, False,
    )  # fmt: skip


def test_ctrl_c_leaves_a_checkpoint_and_is_a_keyboard_interrupt(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seq2attn.training.loop import Trainer

    once = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda trainer, log: (_interrupt_soon(), once(trainer, log))[1])
    config = seq2attn.load_config(RNN_ATTENTION, [*settings(data_folder), "train.max_steps=100000"])
    with pytest.raises(KeyboardInterrupt):
        seq2attn.train(config, tmp_path / "run", quiet=True)
    assert "resume=True continues" in capsys.readouterr().err
    assert not seq2attn.load_run(tmp_path / "run").finished


def _interrupt_soon() -> None:
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_overrides_are_words_or_a_mapping() -> None:
    words = seq2attn.load_config(RNN_ATTENTION, ["train.seed=7", "model.cell=lstm", "name='a: b'", "train.max_epochs="])
    mapping = {"train.seed": 7, "model.cell": "lstm", "name": "a: b", "train.max_epochs": None}
    assert seq2attn.load_config(str(RNN_ATTENTION), mapping) == words
    assert seq2attn.load_config("smoke/rnn_attention", "train.seed=7").train.seed == 7


def test_packaged_configurations_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in CONFIGS.glob("*/*.yaml"):
        assert seq2attn.load_config(f"{file.parent.name}/{file.stem}") == seq2attn.load_config(file)
    with pytest.raises(seq2attn.ConfigError, match="no such configuration file"):
        seq2attn.load_config("smoke/nothing")


def test_translations_are_those_of_the_command(run: seq2attn.Run, tiny_run: Path, pairs: dict[str, list[str]]) -> None:
    file = write(tiny_run.parent / "source.txt", "".join(f"{line}\n" for line in pairs["source"]))
    for beam in (None, 1, 3):
        done = call("translate", tiny_run, file, *([] if beam is None else ["--beam", str(beam)]))
        assert run.translate(pairs["source"], beam_size=beam) == done.stdout.splitlines()
    assert run.translate(iter(pairs["source"])) == run.translate(np.array(pairs["source"]))
    assert run.translate(SENTENCE) == run.translate([SENTENCE])[0]
    assert run.translate([]) == []
    assert run.translate(["", "  "]) == ["", ""]


def test_a_run_scores_its_own_translations(run: seq2attn.Run, pairs: dict[str, list[str]]) -> None:
    result = run.score(pairs["source"], pairs["target"], metrics="chrf", bins=[0, 8])
    expected = sacrebleu.corpus_bleu(run.translate(pairs["source"]), [pairs["target"]])
    assert result.value() == expected.score
    assert result.systems == [run.name]
    assert result.summary.length_of == "source"


def test_runs_are_evaluated_as_the_command_does(run: seq2attn.Run, tiny_run: Path, tmp_path: Path) -> None:
    done = call("eval", tiny_run, "--by-length", "--metric", "chrf", "--json")
    expected = json.loads(done.stdout)
    for runs in (run, str(tiny_run), [tiny_run], {"RNN, attention": run}, {"RNN, attention": [tiny_run]}):
        result = seq2attn.evaluate(runs, metrics=["chrf"])
        assert result.to_dict() | {"command": ""} == expected | {"command": ""}
    again = call(*shlex.split(result.summary.command)[1:], "--metric", "chrf", "--json")
    assert json.loads(again.stdout)["systems"] == expected["systems"]
    (translations,) = result.translations.values()
    assert result.value() == sacrebleu.corpus_bleu(list(translations), [list(result.references)]).score
    assert len(result.sources) == len(translations)
    paths = result.save(tmp_path / "result")
    assert paths["report as a page"].is_file()
    assert seq2attn.plot_length_curve([result, paths["summary"]]).axes


def test_several_runs_of_a_name_are_seeds(tiny_run: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(tiny_run, tmp_path / "again"))
    result = seq2attn.evaluate({"both": [tiny_run, again]}, by_length=False)
    assert result.overall(system="both").std == 0.0


def test_attention_is_that_of_the_command(run: seq2attn.Run, tiny_run: Path) -> None:
    done = call("attention", tiny_run, "--source", SENTENCE, "--json")
    view = run.attention(SENTENCE)
    assert view.to_dict() == json.loads(done.stdout) | {"systems": view.to_dict()["systems"]}
    assert view.to_dict()["systems"][0]["maps"] == json.loads(done.stdout)["systems"][0]["maps"]
    found = view.map()
    assert found is not None
    assert view.weights is not None
    assert view.weights.shape == (len(found.rows), len(found.columns))
    assert found.columns[:3] == ("rel", "ibol", "ar")
    np.testing.assert_allclose(view.weights.sum(axis=1), 1.0, atol=1e-5)
    assert run.attention(SENTENCE, target="a b").translation == "a b"
    assert view.plot()._repr_png_().startswith(b"\x89PNG")
    assert view.source in str(view)
    assert "Rows attend to columns" in str(view)
    assert view.translation in repr(view)


@pytest.mark.parametrize("sentence", [SENTENCE, NASTY])
def test_a_notebook_shows_the_page_in_a_frame(run: seq2attn.Run, sentence: str) -> None:
    html = run.attention(sentence)._repr_html_()
    start, page, _ = re.fullmatch(r'(<iframe [^<>]*srcdoc=")([^"<>]*)("></iframe>)', html, re.DOTALL).groups()  # type: ignore[union-attr]
    assert 'sandbox="allow-scripts"' in start
    document = unescape(page)
    assert "default-src 'none'" in document
    assert "<script>alert" not in document
    assert not re.search(r'(?:src|href)="(?!data:)', document)
    assert "http://" not in document.replace("http://www.w3.org", "")


@needs_browser
def test_the_frame_is_high_enough(run: seq2attn.Run, tmp_path: Path) -> None:
    for sentence in (SENTENCE, " ".join([SENTENCE] * 4)):
        html = run.attention(sentence)._repr_html_()
        height = int(re.search(r"height: (\d+)px", html).group(1))  # type: ignore[union-attr]
        page = re.search(r'srcdoc="([^"]*)"', html).group(1)  # type: ignore[union-attr]
        needed = run_in_page(
            write(tmp_path / "page.html", unescape(page)), "return document.querySelector('main').scrollHeight"
        )
        assert needed <= 1.3 * height


@pytest.mark.parametrize(
    ("call_it", "error", "message"),
    [
        (lambda run: run.translate(5), seq2attn.DataError, "sentences: found int; expected a list"),
        (lambda run: run.translate(["a", None]), seq2attn.DataError, "sentences, sentence 2: found NoneType"),
        (lambda run: run.translate(SENTENCE, beam_size=0), seq2attn.ConfigError, "beam_size 0: expected a whole"),
        (lambda run: run.attention("  "), seq2attn.DataError, "contains no word"),
        (lambda run: run.attention(SENTENCE).map("side"), seq2attn.ConfigError, "kind side: expected one of cross"),
        (lambda run: run.attention(SENTENCE).map(layer=9), seq2attn.RunError, "--layer 9"),
        (lambda run: run.attention(SENTENCE).plot("side"), seq2attn.ConfigError, "kind side"),
        (lambda run: run.score(["a"], ["a", "b"]), seq2attn.DataError, "1 sentence(s) where references has 2"),
        (lambda run: seq2attn.evaluate([]), seq2attn.ConfigError, "runs: there are none"),
        (lambda run: seq2attn.evaluate(run, split="train"), seq2attn.ConfigError, "split train: expected one of test"),
        (lambda run: seq2attn.evaluate(run, length_of="x"), seq2attn.ConfigError, "length_of x"),
        (lambda run: seq2attn.evaluate(run, metrics="x"), seq2attn.ConfigError, "metric x"),
        (lambda run: seq2attn.evaluate(run, beam_size=0), seq2attn.ConfigError, "beam_size 0: expected a whole number"),
        (lambda run: seq2attn.evaluate(run.path / "no"), seq2attn.RunError, "not a run folder"),
        (lambda run: seq2attn.load_run(run.path / "no"), seq2attn.RunError, "not a run folder, it does not exist"),
        (lambda run: seq2attn.load_run(run.path, device="tpu"), seq2attn.RunError, "--device tpu"),
        (lambda run: seq2attn.load_config("no.yaml"), seq2attn.ConfigError, "no.yaml: no such configuration file"),
        (lambda run: seq2attn.load_config(RNN_ATTENTION, {"train.sed": 1}), seq2attn.ConfigError, "did you mean"),
        (lambda run: seq2attn.load_config(RNN_ATTENTION, ["x"]), seq2attn.ConfigError, "expected key.path=value"),
        (lambda run: seq2attn.train(RNN_ATTENTION, run.path), seq2attn.RunError, "already holds a run"),
        (lambda run: seq2attn.train(RNN_ATTENTION, minutes=-1), seq2attn.ConfigError, "--minutes"),
        (lambda run: seq2attn.train(RNN_ATTENTION, device="tpu"), seq2attn.RunError, "--device tpu"),
    ],
)  # fmt: skip
def test_mistakes_are_the_errors_of_the_command(
    run: seq2attn.Run, call_it: Callable[[seq2attn.Run], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call_it(run)


@pytest.mark.parametrize("module", ["seq2attn.api", "seq2attn.api.scores", "seq2attn.api.runs"])
def test_the_examples_run(
    module: str, tiny_run: Path, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    shutil.copytree(tiny_run, tmp_path / "runs" / "first")
    names = {name: getattr(seq2attn, name) for name in seq2attn.__all__}
    result = doctest.testmod(__import__(module, fromlist=["x"]), extraglobs=names)
    assert result.attempted > 2
    assert not result.failed

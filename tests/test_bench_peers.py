"""The comparison with peers: the common input, taking turns, and the arithmetic of the ratios."""

from __future__ import annotations

import itertools
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from scripts.peers import drive_seq2attn, driver
from scripts.peers.assignments import Effort, Model, assign, configure
from scripts.peers.driver import Driver, DriverCall, DriverError
from scripts.peers.measure import PAIRINGS, Pairing, run_pairings
from scripts.peers.ratios import Comparison, compare
from scripts.peers.serving import Assignment, padded
from seq2attn.benchmark.machine import Setting, Timing
from seq2attn.benchmark.workload import Workload, make_up_text
from seq2attn.config.schema import Config, SubwordsConfig
from seq2attn.data.subwords import EOS_ID

EFFORT = Effort(updates=2, sentences=5, batch_sentences=2, seconds=0.0, threads=torch.get_num_threads())


class Listener:
    """A listener that ignores everything."""

    def say(self, text: str) -> None:
        pass

    def report(self, name: str, finished: int, total: int) -> None:
        pass


def tiny(model: Model) -> Config:
    """The configuration of the benchmark with a small model and small batches."""
    config = configure(model)
    return config.model_copy(
        update={
            "model": type(config.model).model_validate(config.model.model_dump() | {"d_model": 16, "n_layers": 1}),
            "train": config.train.model_copy(update={"batch_tokens": 200}),
        }
    )


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return Workload.prepare(make_up_text(60), SubwordsConfig(vocab_size=300), tmp_path_factory.mktemp("workload"))


@pytest.fixture(scope="module")
def assignment(workload: Workload) -> Assignment:
    return assign(workload, tiny(Model.transformer), EFFORT)


@pytest.fixture
def path(assignment: Assignment, tmp_path: Path) -> Path:
    assignment.save(tmp_path / "assignment.json")
    return tmp_path / "assignment.json"


def test_an_assignment_is_read_back_as_written(assignment: Assignment, path: Path) -> None:
    assert Assignment.load(path) == assignment


def test_the_tools_train_on_the_batches_of_the_pipeline(workload: Workload, assignment: Assignment) -> None:
    batches = workload.sample_batches(tiny(Model.transformer).train, EFFORT.updates)
    assert [batch.tokens for batch in assignment.training] == [batch.target_tokens for batch in batches]
    for given, batch in zip(assignment.training, batches, strict=True):
        assert padded(given.sources, assignment.pad_id) == batch.source_ids.tolist()
        with_eos = [[*target, assignment.eos_id] for target in given.targets]
        assert padded(with_eos, assignment.pad_id) == batch.target_output.tolist()


def test_ungrouped_batches_are_full_within_the_budget(assignment: Assignment) -> None:
    budget = tiny(Model.transformer).train.batch_tokens
    assert len(assignment.ungrouped) == EFFORT.updates
    for batch in assignment.ungrouped:
        sizes = [max(len(source), len(target) + 1) for source, target in zip(batch.sources, batch.targets, strict=True)]
        assert max(sizes) * len(sizes) >= budget
        assert max(sizes[:-1], default=0) * (len(sizes) - 1) < budget
        assert len(set(sizes)) > 1
    first = [source for batch in assignment.ungrouped for source in batch.sources]
    assert len(first) == len({tuple(source) for source in first})


def test_sentences_of_similar_length_are_translated_together(workload: Workload, assignment: Assignment) -> None:
    sources = [source for batch in assignment.decoding for source in batch.sources]
    assert sorted(sources) == sorted(workload.pairs.source(row).tolist() for row in range(EFFORT.sentences))
    assert [len(source) for source in sources] == sorted(len(source) for source in sources)
    assert [len(batch.sources) for batch in assignment.decoding] == [2, 2, 1]
    assert all(source[-1] == EOS_ID for source in sources)
    targets = {tuple(workload.pairs.source(row)): len(workload.pairs.target(row)) + 1 for row in range(5)}
    for batch in assignment.decoding:
        assert batch.steps == max(targets[tuple(source)] for source in batch.sources)
        assert batch.tokens == batch.steps * len(batch.sources)


@pytest.mark.parametrize("precisions", [[], ["bfloat16"]], ids=str)
@pytest.mark.parametrize("model", Model)
def test_our_own_driver_trains_and_translates(workload: Workload, model: Model, precisions: list[str]) -> None:
    given = assign(workload, tiny(model), EFFORT)
    tool = drive_seq2attn.build(given, precisions)
    assert tool.works["training"]() == sum(batch.tokens for batch in given.training)
    assert tool.works["beam"]() == sum(batch.tokens for batch in given.decoding)


def test_the_driver_of_ctranslate2_translates_what_export_wrote(workload: Workload, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the extra `export` is not installed")
    from scripts.peers import drive_ctranslate2
    from scripts.peers.measure import export_own

    config = tiny(Model.transformer)
    given = assign(workload, config, EFFORT)
    export_own(config, workload, tmp_path / "exported")
    tool = drive_ctranslate2.build(given, [str(tmp_path / "exported")])
    assert tool.works["beam"]() == sum(batch.tokens for batch in given.decoding)


def call(notes: Path, name: str, seconds: float) -> DriverCall:
    return DriverCall(Path(sys.executable), "tests.peer_driver", (str(notes), name, str(seconds)))


def test_drivers_take_turns_and_never_work_at_once(
    assignment: Assignment, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_PAUSE_SECONDS", 0.0)
    notes = tmp_path / "notes"
    calls = {"A": call(notes, "A", 0.05), "B": call(notes, "B", 0.15)}
    pairing = Pairing(Model.transformer, "training", (("A", "B"), ("B", "A")))
    found = run_pairings([pairing], calls, path, threads=1, seconds=0.0, audience=Listener())
    turn = ["A begins", "A ends", "B begins", "B ends"]
    assert notes.read_text().splitlines() == 4 * turn  # the first to warm up
    there, back = found.ratios
    assert (there.tool, there.peer, there.ratio.count) == ("A", "B", 3)
    tokens = sum(batch.tokens for batch in assignment.training)
    assert there.tool_tokens_per_second.highest <= tokens / 0.05
    assert there.ratio.median > 1.2
    assert there.ratio.median * back.ratio.median == pytest.approx(1.0)
    assert found.tools == {name: {"versions": {"nothing": "1.0"}, "parameters": None} for name in "AB"}


def test_a_driver_that_exits_is_named(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Driver("broken", call(tmp_path / "notes", "broken", 0), path, 1) as broken,
        pytest.raises(DriverError, match=r"^broken: its process ended with exit code 1; see above for why$"),
    ):
        broken.round("training")
    assert "asked to fail" in capfd.readouterr().err
    assert broken.process.poll() == 1


def test_a_ratio_is_computed_within_one_round() -> None:
    rounds = {
        "ours": [Timing(1.0, 300), Timing(2.0, 300), Timing(1.0, 500)],
        "theirs": [Timing(1.0, 100), Timing(1.0, 100), Timing(2.0, 200)],
    }
    found = compare("RNN", "training", "ours", "theirs", rounds)
    assert (found.ratio.median, found.ratio.lowest, found.ratio.highest) == (3.0, 1.5, 5.0)
    assert found.tool_tokens_per_second.median == 300
    assert found.peer_tokens_per_second.median == 100
    comparison = Comparison(Setting.here(torch.device("cpu"), "x"), "text", {}, (found,))
    console = Console(width=200, record=True)
    console.print(comparison.to_table())
    assert "3.00 (1.50–5.00)" in console.export_text()
    assert json.loads(comparison.to_json())["ratios"][0]["ratio"]["median"] == 3.0


def test_the_documented_work_is_compared() -> None:
    works = ("training", "training, own batches", "beam")
    assert {(pairing.model, pairing.work) for pairing in PAIRINGS} == set(itertools.product(Model, works))
    assert all("JoeyNMT" in pairing.tools for pairing in PAIRINGS)
    in_bfloat16 = [(pairing.model, pairing.work) for pairing in PAIRINGS if "seq2attn in bfloat16" in pairing.tools]
    own = "training, own batches"
    assert in_bfloat16 == [(Model.rnn, own), (Model.rnn, "beam"), (Model.transformer, own)]
    with_lingo = [pairing for pairing in PAIRINGS if "torchlingo" in pairing.tools]
    assert [(pairing.model, pairing.work) for pairing in with_lingo] == [(Model.transformer, "training")]


def test_the_program_says_how_it_is_called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_peers", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("scripts.peers", run_name="__main__")
    assert ended.value.code == 0
    assert "--threads" in capsys.readouterr().out

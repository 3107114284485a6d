"""The benchmark on tiny models: the numbers do not matter, only what is measured and shown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from seq2attn.benchmark import growth, machine, speed
from seq2attn.benchmark.growth import Growth, measure_growth
from seq2attn.benchmark.machine import Spread, alternate
from seq2attn.benchmark.speed import Bench, Effort, measure_speed
from seq2attn.benchmark.subject import Subject, measure_steps, measure_steps_here
from seq2attn.benchmark.tables import draw_growth, growth_table, speed_tables
from seq2attn.benchmark.workload import Workload, make_up_text
from seq2attn.config.load import load_config
from seq2attn.config.schema import Config
from seq2attn.device import peak_memory_bytes
from seq2attn.errors import ConfigError, DataError
from tests.command_line import CONFIGS, RNN_ATTENTION, call

CPU = torch.device("cpu")
TINY = ["subwords.vocab_size=120", "model.d_model=16", "train.batch_tokens=400", "decode.beam_size=3"]
PAIRS = 200


class Listener:
    """A listener that records what it receives."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.reported: list[tuple[str, int, int]] = []

    def say(self, text: str) -> None:
        self.messages.append(text)

    def report(self, name: str, finished: int, total: int) -> None:
        self.reported.append((name, finished, total))


def tiny(name: str = "rnn_attention", *overrides: str) -> Config:
    return load_config(CONFIGS / "smoke" / f"{name}.yaml", [*TINY, *overrides])


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return Workload.prepare(make_up_text(PAIRS), tiny().subwords, tmp_path_factory.mktemp("workload"))


@pytest.mark.parametrize(("first_round_counts", "rounds_called"), [(False, 4), (True, 3)])
def test_jobs_take_turns_for_at_least_three_rounds(first_round_counts: bool, rounds_called: int) -> None:
    called: list[str] = []

    def job(name: str) -> Callable[[], int]:
        return lambda: called.append(name) or len(called)

    listener = Listener()
    results = alternate({name: job(name) for name in "abc"}, 0.0, listener, first_round_counts)
    assert called == list("abc") * rounds_called
    first = 1 if first_round_counts else 4
    assert results == {name: [first + place, first + place + 3, first + place + 6] for place, name in enumerate("abc")}
    assert listener.reported[-1][1:] == ((3 * (rounds_called - 1),) * 2)
    assert f"{rounds_called - 1} more take about" in listener.messages[0]


def test_more_rounds_are_made_if_time_is_left() -> None:
    (results,) = alternate({"nap": lambda: time.sleep(0.005)}, 1.0, Listener()).values()
    assert 3 < len(results) <= 1.0 / 0.005


def test_a_spread_is_the_median_with_lowest_and_highest() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0, 4)


@pytest.mark.parametrize(
    ("count", "interval"), [(1, (None, None)), (5, (None, None)), (6, (0, 5)), (8, (0, 7)), (9, (1, 7)), (20, (5, 14))]
)
def test_the_interval_of_a_median_ratio_is_that_of_the_tables(
    count: int, interval: tuple[int | None, int | None]
) -> None:
    """The ranks are those of Conover's table for the median; fewer than six values have no interval."""
    ratio = machine.Ratio.of(float(value) for value in reversed(range(count)))
    assert (ratio.median, ratio.low, ratio.high, ratio.count) == ((count - 1) / 2, *interval, count)


def test_the_text_is_reproducible_and_has_the_documented_lengths() -> None:
    text = make_up_text(4000)
    assert text[:50] == make_up_text(4000)[:50]
    words = {side: np.array([len(sentence.split()) for sentence in text[side]]) for side in ("source", "target")}
    assert words["source"].mean() == pytest.approx(23.4, rel=0.03)
    assert words["source"].std() == pytest.approx(10.2, rel=0.06)
    ratios = np.log(words["target"] / words["source"])
    assert (ratios.mean(), ratios.std()) == (pytest.approx(0.15, abs=0.02), pytest.approx(0.21, abs=0.04))
    assert set(" ".join(text["source"]).split()) != set(" ".join(text["target"]).split())


def test_sampled_batches_cover_all_lengths_within_the_budget(workload: Workload) -> None:
    config = tiny().train
    batches = workload.sample_batches(config, 4)
    longest = [max(batch.source_ids.shape[1], batch.target_output.shape[1]) for batch in batches]
    assert longest == sorted(longest)
    assert longest[0] < 0.6 * longest[-1]
    rows = [batch.source_ids.shape[0] for batch in batches]
    assert all(n == 1 or n * length <= config.batch_tokens for n, length in zip(rows, longest, strict=True))
    every = workload.all_batches(config)
    assert sum(batch.target_tokens for batch in every) == workload.pairs.target_lengths.sum() + PAIRS


def test_encoding_again_leaves_no_files(workload: Workload) -> None:
    before = sorted(workload.folder.iterdir())
    workload.encode_again()
    assert sorted(workload.folder.iterdir()) == before


@pytest.mark.parametrize("name", ["rnn_fixed", "rnn_attention", "transformer"])
def test_a_model_does_the_counted_work(name: str, workload: Workload) -> None:
    subject = Subject(tiny(name), workload, updates=2, sentences=6, device=CPU)
    weights = [parameter.clone() for parameter in subject.trained.parameters()]
    training = subject.measure("training")
    assert training.tokens == sum(batch.target_tokens for batch in subject.batches)
    moved = [(old - new).abs().max().item() for old, new in zip(weights, subject.trained.parameters(), strict=True)]
    assert 0.0 < max(moved) < 1e-4
    encoding = subject.measure("encoding")
    assert encoding.tokens == sum(int(batch.source_valid.sum()) for batch in subject.batches)
    greedy, beam = subject.measure("greedy"), subject.measure("beam")
    # Every translation reaches its maximum length, because EOS is forbidden.
    assert greedy.tokens == beam.tokens == sum(int(0.75 * length) + 10 for length in subject.source_lengths)
    assert beam.flops > 2 * greedy.flops > 0
    assert training.flops > 3 * encoding.flops > 0


def test_accumulated_batches_make_one_update(workload: Workload) -> None:
    subject = Subject(tiny("rnn_fixed", "train.accumulate=3"), workload, updates=2, sentences=1, device=CPU)
    subject.measure("training")
    assert len(subject.batches) == 6
    (state, *_) = subject.optimizer.state.values()
    assert state["step"].item() == 2


def test_a_new_process_measures_only_its_own_memory() -> None:
    ballast = np.ones(600_000_000 // 8)
    cost = measure_steps(tiny(), [[(200, 200)] * 8], CPU, repeats=1)
    assert peak_memory_bytes(CPU) > ballast.nbytes + 200_000_000
    assert cost.peak_bytes < peak_memory_bytes(CPU) - 300_000_000
    # At least the logits of all target tokens.
    assert cost.added_bytes > 4 * 8 * 200 * tiny().subwords.vocab_size
    assert cost.seconds > 0


def test_an_error_in_another_process_is_reported_here() -> None:
    config = tiny("transformer", "model.positions=learned", "model.max_positions=8")
    with pytest.raises(DataError, match="9 subwords is longer than the model's 8 learned positions"):
        measure_steps(config, [[(9, 4)]], CPU, repeats=1)


@pytest.fixture
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small matrix products, one command to start, and memory measured in this process."""
    monkeypatch.setattr(machine, "_PRODUCT_SIZE", {"cpu": 64})
    monkeypatch.setattr(speed, "_START_UP", {"seq2attn --help": machine.start_help})
    for module in (speed, growth):
        monkeypatch.setattr(module, "measure_steps", measure_steps_here)


def printed(table: object) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.usefixtures("_small_machine")
def test_speeds_are_shown_for_every_model_and_kind_of_work() -> None:
    listener = Listener()
    configs = {name: tiny(name) for name in ("rnn_fixed", "transformer")}
    bench = measure_speed(configs, CPU, "seq2attn bench", 0.0, listener, Effort(PAIRS, updates=2, sentences=4))
    assert isinstance(bench, Bench)
    assert bench.rounds == 3
    assert list(bench.start_up_seconds) == ["seq2attn --help"]
    assert list(bench.pipeline_tokens_per_second) == [
        "text to ids, 120 joint bpe subwords",
        "ids to batches of 400, 120 joint bpe subwords",
    ]
    for model in bench.models:
        assert list(model.works) == ["training", "encoding", "greedy", "beam"]
        for work in model.works.values():
            assert work.tokens_per_second.count == work.share_of_products.count == 3
            assert 0 < work.share_of_products.lowest <= work.share_of_products.median
    first, second = bench.models
    assert {work.relative_to_first for work in first.works.values()} == {machine.Ratio(1.0, None, None, 3)}
    assert all(work.relative_to_first.median > 0 for work in second.works.values())
    assert f"parameters   {second.parameters / first.parameters:.3f}" in re.sub(
        " {3,}", "   ", printed(speed_tables(bench))
    )
    text = printed(speed_tables(bench))
    for expected in (
        *configs,
        "relative to rnn_fixed",
        "beam of 3",
        "matrix products",
        "of 3 rounds, of 12 for",
        "tokens/s",
    ):
        assert expected in text
    read: Mapping[str, object] = json.loads(bench.to_json())
    assert read["setting"]["command"] == "seq2attn bench"
    assert read["models"][1]["works"]["beam"]["tokens_per_second"]["count"] == 3
    assert listener.messages[0].startswith(f"generating {PAIRS} sentence pairs")


@pytest.mark.usefixtures("_small_machine")
def test_growth_is_shown_for_every_length_and_drawn(tmp_path: Path) -> None:
    configs = {name: tiny(name) for name in ("rnn_fixed", "transformer")}
    found = measure_growth(configs, [3, 60], CPU, "seq2attn bench --lengths 3,60", 0.0, Listener())
    assert isinstance(found, Growth)
    assert (found.rounds, found.steps) == (3, 3)
    for model in found.models:
        short, long = model.points
        assert (short.length, long.length) == (3, 60)
        assert short.seconds.median < long.seconds.median
    text = printed(growth_table(found))
    assert "of 3 measurements, each the median of 3 steps" in " ".join(text.split())
    png, svg = draw_growth(found, tmp_path / "new" / "growth")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = svg.read_text(encoding="utf-8")
    assert all(words in drawn for words in ("rnn_fixed", "transformer", "milliseconds a step", "megabytes"))
    assert json.loads(found.to_json())["models"][0]["points"][1]["length"] == 60


@pytest.mark.parametrize("lengths", ["10,x", "", "1,2", "10;20"])
def test_invalid_lengths_are_an_error(lengths: str) -> None:
    complaint = call("bench", RNN_ATTENTION, "--lengths", lengths).complaint
    assert complaint == f"seq2attn: --lengths {lengths}: expected whole numbers from 2 on with commas, as in 10,20,40"


def test_models_that_ask_for_different_threads_are_not_measured_together() -> None:
    configs = {"one": tiny("rnn_fixed", "train.threads=1"), "two": tiny("rnn_fixed")}
    with pytest.raises(ConfigError, match=r"differ \(1, none\); use the same value, as in --set train.threads=2"):
        measure_speed(configs, CPU, "", 0.0, Listener())


def test_a_text_too_small_for_the_vocabulary_is_an_error() -> None:
    finished = call("bench", RNN_ATTENTION, "--set", "subwords.vocab_size=900000", "--seconds", "0")
    assert finished.code == 2
    assert "subwords.vocab_size: 900000 is more than the source and target text allows" in finished.stderr


@pytest.mark.usefixtures("_small_machine")
def test_the_command_writes_results_and_figure_and_prints_json(tmp_path: Path) -> None:
    files = [RNN_ATTENTION, CONFIGS / "natural" / RNN_ATTENTION.name]
    settings = [word for setting in (*TINY, "train.threads=1") for word in ("--set", setting)]
    done = call("bench", *files, *settings, "--seconds", "0", "--lengths", "2,4", "--out", tmp_path, "--json")
    assert done.code == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bench.json", "growth.png", "growth.svg"}
    assert done.stdout == (tmp_path / "bench.json").read_text(encoding="utf-8")
    # Both have the same name, so only their files distinguish them.
    assert [model["name"] for model in json.loads(done.stdout)["models"]] == [str(file) for file in files]
    assert "2 more take about" in done.stderr

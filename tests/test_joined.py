"""Joined evaluation: its scores are right, and the command writes a figure, a table and JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from seq2attn.config.schema import JoinConfig
from seq2attn.evaluation.joined import JoinedOutputs, JoinedSystem, Segments, measure_joined
from seq2attn.evaluation.lengths import Bins
from seq2attn.evaluation.metrics import Bleu
from seq2attn.training.train import train
from tests.command_line import Finished, call
from tests.evaluation_samples import corrupted
from tests.training_samples import WORDS, make_config

BINS = Bins((0, 10, 20))
N = 90


def segments(seed: int) -> tuple[Segments, list[str]]:
    """Generated segments of one sentence and of two, in 30 documents, and their references."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([rng.integers(4, 15, N), rng.integers(8, 30, N)])
    references = [" ".join(f"w{word}" for word in rng.integers(40, size=n)) for n in lengths]
    documents = np.tile(np.arange(30), 6)
    return Segments((1,) * N + (2,) * N, lengths, documents), references


def measured(seed: int, joined: float, alone: float) -> tuple[JoinedSystem, list[str], list[str]]:
    """A system that gets each word right with the given probabilities, its joined output, and the references."""
    rng = np.random.default_rng(seed)
    of_text, references = segments(seed)
    as_one, singly = corrupted(rng, references, joined), corrupted(rng, references, alone)
    joined_statistics, alone_statistics = (
        Bleu().statistics([output], [references]) for output in (as_one, [*as_one[:N], *singly[N:]])
    )
    outputs = JoinedOutputs("a", None, joined_statistics, alone_statistics)
    (system,) = measure_joined([outputs], of_text, BINS)
    return system, as_one, references


def test_scores_are_those_of_complete_groups() -> None:
    system, output, references = measured(0, 0.8, 0.8)
    for group, chosen in zip(system.by_size, (slice(0, N), slice(N, 2 * N)), strict=True):
        assert (group.n, group.n_documents) == (N, 30)
        assert group.joined is not None
        statistics = Bleu().statistics([output[chosen]], [references[chosen]])
        assert group.joined.value == pytest.approx(Bleu().score(statistics[0].sum(axis=0)), abs=1e-9)
    assert [group.label for group in system.by_length] == ["0–9", "10–19", "20+"]
    assert sum(group.n for group in system.by_length) == 2 * N


def test_the_cost_of_joining_is_detected_only_where_it_exists() -> None:
    single, pairs = measured(1, 0.6, 0.9)[0].by_size
    assert single.cost is None
    assert pairs.cost is not None
    assert pairs.joined is not None
    assert pairs.alone is not None
    assert pairs.cost.value == pytest.approx(pairs.alone.value - pairs.joined.value)
    assert pairs.cost.low > 5.0
    assert pairs.cost.p_value < 0.001 <= 3 * pairs.cost.p_corrected
    _, same = measured(2, 0.8, 0.8)[0].by_size
    assert same.cost is not None
    assert same.cost.low < 0.0 < same.cost.high


def test_segments_repeated_within_a_document_do_not_narrow_intervals() -> None:
    """The same segments three times, as join sizes repeat sentences: the intervals do not change."""
    of_text, references = segments(7)
    statistics = Bleu().statistics([corrupted(np.random.default_rng(7), references, 0.7)], [references])

    def width(times: int) -> float:
        repeated = np.tile(statistics, (1, times, 1))
        text = Segments((2,) * 2 * N * times, np.tile(of_text.lengths, times), np.tile(of_text.documents, times))
        (system,) = measure_joined([JoinedOutputs("a", None, repeated, repeated)], text, BINS)
        (group,) = system.by_size
        assert group.joined is not None
        assert group.joined.low is not None
        assert group.joined.high is not None
        return group.joined.high - group.joined.low

    assert width(3) == pytest.approx(width(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has partly learned to copy, on text in documents of six lines."""
    folder = tmp_path_factory.mktemp("joined")
    draw = random.Random(3)
    for split, n in (("train", 400), ("validation", 12), ("test", 90)):
        lines = [" ".join(draw.choices(WORDS, k=draw.randint(2, 6))) for _ in range(n)]
        records = [{"source": line, "target": line, "document": f"{row // 6}"} for row, line in enumerate(lines)]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    config = make_config(folder, {"kind": "rnn", "attention": "general", "cell": "gru"}, max_steps=30)
    data = {split: str(folder / f"{split}.jsonl") for split in ("train", "validation", "test")}
    config = config.model_copy(update={"data": config.data.model_copy(update={**data, "max_source_words": 5})})
    train(config, folder / "run", "cpu", quiet=True)
    return folder / "run"


def evaluate(run: Path, *options: str | Path) -> Finished:
    return call("eval", run, "--beam", "1", "--bins", "0,5,10,15", *options)


def test_the_command_writes_figure_table_and_json(run: Path, tmp_path: Path) -> None:
    done = evaluate(run, "--join", "1,2,3", "--out", tmp_path)
    assert done.code == 0, done.stderr
    assert {"joined.json", "joined.md", "joined.png", "joined.svg", "summary.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert "by their number" in done.stdout
    summary = json.loads((tmp_path / "joined.json").read_text(encoding="utf-8"))
    (system,) = summary["systems"]
    assert system["max_source_words"] == 5
    assert [(group["size"], group["n"]) for group in system["by_size"]] == [(1, 90), (2, 45), (3, 30)]
    assert all(group["n_documents"] == 15 for group in system["by_size"])
    single = system["by_size"][0]
    assert single["joined"] == single["alone"]
    overall = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["systems"][0]
    assert single["joined"]["value"] == pytest.approx(overall["bleu"])
    report = (tmp_path / "joined.md").read_text(encoding="utf-8")
    assert "seq2attn eval" in report
    assert "lost by joining" in report


def test_joined_translations_are_saved_too(run: Path) -> None:
    first = evaluate(run, "--join", "2", "--json")
    kept = run / "translations" / "test.join2.beam1.json"
    before = kept.stat().st_mtime_ns
    assert json.loads(evaluate(run, "--join", "2", "--json").stdout)["systems"] == json.loads(first.stdout)["systems"]
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("sizes", ["", "0,1", "a", "1;2", "-1"])
def test_invalid_join_sizes_are_a_one_line_error(run: Path, sizes: str) -> None:
    done = evaluate(run, f"--join={sizes}")
    assert done.code == 2
    assert done.complaint == f"seq2attn: --join {sizes}: expected positive numbers of sentences, as in 1,2,3,4"


def test_text_without_documents_is_a_one_line_error(tiny_run: Path) -> None:
    done = call("eval", tiny_run, "--split", "validation", "--beam", "1", "--join", "2")
    assert done.code == 2
    assert "--join: the validation text of synthetic has no document names; give a .jsonl or .parquet" in done.stderr


def test_intervals_resample_documents_where_there_are_any(run: Path, tiny_run: Path, tmp_path: Path) -> None:
    by_default, by_document, by_sentence = (
        json.loads(evaluate(run, "--json", *options).stdout)
        for options in ((), ("--resample", "documents"), ("--resample", "sentences"))
    )
    assert by_default["resample"] == "documents"
    assert by_default["systems"] == by_document["systems"]
    assert "resample" not in by_sentence
    assert [
        (system["bleu"], system["bleu_high"] != other["bleu_high"])
        for system, other in zip(by_document["systems"], by_sentence["systems"], strict=True)
    ] == [(by_sentence["systems"][0]["bleu"], True)]
    done = evaluate(run, "--out", tmp_path)
    assert "Intervals resample documents." in done.stdout
    for file in ("report.md", "report.html"):
        assert "Intervals resample documents." in (tmp_path / file).read_text(encoding="utf-8")
    assert "resamples of the documents" in (run / "README.md").read_text(encoding="utf-8")
    assert "Intervals resample sentences." in call("eval", tiny_run, "--split", "validation", "--beam", "1").stdout


def test_documents_that_are_missing_or_few_are_one_line(run: Path, tiny_run: Path) -> None:
    done = call("eval", tiny_run, "--split", "validation", "--beam", "1", "--resample", "documents")
    assert done.code == 2
    assert done.complaint == (
        "seq2attn: --resample documents: the validation text of synthetic names no documents; "
        "give a .jsonl or .parquet file with a field document"
    )
    done = evaluate(run, "--split", "validation", "--resample", "documents")
    assert done.code == 2
    assert done.complaint.endswith("the validation text of own names 2 documents; at least 10 are needed")
    assert "resample" not in json.loads(evaluate(run, "--split", "validation", "--json").stdout)


def test_a_run_trained_on_groups_learns_and_is_evaluated_over_their_lengths(tmp_path: Path) -> None:
    """One command to train and one to evaluate, up to a curve over joined inputs; these cannot be joined again."""
    for split, count in (("train", 120), ("validation", 60), ("test", 60)):
        draw = random.Random(split)
        lines = [" ".join(draw.choices(WORDS, k=3)) for _ in range(count)]
        (tmp_path / f"{split}.tsv").write_text("".join(f"{line}\t{line}\n" for line in lines), encoding="utf-8")
    config = make_config(tmp_path, {"kind": "rnn", "attention": "additive"}, max_steps=3)
    join = JoinConfig.model_validate({"sizes": "1..4", "singles": 2})
    config = config.model_copy(update={"data": config.data.model_copy(update={"join": join})})
    train(config, tmp_path / "run", quiet=True)
    done = call("eval", tmp_path / "run", "--bins", "0,5,8,11", "--beam", "1", "--json")
    assert done.code == 0, done.stderr
    (system,) = json.loads(done.stdout)["systems"]
    assert [bucket["n"] for bucket in system["buckets"]] == [60, 30, 20, 15]
    again = call("eval", tmp_path / "run", "--join", "1,2", "--beam", "1", "--out", tmp_path / "out")
    assert again.code == 2
    assert again.complaint.endswith("evaluate them without --join")

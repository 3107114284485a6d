"""Corpora of several files, local and at addresses: the same pairs, ids and batches as those of a single file."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from seq2attn.config.load import dump_config, parse_config
from seq2attn.config.schema import DataConfig, SubwordsConfig, TrainConfig
from seq2attn.corpora.load import cache_folder, load_corpus
from seq2attn.data import duplicates
from seq2attn.data.encoded import EncodedPairs, encode_split
from seq2attn.data.files import read_rows
from seq2attn.data.loader import Loader
from seq2attn.data.store import Corpus
from seq2attn.data.subwords import Subwords
from seq2attn.data.workers import run_jobs
from seq2attn.errors import ConfigError, DataError, FetchError, WorkerError
from tests.command_line import call, running, spawn
from tests.square import FAILS, IS_KILLED, square
from tests.training_samples import FAMILIES

Rows = list[dict[str, str]]

NUMBERS = [number % 50 for number in range(120)]
ROWS = [{"source": f"maison {number}", "target": f"{number} houses{' too' * (number % 7)}"} for number in NUMBERS]
FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "tsv")


def content(rows: Rows, form: str) -> bytes:
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue().to_pybytes()
    lines = [f"{row['source']}\t{row['target']}" if form == "tsv" else json.dumps(row) for row in rows]
    text = "".join(f"{line}\n" for line in lines).encode()
    if form.endswith(".gz"):
        return gzip.compress(text)
    return pa.Codec("zstd").compress(text, asbytes=True) if form.endswith(".zst") else text


def write_shards(folder: Path, rows: Rows = ROWS, form: str = "jsonl", size: int = 50) -> Path:
    folder.mkdir(parents=True)
    for start in range(0, len(rows), size):
        (folder / f"part-{start:05}.{form}").write_bytes(content(rows[start : start + size], form))
    return folder


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)
    for split, line in (("validation", "maison 7\t7 houses"), ("test", "un chat\ta cat")):
        (tmp_path / f"{split}.tsv").write_text(f"{line}\n", encoding="utf-8")
    yield tmp_path
    fsspec.filesystem("memory").store.clear()


def configure(text: Path, train: str | Path, **keys: object) -> DataConfig:
    splits = {split: str(text / f"{split}.tsv") for split in ("validation", "test")}
    languages = {"source_language": "fr", "target_language": "en", "processes": 1}
    given = {"train": str(train), "folder": str(text / "data")} | keys
    return DataConfig.model_validate(splits | languages | given)


def pairs_of(corpus: Corpus) -> list[tuple[str, str]]:
    return [(row["source"], row["target"]) for row in corpus.splits["train"]]


@pytest.mark.parametrize("form", FORMATS)
def test_shards_of_every_format_are_read_in_order_of_their_names(tmp_path: Path, form: str) -> None:
    folder = write_shards(tmp_path / "train", form=form)
    for ignored in (".hidden.jsonl", "_SUCCESS", "README.md"):
        (folder / ignored).write_text("no pairs")
    expected = [(row["source"], row["target"], None) for row in ROWS]
    for spec in (str(folder), f"{folder}/", f"file://{folder}", f"local://{folder}"):
        assert list(read_rows(spec, "fr", "en")) == expected


def test_addresses_of_folders_and_files(text: Path) -> None:
    system = fsspec.filesystem("memory")
    for number, form in enumerate(FORMATS):
        for start in (0, 50, 100):
            system.pipe(f"/corpora/{number}/part-{start:05}.{form}", content(ROWS[start : start + 50], form))
        expected = load_corpus(configure(text, write_shards(text / form, form=form)))
        found = load_corpus(configure(text, f"memory://corpora/{number}/", processes=2))
        assert pairs_of(found) == pairs_of(expected)
        assert (found.digest, found.counts) == (expected.digest, expected.counts)
        one = load_corpus(configure(text, f"memory://corpora/{number}/part-00050.{form}"))
        assert one.counts["train"]["read"] == 50


def test_a_prefix_beside_a_folder_stays_a_prefix(tmp_path: Path) -> None:
    write_shards(tmp_path / "train")
    for language in ("fr", "en"):
        (tmp_path / f"train.{language}").write_text("x\n")
    assert list(read_rows(str(tmp_path / "train"), "fr", "en")) == [("x", "x", None)]


def test_shards_are_cleaned_and_encoded_like_one_file(text: Path) -> None:
    single = write_shards(text / "single", size=len(ROWS)) / "part-00000.jsonl"
    one, several = (load_corpus(configure(text, spec)) for spec in (single, write_shards(text / "several")))
    assert pairs_of(one) == pairs_of(several)
    assert one.counts == several.counts
    assert one.counts["train"]["dropped"] == {"in_validation_or_test": 3}
    assert (len(one.shards), len(several.shards)) == (0, 3)
    subwords = Subwords.train(one.splits["train"], SubwordsConfig(vocab_size=290))
    cache = cache_folder(configure(text, single))
    encoded = [encode_split(corpus, "train", subwords, cache) for corpus in (one, several)]
    assert encoded[1].source(0).dtype == np.uint16
    for index in range(len(encoded[0])):
        assert encoded[0].source(index).tolist() == encoded[1].source(index).tolist()
        assert encoded[0].target(index).tolist() == encoded[1].target(index).tolist()
    assert isinstance(encoded[1].source_lengths, np.memmap)
    assert batches_of(encoded[0]) == batches_of(encoded[1])


def batches_of(pairs: EncodedPairs) -> list[tuple[list[int], list[list[int]]]]:
    loader = Loader(pairs, TrainConfig(max_steps=1, batch_tokens=60), torch.device("cpu"))
    loaded = [loader.next_batches(2) for _ in range(40)]
    return [(batches.pairs, batches.batches[1].target_output.tolist()) for batches in loaded]


def test_two_processes_make_the_same_folders_as_one(text: Path) -> None:
    write_shards(text / "train")
    made = []
    for processes in (1, 2):
        config = configure(text, text / "train", folder=str(text / f"data{processes}"), processes=processes)
        corpus = load_corpus(config)
        subwords = Subwords.train(corpus.splits["train"], SubwordsConfig(vocab_size=290))
        encode_split(corpus, "train", subwords, cache_folder(config), processes)
        files = sorted(path for path in cache_folder(config).rglob("*") if path.is_file())
        made.append({str(path.relative_to(cache_folder(config))): path.read_bytes() for path in files})
    assert len(made[0]) == 12
    assert made[0] == made[1]


def test_an_interrupted_run_makes_only_what_is_missing(text: Path) -> None:
    config = configure(text, write_shards(text / "train"))
    broken = text / "train" / "part-00100.jsonl"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-10])
    with pytest.raises(DataError, match=r"part-00100\.jsonl:20: not valid JSON"):
        load_corpus(config)
    kept = {path: path.stat().st_mtime_ns for path in cache_folder(config).rglob("text.arrow")}
    assert len(kept) == 2
    broken.write_bytes(whole)
    corpus = load_corpus(config)
    assert len(corpus.shards) == 3
    subwords = Subwords.train(corpus.splits["train"], SubwordsConfig(vocab_size=290))
    expected = batches_of(encode_split(corpus, "train", subwords, cache_folder(config)))
    kept |= {path: path.stat().st_mtime_ns for path in cache_folder(config).rglob("ids.arrow")}
    lost = next(path for path in kept if path.name == "ids.arrow")
    lost.unlink()
    lost.parent.rmdir()
    assert batches_of(encode_split(corpus, "train", subwords, cache_folder(config))) == expected
    assert {path for path in kept if path.stat().st_mtime_ns != kept[path]} == {lost}


def test_a_new_shard_leaves_the_others_as_they_are(text: Path) -> None:
    config = configure(text, write_shards(text / "train"))
    before = load_corpus(config)
    (text / "train" / "part-00200.jsonl").write_bytes(content(ROWS[:2], "jsonl"))
    after = load_corpus(config)
    assert list(after.shards[:3]) == list(before.shards)
    assert len(after.splits["train"]) == len(before.splits["train"]) + 2
    assert after.digest != before.digest


@pytest.mark.slow
def test_a_killed_training_continues_with_the_shards_that_are_left(text: Path) -> None:
    rows = [{"source": f"maison {number}", "target": f"{number} houses"} for number in range(40_000)]
    write_shards(text / "train", rows, size=4000)
    found = []
    for name in ("killed", "whole"):
        data = configure(text, text / "train", folder=str(text / name), processes=2).model_dump()
        settings = {"data": data, "model": FAMILIES["fixed"] | {"d_model": 8}, "train": {"max_steps": 2}}
        file = text / f"{name}.yaml"
        file.write_text(dump_config(parse_config(settings, "test")), encoding="utf-8")
        command = ("train", file, "--run-dir", text / "runs" / name, "--set", "subwords.vocab_size=300")
        cache = text / name / "cache"
        if name == "killed":
            for pattern in ("shard-*/card.json", "ids-*/ids.arrow"):
                with running(*command) as process:
                    while not list(cache.glob(pattern)):
                        assert process.poll() is None
                        time.sleep(0.01)
                    process.kill()
        done = spawn(*command)
        assert done.code == 0, done.stderr
        files = [path for path in cache.glob("*/*") if path.is_file()]
        found.append({str(path.relative_to(cache)): path.read_bytes() for path in files})
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [50, 120])
def test_duplicates_are_dropped_across_shards(text: Path, size: int) -> None:
    spec = write_shards(text / "train", size=size)
    with patch.object(duplicates, "_PAIRS_AT_ONCE", 10), patch.object(duplicates, "_READ_PAIRS", 7):
        corpus = load_corpus(configure(text, spec, drop_duplicates=True))
    every = pairs_of(load_corpus(configure(text, spec)))
    assert pairs_of(corpus) == list(dict.fromkeys(every))
    assert corpus.counts["train"]["dropped"]["duplicate"] == len(every) - len(set(every)) > 0
    single = text / "single.tsv"
    single.write_bytes(content([{"source": source, "target": target} for source, target in every], "tsv"))
    assert pairs_of(load_corpus(configure(text, single, drop_duplicates=True))) == list(dict.fromkeys(every))


def test_documents_need_the_whole_text(text: Path) -> None:
    rows = [row | {"document": str(number // 60)} for number, row in enumerate(ROWS)]
    shards = write_shards(text / "train", rows)
    single = write_shards(text / "single", rows, size=len(rows)) / "part-00000.jsonl"
    one, several = (load_corpus(configure(text, spec, join=2)) for spec in (single, shards))
    assert one.counts["train"]["joined"] == several.counts["train"]["joined"] > 0
    assert not several.shards
    with pytest.raises(ValueError, match="drop_duplicates cannot be combined with join"):
        configure(text, shards, join=2, drop_duplicates=True)


def test_the_sample_for_subwords_is_random_with_a_fixed_seed(text: Path) -> None:
    corpus = load_corpus(configure(text, write_shards(text / "train")))
    config = SubwordsConfig(vocab_size=290)
    with patch("seq2attn.data.subwords._TRAINING_PAIRS", 40):
        first, again = (Subwords.train(corpus.splits["train"], config, random_sample=True) for _ in range(2))
        regular = Subwords.train(corpus.splits["train"], config)
    assert first.digest == again.digest != regular.digest


def damage_column(folder: Path) -> None:
    pq.write_table(pa.table({"source": ["a"], "text": ["b"]}), folder / "part-00050.parquet")


def damage_parquet(folder: Path) -> None:
    file = folder / "part-00050.parquet"
    file.write_bytes(file.read_bytes()[:-20])


def damage_jsonl(folder: Path) -> None:
    file = folder / "part-00050.jsonl"
    file.write_bytes(file.read_bytes().replace(b'{"source": "maison 3"', b"maison 3", 1))


def mix(folder: Path) -> None:
    (folder / "more.tsv").write_text("a\tb\n")


def truncate(folder: Path) -> None:
    file = folder / "part-00050.jsonl.zst"
    file.write_bytes(file.read_bytes()[:-10])


def empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.rename(file.with_suffix(".txt"))


@pytest.mark.parametrize(
    ("form", "damage", "message"),
    [
        ("parquet", damage_column, r"part-00050\.parquet:1: found source; expected source and target"),
        ("parquet", damage_parquet, r"part-00050\.parquet: truncated or damaged Parquet file"),
        ("jsonl", damage_jsonl, r"part-00050\.jsonl:4: not valid JSON"),
        ("jsonl.zst", truncate, r"part-00050\.jsonl\.zst:\d+: truncated or damaged zstd data"),
        ("jsonl", mix, r"train: mixes formats \(more\.tsv, part-00000\.jsonl\)"),
        ("jsonl", empty, r"train: has no shard; expected \.parquet, \.jsonl or \.tsv"),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_bad_shards(text: Path, form: str, damage: Callable[[Path], None], message: str, remote: bool) -> None:
    folder = write_shards(text / "train", form=form)
    damage(folder)
    spec = str(folder)
    if remote:
        spec = f"memory://{text.name}/train"
        fsspec.filesystem("memory").put(str(folder), f"/{text.name}/train", recursive=True)
    with pytest.raises(DataError, match=message) as caught:
        load_corpus(configure(text, spec))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket/train/", "s3:// needs a package that is not installed (Install s3fs to access S3)"),
        ("nowhere://bucket/", "Protocol not known: nowhere; expected an address that fsspec knows"),
        ("memory://missing/", "no such file or folder"),
        ("file:///missing/train.jsonl", "/missing/train.jsonl: no such file"),
    ],
)
def test_bad_addresses(text: Path, address: str, message: str) -> None:
    config = parse_config(
        {"data": configure(text, address).model_dump(), "model": FAMILIES["fixed"], "train": {"max_steps": 1}}, "test"
    )
    file = text / "config.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    with patch.dict("sys.modules", {"s3fs": None}):
        done = call("train", file, "--run-dir", text / "run")
    assert done.code == 2
    assert message in done.complaint


def test_a_remote_system_that_fails_is_one_line(text: Path) -> None:
    with (
        patch("fsspec.implementations.memory.MemoryFileSystem.isfile", side_effect=RuntimeError("no\nanswer")),
        pytest.raises(FetchError, match=r"memory://x/: cannot be read \(no answer\)"),
    ):
        load_corpus(configure(text, "memory://x/"))


def test_jobs_are_done_by_several_processes() -> None:
    assert sorted(run_jobs(square, iter([0, 1, 2, 4]), 2)) == [0, 1, 4, 16]


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (FAILS, ConfigError, "three"),
        (IS_KILLED, WorkerError, r"process \d of 2 was killed by SIGKILL, most likely for"),
    ],
)
def test_a_job_that_fails_or_a_killed_process_ends_all(job: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(run_jobs(square, [1, job, 2, 2, 2], 2))

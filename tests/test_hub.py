"""The loaders of the hub's corpora, run on local copies of the same layout."""

from itertools import chain
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seq2attn.corpora import catalog
from seq2attn.corpora.hub import HUB_CORPORA
from seq2attn.data import store
from seq2attn.errors import FetchError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write_copy(
    folder: Path, configuration: str, rows: dict[str, int], languages: tuple[str, str], column: str = "translation"
) -> Path:
    """A copy of a hub repository: a card that names the configuration, and one Parquet file per split."""
    lines = ["---", "configs:", f"- config_name: {configuration}", "  data_files:"]
    (folder / configuration).mkdir(parents=True)
    for split, number in rows.items():
        texts = [{code: f"{code} {split} {row}" for code in languages} for row in range(number)]
        table = pa.table({"id": [str(row) for row in range(number)], column: texts})
        pq.write_table(table, folder / configuration / f"{split}-00000-of-00001.parquet")
        lines += [f"  - split: {split}", f"    path: {configuration}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")
    return folder


def pairs_of(data: Path, name: str, split: str) -> list[tuple[str | None, str | None]]:
    return [(row["source"], row["target"]) for row in store.read_rows(store.split_files(data, name)[split], 10_000)]


@pytest.mark.parametrize(
    ("name", "configuration"),
    [
        ("wmt16-de-en", "de-en"),
        ("wmt16-en-de", "de-en"),
        ("wmt14-en-fr", "fr-en"),
        ("opus-100-de-en", "de-en"),
    ],
)
def test_sets_with_three_splits_keep_them(name: str, configuration: str, tmp_path: Path) -> None:
    source, target = name.split("-")[-2:]
    sizes = {"train": 30, "validation": 4, "test": 5}
    copy = write_copy(tmp_path / "copy", configuration, sizes, (source, target))
    catalog.fetch(name, tmp_path, local=copy)
    assert store.read_card(tmp_path, name)["pairs"] == sizes
    assert pairs_of(tmp_path, name, "validation")[1] == (f"{source} validation 1", f"{target} validation 1")


@pytest.mark.parametrize("name", ["iwslt2017-en-de", "iwslt2017-de-en"])
def test_a_converted_set_is_read_by_folder_without_a_card(name: str, tmp_path: Path) -> None:
    sizes = {"train": 3, "validation": 1, "test": 2}
    for configuration in ("iwslt2017-en-de", "iwslt2017-de-en", "iwslt2017-ja-en"):
        for split, number in sizes.items():
            folder = tmp_path / "copy" / configuration / split
            folder.mkdir(parents=True)
            source, target = configuration.split("-")[-2:]
            texts = [{source: f"{source} {configuration} {row}", target: target} for row in range(number)]
            pq.write_table(pa.table({"translation": texts}), folder / "0000.parquet")
    catalog.fetch(name, tmp_path, local=tmp_path / "copy")
    source, target = name.split("-")[-2:]
    assert store.read_card(tmp_path, name)["pairs"] == sizes
    assert pairs_of(tmp_path, name, "test") == [(f"{source} {name} {row}", target) for row in range(2)]


@pytest.mark.parametrize(
    ("name", "configuration"),
    [("news_commentary-de-en", "de-en"), ("europarl-fr-en", "en-fr"), ("opus_books-en-fr", "en-fr")],
)
def test_sets_with_training_only_are_split_without_loss(name: str, configuration: str, tmp_path: Path) -> None:
    source, target = name.split("-")[-2:]
    copy = write_copy(tmp_path / "copy", configuration, {"train": 1000}, (source, target))
    catalog.fetch(name, tmp_path, local=copy)
    splits = {split: pairs_of(tmp_path, name, split) for split in store.SPLITS}
    assert sorted(chain.from_iterable(splits.values())) == sorted(
        (f"{source} train {row}", f"{target} train {row}") for row in range(1000)
    )
    assert all(20 <= len(splits[split]) <= 90 for split in ("validation", "test"))


def test_a_split_is_reproducible_and_keeps_repeats_together(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    write_copy(folder, "de-en", {"train": 600}, ("de", "en"))
    file = folder / "de-en" / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)
    digests = set()
    for number in range(2):
        catalog.fetch("news_commentary-de-en", tmp_path / str(number), local=folder)
        digests.add(store.read_card(tmp_path / str(number), "news_commentary-de-en")["digest"])
    assert len(digests) == 1
    train = {source for source, _ in pairs_of(tmp_path / "0", "news_commentary-de-en", "train")}
    held_out = {source for source, _ in pairs_of(tmp_path / "0", "news_commentary-de-en", "test")}
    assert not train & held_out


def test_null_texts_become_empty(tmp_path: Path) -> None:
    folder = write_copy(tmp_path / "copy", "de-en", {"train": 2, "validation": 2, "test": 2}, ("de", "en"))
    table = pa.table({"translation": [{"de": None, "en": "one"}, {"de": "zwei", "en": "two"}]})
    pq.write_table(table, folder / "de-en" / "test-00000-of-00001.parquet")
    for split in ("train", "validation"):
        file = folder / "de-en" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pq.read_table(file).drop_columns("id"), file)
    catalog.fetch("wmt16-de-en", tmp_path, local=folder)
    assert pairs_of(tmp_path, "wmt16-de-en", "test") == [("", "one"), ("zwei", "two")]


def test_another_layout_is_a_one_line_error(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", "de-en", {"train": 5}, ("de", "en"), column="texts")
    with pytest.raises(FetchError, match="has the columns id, texts; expected translation"):
        catalog.fetch("wmt16-de-en", tmp_path, local=copy)


def test_other_languages_are_a_one_line_error(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", "de-en", {"train": 5}, ("fr", "en"))
    with pytest.raises(FetchError, match="expected de and en"):
        catalog.fetch("wmt16-de-en", tmp_path, local=copy)


def test_a_set_without_training_is_a_one_line_error(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", "de-en", {"test": 5}, ("de", "en"))
    with pytest.raises(FetchError, match="has the splits test; expected train"):
        catalog.fetch("wmt16-de-en", tmp_path, local=copy)


def test_a_copy_without_the_pair_is_a_one_line_error(tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", "cs-en", {"train": 5}, ("cs", "en"))
    with pytest.raises(FetchError, match="or train on files of your own") as caught:
        catalog.fetch("wmt16-de-en", tmp_path, local=copy)
    assert "\n" not in str(caught.value)


def test_a_silent_hub_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="cannot be fetched from the hub") as caught:
        catalog.fetch("wmt16-de-en", tmp_path)
    assert "refused" in str(caught.value)
    assert "--from" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_pair_of_languages_is_listed_once() -> None:
    for corpus in HUB_CORPORA.values():
        assert len({frozenset(pair.split("-")) for pair in corpus.pairs}) == len(corpus.pairs)
        assert all(len(pair.split("-")) == 2 for pair in corpus.pairs)

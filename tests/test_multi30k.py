import gzip
from pathlib import Path

import pytest

from seq2attn.corpora import catalog, multi30k
from seq2attn.data import store
from seq2attn.errors import DataError, FetchError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "multi30k"
STEMS = ("train", "val", "test_2016_flickr")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for stem in STEMS:
        (tmp_path / f"{stem}.de.gz").write_bytes(gzip.compress("Ein\tHund.\nZwei\u2028Hunde.\n".encode()))
        (tmp_path / f"{stem}.en").write_text(f"A dog in {stem}.\nTwo dogs.\n", encoding="utf-8")
    return tmp_path


def first_rows(data: Path, name: str, split: str) -> list[tuple[str | None, str | None]]:
    return [(row["source"], row["target"]) for row in store.read_rows(store.split_files(data, name)[split], 5)]


def test_a_folder_becomes_a_corpus_in_either_direction(folder: Path) -> None:
    for name in ("multi30k-de-en", "multi30k-en-de"):
        catalog.fetch(name, folder / "data", local=folder)
    rows = first_rows(folder / "data", "multi30k-de-en", "validation")
    assert rows == [("Ein\tHund.", "A dog in val."), ("Zwei\u2028Hunde.", "Two dogs.")]
    assert first_rows(folder / "data", "multi30k-en-de", "validation") == [row[::-1] for row in rows]


def test_the_environment_variable_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(folder))
    files = catalog.read_splits("multi30k-de-en", folder / "data")
    assert len(store.read_rows(files["test"], 5)) == 2


def test_french_without_a_folder_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(multi30k.FOLDER_VARIABLE, raising=False)
    with pytest.raises(FetchError, match="--from or SEQ2ATTN_MULTI30K"):
        catalog.fetch("multi30k-en-fr", tmp_path)


def test_a_missing_folder_and_a_missing_file_are_named(folder: Path) -> None:
    with pytest.raises(FetchError, match="nowhere: no such folder"):
        catalog.fetch("multi30k-de-en", folder / "data", local=folder / "nowhere")
    (folder / "val.en").unlink()
    with pytest.raises(DataError, match=r"val\.en"):
        catalog.fetch("multi30k-de-en", folder / "data", local=folder)
    assert not store.is_kept(folder / "data", "multi30k-de-en")


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no Multi30k files in {SHARED}")
@pytest.mark.parametrize("name", ["multi30k-de-en", "multi30k-en-fr"])
def test_the_real_files_have_their_published_sizes(name: str, tmp_path: Path) -> None:
    catalog.fetch(name, tmp_path, local=SHARED)
    assert store.read_card(tmp_path, name)["pairs"] == {"train": 29_000, "validation": 1_014, "test": 1_000}

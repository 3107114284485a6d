import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seq2attn.data import store
from seq2attn.data.store import CatalogEntry, RawCorpus, Row
from seq2attn.errors import DataError, DiskError, FetchError

ENTRY = CatalogEntry("toy-de-en", "Toy", "de", "en", "nowhere", "none", "none", "small", tried=True)


def toy_corpus(target: str = "one") -> RawCorpus:
    splits: dict[str, list[Row]] = {
        "train": [("eins", target, "1.1"), ("zwei\tzwei", "two\u2028two", None)],
        "validation": [("drei", "three", None)],
        "test": [("vier", "four", None)],
    }
    return RawCorpus(splits, {"counts": {"read": 4}})


def test_rows_are_read_back_in_order_with_their_documents(tmp_path: Path) -> None:
    place = store.keep(ENTRY, toy_corpus(), tmp_path)
    rows = store.read_rows(place / "train.parquet", 10)
    assert rows == [
        {"source": "eins", "target": "one", "document": "1.1"},
        {"source": "zwei\tzwei", "target": "two\u2028two", "document": None},
    ]
    assert store.read_rows(place / "train.parquet", 1) == rows[:1]


def test_the_card_has_origin_counts_and_sizes(tmp_path: Path) -> None:
    store.keep(ENTRY, toy_corpus(), tmp_path)
    card = store.read_card(tmp_path, "toy-de-en")
    assert card["origin"] == "nowhere"
    assert card["counts"] == {"read": 4}
    assert card["pairs"] == {"train": 2, "validation": 1, "test": 1}


def test_the_digest_depends_on_the_text_only(tmp_path: Path) -> None:
    digests = []
    for number, target in enumerate(("one", "one", "ONE")):
        store.keep(ENTRY, toy_corpus(target), tmp_path / str(number))
        digests.append(store.read_card(tmp_path / str(number), "toy-de-en")["digest"])
    assert digests[0] == digests[1] != digests[2]


def test_many_rows_are_written_in_chunks(tmp_path: Path) -> None:
    rows: list[Row] = [(f"s{number}", f"t{number}", None) for number in range(25_001)]
    place = store.keep(ENTRY, RawCorpus({"train": iter(rows), "validation": rows[:1], "test": rows[:1]}, {}), tmp_path)
    table = pq.read_table(place / "train.parquet")
    assert table.column("source").to_pylist() == [source for source, _, _ in rows]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[Row]:
        yield "eins", "one", None
        raise KeyboardInterrupt

    corpus = RawCorpus({"train": [("a", "b", None)], "validation": breaking(), "test": []}, {})
    with pytest.raises(KeyboardInterrupt):
        store.keep(ENTRY, corpus, tmp_path)
    assert not store.is_kept(tmp_path, ENTRY.name)
    assert list((tmp_path / "corpora").iterdir()) == []


def test_an_incomplete_corpus_is_replaced(tmp_path: Path) -> None:
    place = store.corpus_folder(tmp_path, ENTRY.name)
    place.mkdir(parents=True)
    (place / "train.parquet").write_text("half a file")
    store.keep(ENTRY, toy_corpus(), tmp_path)
    assert len(store.read_rows(place / "train.parquet", 10)) == 2


def test_an_existing_corpus_is_not_touched(tmp_path: Path) -> None:
    store.keep(ENTRY, toy_corpus("one"), tmp_path)
    store.keep(ENTRY, toy_corpus("other"), tmp_path)
    assert store.read_rows(store.split_files(tmp_path, ENTRY.name)["train"], 1)[0]["target"] == "one"


def test_an_empty_split_is_an_error(tmp_path: Path) -> None:
    corpus = RawCorpus({"train": [("a", "b", None)], "validation": [], "test": [("a", "b", None)]}, {})
    with pytest.raises(FetchError, match="validation: the source has no pairs"):
        store.keep(ENTRY, corpus, tmp_path)


def test_an_unwritable_folder_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "corpora").write_text("a file where the folder should be")
    with pytest.raises(DiskError, match=r"cannot be written \(.*\); free space, .* another data folder"):
        store.keep(ENTRY, toy_corpus(), tmp_path)


def test_a_file_in_place_of_the_corpus_is_a_one_line_error(tmp_path: Path) -> None:
    place = store.corpus_folder(tmp_path, ENTRY.name)
    place.parent.mkdir()
    place.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot be removed \(Not a directory\)"):
        store.keep(ENTRY, toy_corpus(), tmp_path)


@pytest.mark.parametrize("content", ["{", "\udcff"])
def test_a_damaged_card_says_what_to_delete(tmp_path: Path, content: str) -> None:
    place = store.keep(ENTRY, toy_corpus(), tmp_path)
    (place / "card.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match="delete"):
        store.read_card(tmp_path, ENTRY.name)


def test_a_damaged_split_says_what_to_delete(tmp_path: Path) -> None:
    place = store.keep(ENTRY, toy_corpus(), tmp_path)
    (place / "train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="delete"):
        store.read_rows(place / "train.parquet", 1)


def test_the_card_is_plain_json_with_readable_text(tmp_path: Path) -> None:
    entry = CatalogEntry("toy-de-en", "Größe", "de", "en", "", "", "", "", tried=True)
    place = store.keep(entry, toy_corpus(), tmp_path)
    text = (place / "card.json").read_text(encoding="utf-8")
    assert "Größe" in text
    assert json.loads(text)["title"] == "Größe"

from pathlib import Path

import pytest

from seq2attn.corpora import catalog
from seq2attn.data import store
from seq2attn.errors import DataError, FetchError


def test_names_are_unique_and_each_is_found() -> None:
    names = catalog.names()
    assert len(set(names)) == sum(len(family.entries) for family in catalog.FAMILIES)
    assert all(catalog.find(name).name == name for name in names)


@pytest.mark.parametrize(
    "name",
    [
        "bible-fr-en",
        "bible-es-kjv",
        "multi30k-de-en",
        "multi30k-en-fr",
        "news_commentary-en-cs",
        "europarl-de-en",
        "opus_books-fr-en",
        "opus-100-en-zu",
        "wmt14-en-fr",
        "wmt16-ro-en",
        "iwslt2017-en-de",
    ],
)
def test_promised_corpora_exist_with_their_languages(name: str) -> None:
    entry = catalog.find(name)
    languages = name.replace("kjv", "en").split("-")[-2:]
    assert [entry.source_language, entry.target_language] == languages
    assert all([entry.title, entry.origin, entry.licence, entry.citation, entry.size])


def test_corpora_never_fetched_live_say_so() -> None:
    assert not catalog.find("wmt16-de-en").tried
    assert not catalog.find("multi30k-de-en").tried
    assert catalog.find("bible-fr-en").tried


def test_every_name_is_safe_as_a_folder() -> None:
    assert all(Path(name).name == name and not name.startswith(".") for name in catalog.names())


@pytest.mark.parametrize("name", ["../synthetic", "bible-fr-en/..", "/etc", "..", "", "bible-fr-fr", "Synthetic\n"])
def test_other_names_are_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such corpus"):
        catalog.fetch(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelled_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match=r"did you mean bible-fr-en\?"):
        catalog.find("bibel-fr-en")


def test_read_splits_fetches_once(tmp_path: Path) -> None:
    files = catalog.read_splits("synthetic", tmp_path)
    assert list(files) == ["train", "validation", "test"]
    before = {split: file.stat().st_mtime_ns for split, file in files.items()}
    assert catalog.read_splits("synthetic", tmp_path) == files
    assert {split: file.stat().st_mtime_ns for split, file in files.items()} == before
    assert store.read_card(tmp_path, "synthetic")["pairs"]["train"] == 4000


def test_fetch_reports_its_steps(tmp_path: Path) -> None:
    lines: list[str] = []
    place = catalog.fetch("synthetic", tmp_path, report=lines.append)
    assert place == tmp_path / "corpora" / "synthetic"
    assert lines
    assert all("\n" not in line for line in lines)


def test_steps_go_to_stderr_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog.read_splits("synthetic", tmp_path)
    first = capsys.readouterr()
    assert first.out == ""
    assert f"Writing {tmp_path}/corpora/synthetic …" in first.err.splitlines()
    catalog.read_splits("synthetic", tmp_path)
    assert capsys.readouterr().err == ""


def test_an_unread_local_copy_is_reported(tmp_path: Path) -> None:
    catalog.fetch("synthetic", tmp_path)
    lines: list[str] = []
    catalog.fetch("synthetic", tmp_path, local=tmp_path / "copy", report=lines.append)
    (line,) = lines
    assert f"{tmp_path / 'copy'} was not read; delete the folder" in line


def test_a_corpus_with_a_missing_file_is_fetched_again(tmp_path: Path) -> None:
    files = catalog.read_splits("synthetic", tmp_path)
    files["train"].unlink()
    assert not store.is_kept(tmp_path, "synthetic")
    assert all(file.is_file() for file in catalog.read_splits("synthetic", tmp_path).values())


def test_a_failed_fetch_leaves_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        catalog.fetch("multi30k-fr-en", tmp_path, local=tmp_path / "missing")
    assert not store.is_kept(tmp_path, "multi30k-fr-en")

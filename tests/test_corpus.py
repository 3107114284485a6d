from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2attn.config.schema import DataConfig
from seq2attn.corpora import catalog
from seq2attn.corpora.load import cache_folder, load_corpus
from seq2attn.data import store
from seq2attn.data.cache import build_once
from seq2attn.data.store import Corpus, data_folder
from seq2attn.errors import ConfigError, DataError, DiskError

TRAIN = (
    "un chat\ta cat\nun chat\ta cat\n\tempty\nvu\tseen\nun\u2028chien; un\u00a0loup\ta dog; a wolf\n"
    + "x " * 30
    + "\tlong\n"
)
Write = Callable[..., DataConfig]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write three TSV files; a configuration that names them."""
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)

    def _write(
        train: str = TRAIN, validation: str = "vu\tsight\n", test: str = "t\tu\n\tv\n", **keys: object
    ) -> DataConfig:
        for split, text in (("train", train), ("validation", validation), ("test", test)):
            keys[split] = str(tmp_path / f"{split}.tsv")
            (tmp_path / f"{split}.tsv").write_text(text, encoding="utf-8", newline="\n")
        languages = {"source_language": "fr", "target_language": "en"}
        return DataConfig.model_validate({"folder": str(tmp_path / "data")} | languages | keys)

    return _write


def pairs(corpus: Corpus, split: str) -> list[tuple[str, str]]:
    return [(row["source"], row["target"]) for row in corpus.splits[split]]


def test_pairs_are_cleaned_and_counted(write: Write) -> None:
    corpus = load_corpus(write())
    assert (corpus.name, corpus.source_language, corpus.target_language) == ("own", "fr", "en")
    assert pairs(corpus, "train") == [
        ("un chat", "a cat"),
        ("un chat", "a cat"),
        ("un chien; un loup", "a dog; a wolf"),
    ]
    assert pairs(corpus, "validation") == [("vu", "sight")]
    assert pairs(corpus, "test") == [("t", "u")]
    dropped = {"empty": 1, "in_validation_or_test": 1, "length_ratio": 1}
    assert corpus.counts["train"] == {"read": 6, "kept": 3, "clauses": 0, "joined": 0, "dropped": dropped}
    assert corpus.counts["test"] == {"read": 2, "kept": 1, "clauses": 0, "joined": 0, "dropped": {"empty": 1}}
    assert json.loads(json.dumps(corpus.counts)) == corpus.counts


def test_clauses_are_added_on_request(write: Write) -> None:
    corpus = load_corpus(write(split_clauses=True))
    assert pairs(corpus, "train")[2:] == [
        ("un chien; un loup", "a dog; a wolf"),
        ("un chien;", "a dog;"),
        ("un loup", "a wolf"),
    ]
    assert corpus.counts["train"]["clauses"] == 2


def test_the_second_load_reads_the_cache(write: Write) -> None:
    config = write()
    first = load_corpus(config)
    (folder,) = cache_folder(config).iterdir()
    before = (folder / "train.arrow").stat().st_mtime_ns
    second = load_corpus(config)
    assert (folder / "train.arrow").stat().st_mtime_ns == before
    assert [path.name for path in cache_folder(config).iterdir()] == [folder.name]
    assert (first.digest, first.counts) == (second.digest, second.counts)
    assert pairs(first, "train") == pairs(second, "train")
    assert second.splits["train"].cache_files == [{"filename": str(folder / "train.arrow")}]


def test_the_digest_depends_on_text_and_settings_only(write: Write, tmp_path: Path) -> None:
    digest = load_corpus(write()).digest
    for path in tmp_path.glob("*.tsv"):
        os.utime(path, ns=(1, 1))
    assert load_corpus(write(folder=str(tmp_path / "elsewhere"))).digest == digest
    others = [write(max_length_ratio=5.0), write(max_source_words=100), write(source_language="de")]
    digests = [load_corpus(config).digest for config in others]
    digests += [load_corpus(write(train="un chat\tone cat\n")).digest, load_corpus(write(test="t\tw\n")).digest]
    assert len({digest, *digests}) == 6


def test_changed_text_is_read_again(write: Write) -> None:
    load_corpus(write())
    assert pairs(load_corpus(write(train="nouveau\tnew\n")), "train") == [("nouveau", "new")]


def test_nothing_is_printed(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    load_corpus(write())
    assert capfd.readouterr() == ("", "")


def test_the_environment_names_the_data_folder(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write()
    assert data_folder(config.folder) == tmp_path / "data"
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "shared"))
    load_corpus(config)
    assert (tmp_path / "shared" / "cache").is_dir()
    assert not (tmp_path / "data").exists()


def test_by_default_data_is_in_the_current_folder_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    assert data_folder(DataConfig().folder) == tmp_path / "share" / "seq2attn"
    Path("data").mkdir()
    assert data_folder(DataConfig().folder) == Path("data")
    assert data_folder("named") == Path("named")
    monkeypatch.setenv("SEQ2ATTN_DATA", "set")
    assert data_folder(None) == data_folder("named") == Path("set")


@pytest.fixture
def catalogue_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder in which `bible-fr-en` was fetched, with a text of three pairs."""
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)
    rows = {split: [(f"le {split}", f"the {split}", "1.1")] for split in store.SPLITS}
    store.keep(catalog.find("bible-fr-en"), store.RawCorpus(rows, facts={}), tmp_path)
    return {"corpus": "bible-fr-en", "folder": str(tmp_path)}


@pytest.mark.parametrize(
    ("languages", "direction", "expected"),
    [
        ({}, ("fr", "en"), ("le train", "the train")),
        ({"source_language": "fr"}, ("fr", "en"), ("le train", "the train")),
        ({"source_language": "en", "target_language": "fr"}, ("en", "fr"), ("the train", "le train")),
        ({"target_language": "fr"}, ("en", "fr"), ("the train", "le train")),
    ],
)
def test_a_catalogue_corpus_runs_in_either_direction(
    catalogue_keys: dict[str, str], languages: dict[str, str], direction: tuple[str, str], expected: tuple[str, str]
) -> None:
    corpus = load_corpus(DataConfig.model_validate(catalogue_keys | languages))
    assert (corpus.name, corpus.source_language, corpus.target_language) == ("bible-fr-en", *direction)
    assert pairs(corpus, "train") == [expected]


def test_languages_that_the_corpus_lacks(catalogue_keys: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="bible-fr-en has fr and en, not de and any"):
        load_corpus(DataConfig.model_validate(catalogue_keys | {"source_language": "de"}))
    with pytest.raises(DataError, match="no such corpus"):
        load_corpus(DataConfig(corpus="bible-fr-xx"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"data\.train, data\.validation, data\.test: missing"),
        ({"train": "a.tsv", "test": "a.tsv"}, r"data\.validation: missing"),
        ({"corpus": "x", "test": "a.tsv"}, r"data\.test: data\.corpus has its own splits"),
        ({"train": "a", "test": "a", "validation": "a", "source_language": "de"}, r"your own files need both"),
    ],
)
def test_an_incomplete_configuration(keys: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_corpus(DataConfig.model_validate(keys))


def test_an_empty_split_says_why_and_leaves_no_cache(write: Write) -> None:
    config = write(train="vu\tseen\n\tempty\n")
    with pytest.raises(
        DataError, match=r"train\.tsv: no train pairs are left of 2 read; 1 dropped as in_validation"
    ) as caught:
        load_corpus(config)
    assert "1 dropped as empty" in str(caught.value)
    assert list(cache_folder(config).iterdir()) == []
    with pytest.raises(DataError, match=r"test\.tsv: no test pairs are left of 0 read; it is empty"):
        load_corpus(write(test=""))


def test_a_damaged_cache_says_what_to_delete(write: Write) -> None:
    config = write()
    load_corpus(config)
    (folder,) = cache_folder(config).iterdir()
    (folder / "test.arrow").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match=f"{folder.name}: damaged cache; delete the folder"):
        load_corpus(config)


def test_an_unwritable_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DiskError, match=r"cannot be written \(Not a directory\)"):
        load_corpus(write())


def test_the_first_of_two_builders_wins_without_leftovers(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "x"

    def slow(draft: Path) -> None:
        (draft / "name").write_text("slow")
        build_once(folder, lambda other: (other / "name").write_text("fast"))

    build_once(folder, slow)
    assert (folder / "name").read_text() == "fast"
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        (draft / "name").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "cache" / "x", fail)
    assert list((tmp_path / "cache").iterdir()) == []

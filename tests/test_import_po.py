"""`seq2attn data import --po`: from gettext catalogues to a corpus that training reads."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import load_config
from seq2attn.corpora.gettext_catalogs import read_catalogs, without_accelerators, without_markup
from seq2attn.corpora.load import load_corpus
from seq2attn.data.cleaning import normalise
from tests.command_line import call

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NOMBRES = ("un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix")


def catalog(language: str = "fr", **metadata: str) -> polib.POFile:
    made = polib.POFile()
    made.metadata = {"Language": language, "Content-Type": "text/plain; charset=UTF-8"} | metadata
    return made


def numbered(first: int, count: int, reference: str = "") -> list[polib.POEntry]:
    """Entries that all differ, on both sides."""
    entries = []
    for number in range(first, first + count):
        digits = [int(digit) for digit in f"{number:03}"]
        msgid, msgstr = (" ".join(words[digit] for digit in digits) for words in (NUMBERS, NOMBRES))
        occurrences = [(reference, str(number))] if reference else []
        entries.append(polib.POEntry(msgid=f"Open {msgid}", msgstr=f"Ouvrir {msgstr}", occurrences=occurrences))
    return entries


def write(path: Path, *entries: polib.POEntry, of: polib.POFile | None = None) -> Path:
    made = catalog() if of is None else of
    made.extend(entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as_mofile(str(path)) if path.suffix == ".mo" else made.save(str(path))
    return path


def write_folder(folder: Path, files: int = 12, each: int = 10) -> Path:
    for number in range(files):
        write(folder / f"part{number}.po", *numbered(number * each, each))
    return folder


def entry(msgid: str = "The file", msgstr: str = "Le fichier", **more: Any) -> polib.POEntry:
    return polib.POEntry(msgid=msgid, msgstr=msgstr, **more)


def read(*paths: Path, language: str = "fr") -> tuple[list[tuple[str, str]], Counter[str]]:
    counts: Counter[str] = Counter()
    return [(one.source, one.target) for one in read_catalogs(paths, language, counts)], counts


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_from_a_folder_to_a_corpus_that_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "data"))
    out = tmp_path / "mine: a text"
    done = call("data", "import", "--po", write_folder(tmp_path / "po"), "--languages", "en-fr", "--out", out)
    assert done.code == 0, done.stderr
    rest = "model: {kind: rnn}\ntrain: {max_steps: 1}\n"
    config = tmp_path / "mine.yaml"
    config.write_text(done.stdout + rest, encoding="utf-8")
    corpus = load_corpus(load_config(config).data)
    assert (corpus.source_language, corpus.target_language) == ("en", "fr")
    sizes = {split: len(table) for split, table in corpus.splits.items()}
    assert sizes == {"test": 20, "validation": 10, "train": 90}
    assert set(corpus.splits["train"]["document"]) < {f"part{number}.po" for number in range(12)}


def test_the_card_accounts_for_every_message(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po")
    write(
        folder / "more.po",
        entry("Fuzzy", "Flou", flags=["fuzzy"]),
        entry("Old", "Vieux", obsolete=True),
        entry("Not yet", ""),
        entry("%s: %d", "%s : %d"),
        entry("Bluetooth", "Bluetooth"),
        entry("translator-credits", "Une personne"),
        *numbered(0, 2),
    )
    write(folder / "de.po", entry("Other", "Anderes"), of=catalog("de"))
    words = ("--languages", "en-fr", "--out", tmp_path / "out", "--licence", "GPL-3.0", "--json")
    card = json.loads(call("data", "import", "--po", folder, *words).stdout)
    assert card == json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    assert card["licence"] == "GPL-3.0"
    counts = card["counts"]
    assert counts["catalogues"] == 13
    assert counts["catalogues in other languages"] == 1
    assert counts["messages"] == 128
    reasons = ("fuzzy", "obsolete", "empty", "no letters", "the same on both sides", "translators' credits")
    assert all(counts[f"dropped: {reason}"] == 1 for reason in reasons)
    assert counts["dropped: repeated"] == 2
    dropped = sum(number for name, number in counts.items() if name.startswith("dropped: "))
    assert sum(card["pairs"].values()) + dropped == counts["messages"]
    assert sum(card["documents"].values()) == 13


def test_the_same_files_give_the_same_corpus_and_documents_stay_whole(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po", files=15)
    digests = set()
    shutil.copytree(folder, tmp_path / "copy")
    for name, source in (("first", folder), ("second", tmp_path / "copy")):
        done = call("data", "import", "--po", source, "--languages", "en-fr", "--out", tmp_path / name, "--json")
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1
    documents = [{row["document"] for row in rows(tmp_path / "first", split)} for split in ("train", "test")]
    assert not documents[0] & documents[1]


def test_what_validation_or_test_has_is_not_in_training(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po")
    for number, file in enumerate(sorted(folder.iterdir())):
        made = polib.pofile(str(file))
        made.append(entry("Cancel", f"Annuler {NOMBRES[number % 10]}"))
        made.append(entry(f"Stop {NUMBERS[number % 10]}", "Annuler"))
        made.save(str(file))
    call("data", "import", "--po", folder, "--languages", "en-fr", "--out", tmp_path / "out")
    seen: dict[str, set[str]] = {"source": set(), "target": set()}
    for split in ("test", "validation", "train"):
        for side, known in seen.items():
            found = {row[side] for row in rows(tmp_path / "out", split)}
            assert not found & known
            known |= found
    assert "Cancel" in seen["source"]


def test_one_catalogue_is_split_by_source_file_or_by_blocks(tmp_path: Path) -> None:
    refs = [one for number in range(12) for one in numbered(number * 10, 10, f"src/file{number}.c")]
    one = write(tmp_path / "app.po", *refs)
    call("data", "import", "--po", one, "--languages", "en-fr", "--out", tmp_path / "refs")
    assert {row["document"] for row in rows(tmp_path / "refs", "test")} < {f"app.po#src/file{n}.c" for n in range(12)}
    bare = write(tmp_path / "bare.po", *numbered(0, 900))
    call("data", "import", "--po", bare, "--languages", "en-fr", "--out", tmp_path / "blocks")
    test = Counter(row["document"] for row in rows(tmp_path / "blocks", "test"))
    assert set(test.values()) == {900 // 50}
    assert len(test) == 6


def test_the_direction_can_be_against_that_of_the_messages(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po")
    words = ("--languages", "fr-en", "--msgid-language", "en", "--out", tmp_path / "out")
    done = call("data", "import", "--po", folder, *words)
    assert "source_language: fr" in done.stdout
    assert all(row["source"].startswith("Ouvrir") for row in rows(tmp_path / "out", "train"))


def test_compiled_catalogues_are_read_unless_their_source_is_beside_them(tmp_path: Path) -> None:
    pairs = [("Close it", "Ferme-le"), ("The file", "Le fichier")]
    entries = [entry(*pair) for pair in pairs]
    write(tmp_path / "a" / "fr" / "LC_MESSAGES" / "x.mo", *entries)
    write(tmp_path / "a" / "de" / "LC_MESSAGES" / "x.mo", entry("The file", "Die Datei"), of=catalog(""))
    found, counts = read(tmp_path / "a")
    assert sorted(found) == pairs
    assert counts["catalogues in other languages"] == 1
    write(tmp_path / "a" / "fr" / "LC_MESSAGES" / "x.po", *entries)
    assert read(tmp_path / "a")[1]["catalogues"] == 1


def test_a_catalogue_without_a_language_has_that_of_its_name(tmp_path: Path) -> None:
    for name in ("fr", "de", "pt_BR", "sr@latin", "messages"):
        write(tmp_path / f"{name}.po", entry(f"In {name}", f"En {name}"), of=catalog(""))
    assert read(tmp_path)[0] == [("In fr", "En fr"), ("In messages", "En messages")]
    assert [pair[0] for pair in read(tmp_path, language="pt")[0]] == ["In messages", "In pt_BR"]
    (tmp_path / "fr.po").unlink()
    assert len(read(tmp_path)[0]) == 4


def test_the_part_of_a_page_is_named_without_its_line(tmp_path: Path) -> None:
    refs = [("C/page.xml:26(section/p)", ""), ("C/other.page", "3")]
    write(tmp_path / "x.po", *(entry(f"A {ref}", "Un", occurrences=[ref]) for ref in refs))
    assert [one.part for one in read_catalogs([tmp_path], "fr", Counter())] == ["C/page.xml", "C/other.page"]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("nplurals=2; plural=(n > 1);", "forme 0"),
        ("nplurals=4; plural=(n%100==1 ? 1 : n%100==2 ? 2 : n%100==3 ? 3 : 0);", "forme 1"),
        ("nplurals=2; plural=(what?);", "forme 0"),
    ],
)
@pytest.mark.parametrize("suffix", [".po", ".mo"])
def test_of_plurals_the_singular_is_taken(formula: str, expected: str, suffix: str, tmp_path: Path) -> None:
    plural = {number: f"forme {number}" for number in range(4)}
    one = entry("one form", "", msgid_plural="forms", msgstr_plural=plural)
    file = write(tmp_path / f"x{suffix}", one, of=catalog("fr", **{"Plural-Forms": formula}))
    assert read(file)[0] == [("one form", expected)]


LETTERS = st.characters(codec="utf-8", exclude_characters="<>&_~()", exclude_categories=["Cc", "Cs"])
WORDS = st.text(LETTERS, min_size=1)


@given(pairs=st.lists(st.tuples(WORDS, WORDS), max_size=8), suffix=st.sampled_from([".po", ".mo"]))
def test_what_polib_writes_is_read(
    pairs: list[tuple[str, str]], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = sorted({source: (source, target) for source, target in pairs}.values())
    file = write(tmp_path_factory.mktemp("round") / f"x{suffix}", *(entry(*pair) for pair in pairs))
    found = [(normalise(source), normalise(target)) for source, target in read(file)[0]]
    assert sorted(found) == sorted((normalise(source), normalise(target)) for source, target in pairs)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("_File", "_Fichier"), ("File", "Fichier")),
        (("E_xit", "_Quitter"), ("Exit", "Quitter")),
        (("Save &As…", "Enregistrer &sous…"), ("Save As…", "Enregistrer sous…")),
        (("~Edit", "É~dition"), ("Edit", "Édition")),
        (("_File", "文件(_F)"), ("File", "文件")),
        (("E_xit", "退出(_X)"), ("Exit", "退出")),
        (("_File", "Fichier"), ("File", "Fichier")),
        (("Set file_name", "Définir file_name"), ("Set file_name", "Définir file_name")),
        (("R&D", "R&D"), ("R&D", "R&D")),
        (("%(file_name)s is open", "%(file_name)s est ouvert"), ("%(file_name)s is open", "%(file_name)s est ouvert")),
        (("salt & pepper", "sel & poivre"), ("salt & pepper", "sel & poivre")),
        (("__init__ and _File", "__init__ et _Fichier"), ("__init__ and _File", "__init__ et _Fichier")),
    ],
)
def test_marks_of_keyboard_shortcuts_are_removed(before: tuple[str, str], after: tuple[str, str]) -> None:
    assert without_accelerators(*before) == after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press <gui style='x'>OK</gui> in <b>{name}</b>.", "Press OK in {name}."),
        ("one<br/>two", "one two"),
        ('see <xref linkend="here"/>', "see "),
        ("cp <file> <folder>", "cp <file> <folder>"),
        ("add an <image/> here", "add an <image/> here"),
        ("Q&amp;A at 5&#160;%", "Q&A at 5\xa0%"),
        ("&copy and &File", "&copy and &File"),
        ("%s &lt;%d&gt;", "%s <%d>"),
    ],
)
def test_markup_is_removed_and_placeholders_stay(text: str, expected: str) -> None:
    assert without_markup(text) == expected


def failed(tmp_path: Path, *words: str | Path) -> str:
    done = call("data", "import", "--out", tmp_path / "out", *words)
    assert done.code == 2
    assert not (tmp_path / "out").exists()
    return done.complaint.removeprefix("seq2attn: ")


def test_mistakes_get_one_line_each(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po")
    po = ("--po", "--languages", "en-fr")
    assert failed(tmp_path, *po, tmp_path / "none").startswith(f"{tmp_path}/none: no such file or folder")
    (tmp_path / "empty").mkdir()
    assert failed(tmp_path, *po, tmp_path / "empty") == f"{tmp_path}/empty: contains no .po or .mo file"
    (tmp_path / "x.txt").touch()
    assert "expected a .po or .mo file" in failed(tmp_path, *po, tmp_path / "x.txt")
    assert "expected the codes" in failed(tmp_path, "--po", "--languages", "english-french", folder)
    assert "expected the codes" in failed(tmp_path, "--po", "--languages", "en-en", folder)
    assert "not one of the --languages en-fr" in failed(tmp_path, *po, folder, "--msgid-language", "de")
    assert "--po for gettext" in failed(tmp_path, "--languages", "en-fr", folder)
    assert "--po for gettext" in failed(tmp_path, *po, "--html", folder)
    de = failed(tmp_path, "--po", "--languages", "en-de", folder)
    assert de.startswith("too few pairs")
    assert "12 catalogues in other languages" in de


def test_damaged_catalogues_are_named_with_the_line(tmp_path: Path) -> None:
    po = ("--po", "--languages", "en-fr")
    bad = tmp_path / "bad.po"
    bad.write_text('msgid "a (line 7) b"\nmsgstr "c"\n\nmsgid "d"\nrubbish\n', encoding="utf-8")
    assert failed(tmp_path, *po, bad).startswith(f"{bad}:5: cannot be read as a gettext catalogue (.po)")
    bad.write_bytes(b'msgid "a"\nmsgstr "\xe9"\n')
    assert f"{bad}: not valid utf-8 at byte 18" in failed(tmp_path, *po, bad)
    for content in (b"", b"\xde\x12\x04\x95", b"\xde\x12\x04\x95" + bytes([255]) * 40, b"rubbish"):
        (tmp_path / "bad.mo").write_bytes(content)
        assert "bad.mo: cannot be read as a compiled catalogue (.mo)" in failed(tmp_path, *po, tmp_path / "bad.mo")


def test_a_legacy_charset_is_read_as_declared(tmp_path: Path) -> None:
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=ISO-8859-1\\n"\n\nmsgid "summer"\nmsgstr "été"\n'
    (tmp_path / "x.po").write_bytes(text.encode("latin-1"))
    assert read(tmp_path / "x.po")[0] == [("summer", "été")]


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "po")
    words = ("data", "import", "--po", folder, "--languages", "en-fr", "--out")
    (tmp_path / "new").mkdir()
    assert call(*words, tmp_path / "new").code == 0
    before = (tmp_path / "new" / "card.json").read_bytes()
    done = call(*words, tmp_path / "new")
    assert (done.code, "already holds files" in done.complaint) == (2, True)
    assert (tmp_path / "new" / "card.json").read_bytes() == before
    assert "is a file" in call(*words, folder / "part0.po").complaint

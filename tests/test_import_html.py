"""`seq2attn data import --html`: two folders of pages, paired by path and aligned by block."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.load import load_config
from seq2attn.corpora.html_pages import align_blocks, read_blocks, read_pages
from seq2attn.corpora.load import load_corpus
from tests.command_line import call
from tests.test_import_po import NOMBRES, NUMBERS


def page(folder: Path, name: str, body: str, head: str = '<meta charset="utf-8">', encoding: str = "utf-8") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        f"<!DOCTYPE html><html><head>{head}<title>Page</title></head><body>{body}</body></html>".encode(encoding)
    )
    return file


def paragraphs(words: tuple[str, ...], number: int) -> str:
    return "".join(f"<p>{words[number % 10]} {words[number // 10]} {word}</p>\n" for word in words)


def write_site(folder: Path, pages: int = 12) -> tuple[Path, Path]:
    for number in range(pages):
        page(folder / "fr", f"a/{number}.html", paragraphs(NOMBRES, number))
        page(folder / "en", f"a/{number}.html", paragraphs(NUMBERS, number))
    return folder / "fr", folder / "en"


def blocks_of(tmp_path: Path, body: str) -> list[tuple[str, str]]:
    return read_blocks(page(tmp_path, "x.html", body))


def test_from_two_folders_to_a_corpus_that_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "data"))
    fr, en = write_site(tmp_path)
    page(fr, "only.html", "<p>seule</p>")
    page(fr, "other.html", "<h1>tout</h1><ul><li>autre</ul>")
    page(en, "other.html", "<p>all</p><p>of it</p><p>is different</p>")
    done = call("data", "import", "--html", fr, en, "--languages", "fr-en", "--out", tmp_path / "out")
    assert done.code == 0, done.stderr
    card = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    counts = card["counts"]
    assert (counts["pages"], counts["pages in the source's language only"]) == (13, 1)
    assert counts["dropped: on a page that is too different"] == 3
    dropped = sum(number for name, number in counts.items() if name.startswith("dropped: "))
    assert sum(card["pairs"].values()) + dropped == counts["blocks"] == 123
    config = tmp_path / "mine.yaml"
    config.write_text(f"{done.stdout}model: {{kind: rnn}}\ntrain: {{max_steps: 1}}\n", encoding="utf-8")
    corpus = load_corpus(load_config(config).data)
    assert (corpus.source_language, corpus.target_language) == ("fr", "en")
    for split, table in corpus.splits.items():
        assert len(table) == card["pairs"][split]
        for row in table:
            assert [NOMBRES.index(word) for word in row["source"].split()] == [
                NUMBERS.index(word) for word in row["target"].split()
            ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>one <b>two</b>\n three</p>", [("p", "one two three")]),
        ("<p>one<p>two<br>lines", [("p", "one"), ("p", "two lines")]),
        ("<ul><li>one<li>two<ul><li>in</ul>after</ul>", [("li", "one"), ("li", "two"), ("li", "in"), ("li", "after")]),
        ("<h2>A &amp; B</h2><dl><dt>a<dd>b</dl>", [("h2", "A & B"), ("dt", "a"), ("dd", "b")]),
        ("<table><tr><td>a</td><th>b</table>", [("td", "a"), ("th", "b")]),
        ("<div>bare<p>in</p> rest</div>", [("div", "bare"), ("p", "in"), ("div", "rest")]),
        ("<nav><p>menu</p><nav>x</nav></nav><script>'<p>'</script><pre>code</pre><p>text</p>", [("p", "text")]),
        ("<p>one<p/>two</p></p></li>", [("p", "one"), ("body", "two")]),
        ("<p>a<script/>b</p>", [("p", "ab")]),
        ("<p>unclosed <b>end", [("p", "unclosed end")]),
        ("", []),
    ],
)
def test_the_text_of_each_block_is_read(body: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    assert blocks_of(tmp_path, body) == expected


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="utf-8">', "utf-8"),
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "latin-1"),
    ],
)
def test_a_page_is_decoded_as_it_declares(head: str, encoding: str, tmp_path: Path) -> None:
    assert read_blocks(page(tmp_path, "x.html", "<p>été</p>", head, encoding)) == [("p", "été")]


def test_blocks_without_a_partner_are_left_out() -> None:
    source = [("h1", "Title"), ("p", "A first paragraph"), ("p", "Added"), ("p", "See 12 and 7"), ("li", "End")]
    target = [("h1", "Titre"), ("p", "Un premier paragraphe"), ("p", "Voir 12 et 7"), ("td", "Ailleurs"), ("li", "Fin")]
    assert align_blocks(source, target, 1.0) == [(0, 0), (1, 1), (3, 2), (4, 4)]


def test_a_text_much_longer_than_expected_is_no_partner() -> None:
    long = "word " * 40
    assert align_blocks([("p", long)], [("p", "mot")], 1.0) == []
    assert align_blocks([("p", long)], [("p", "字" * 50)], 0.25) == [(0, 0)]


def test_numbers_decide_between_texts_of_one_length() -> None:
    source = [("p", "Page 12 of ten"), ("p", "Page 1,000 of ten"), ("p", "Page 51 of ten")]
    target = [("p", "Seite 1000 von zehn"), ("p", "Seite ٥١ von zehn")]
    assert align_blocks(source, target, 1.0) == [(1, 0), (2, 1)]


def test_a_page_sorted_by_another_alphabet_is_dropped(tmp_path: Path) -> None:
    numbers = {NOMBRES[digit]: (NUMBERS[digit], 11 * digit) for digit in range(10)}
    fr = sorted(f"<p>{name} fait {value}</p>" for name, (_, value) in numbers.items())
    en = sorted(f"<p>{name} makes {value}</p>" for name, value in numbers.values())
    page(tmp_path / "fr", "x.html", "".join(fr))
    page(tmp_path / "en", "x.html", "".join(en))
    counts: Counter[str] = Counter()
    assert list(read_pages(tmp_path / "fr", tmp_path / "en", counts)) == []
    assert counts["pages dropped: in another order"] + counts["pages dropped: too different"] == 1
    assert sum(number for name, number in counts.items() if name.startswith("dropped: ")) == 10


BLOCKS = st.lists(st.tuples(st.sampled_from(["p", "li"]), st.text("ab1 ", min_size=1, max_size=30)), max_size=8)


@given(source=BLOCKS, target=BLOCKS)
def test_an_alignment_is_monotone_and_pairs_like_with_like(
    source: list[tuple[str, str]], target: list[tuple[str, str]]
) -> None:
    pairs = align_blocks(source, target, 1.0)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    assert all(source[row][0] == target[column][0] for row, column in pairs)
    assert align_blocks(source, source, 1.0) == [(number, number) for number in range(len(source))]


@given(blocks=st.lists(st.tuples(st.sampled_from(["p", "h1", "li"]), st.text("abcdé &<", min_size=1)), max_size=9))
def test_what_is_written_is_read(blocks: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    escaped = [(tag, text.replace("&", "&amp;").replace("<", "&lt;")) for tag, text in blocks]
    body = "".join(f"<{tag} class='x'>{text}</{tag}>" for tag, text in escaped)
    found = blocks_of(tmp_path_factory.mktemp("page"), body)
    assert found == [(tag, " ".join(text.split())) for tag, text in blocks if text.strip()]


def test_few_pages_are_divided_into_blocks(tmp_path: Path) -> None:
    fr, en = write_site(tmp_path, pages=5)
    done = call("data", "import", "--html", fr, en, "--languages", "fr-en", "--out", tmp_path / "out", "--json")
    card = json.loads(done.stdout)
    assert card["documents"] == {"train": 40, "validation": 4, "test": 6}


def test_mistakes_get_one_line_each(tmp_path: Path) -> None:
    fr, en = write_site(tmp_path)

    def failed(*folders: str | Path) -> str:
        done = call("data", "import", "--html", *folders, "--languages", "fr-en", "--out", tmp_path / "out")
        assert done.code == 2
        return done.complaint.removeprefix("seq2attn: ")

    assert failed(fr).startswith("--html: expected two folders")
    assert failed(fr, tmp_path / "none").startswith(f"{tmp_path}/none: no such folder")
    page(tmp_path / "de", "z.html", "<p>eins</p>")
    assert "no page has the same path in both; found 12 and 1 pages" in failed(fr, tmp_path / "de")
    assert "no msgids" in failed(fr, en, "--msgid-language", "en")
    bad = page(en, "a/0.html", "<p>café</p>", "", "latin-1")
    assert failed(fr, en).startswith(f"{bad}: not valid utf-8 at byte")
    page(en, "a/0.html", "", '<meta charset="klingon">')
    assert failed(fr, en) == f"{bad}: declares the unknown charset klingon; correct the page"
    assert not (tmp_path / "out").exists()


@given(content=st.text("<>/!?-[]= 'pdivlscript&#x;\n", max_size=60))
def test_no_page_is_too_broken(content: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("broken")
    for name in ("fr", "en"):
        page(folder / name, "x.html", content)
    counts: Counter[str] = Counter()
    found = list(read_pages(folder / "fr", folder / "en", counts))
    assert all(one.source == one.target for one in found)

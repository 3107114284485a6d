"""The page in docs/play: made by this code, and with the translations that docs/teaching.md says it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from scripts.refresh_play import PUBLISHED, contents
from seq2attn.play.page import render
from tests.browser import needs_browser, open_tab
from tests.engine import INSTALLED, needs_some_engine, run_engine
from tests.pages import ROOT, read
from tests.test_play_page import IDLE, VIEW, WRITTEN, act

LESSON = ROOT / "docs" / "teaching.md"
MODELS = ("RNN, fixed context", "RNN, attention", "Transformer")

_ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
_LINK = re.compile(r"\[(.+)\]\(play/quick\.html#text=(\S+)\)")
_LOOK = re.compile(r"no look at \*(\S+)\*")
_HEADS = re.compile(r"translation → source(?:, layer (\d))?(?:, head (\d))? off")


@pytest.fixture(scope="module")
def page() -> str:
    return PUBLISHED.read_text(encoding="utf-8")


def test_the_page_is_as_this_code_writes_it(page: str) -> None:
    assert render(*contents(page)) == page, "run `python -m scripts.refresh_play`"


def test_the_page_is_small_and_says_what_it_is_made_of(page: str) -> None:
    assert PUBLISHED.stat().st_size <= 16e6
    data, models = contents(page)
    assert tuple(model["name"] for model in models) == MODELS
    assert {model["precision"] for model in models} == {"int8"}
    assert data["note"].count("public domain") == 2
    for _, measured in (model["about"] for model in data["models"]):
        assert re.fullmatch(r"Weights in 8 bits: [\d.]+ BLEU on 500 test sentences, [\d.]+ in 32 bits", measured)


def quotations() -> list[tuple[str, dict[str, Any], str, str]]:
    """Of every table of the lesson with a text of the page: the text, what is changed, the model, what it writes."""
    found: list[tuple[str, dict[str, Any], str, str]] = []
    columns: list[str] = []
    for row in _ROW.findall(read(LESSON)):
        cells = [cell.strip() for cell in row.split("|")]
        if cells[0] == "text":
            columns = cells
        elif link := _LINK.fullmatch(cells[0]):
            text, address = link.groups()
            assert (text, quote(text)) == (unquote(address), address)
            row_of = dict(zip(columns, cells, strict=True))
            change = changed(row_of.get("change", ""))
            found += [(text, change, name, row_of[name]) for name in MODELS if name in row_of]
    return found


def changed(words: str) -> dict[str, Any]:
    """What a cell says to switch, for the program below."""
    if heads := _HEADS.fullmatch(words):
        layer, head = (None if number is None else int(number) - 1 for number in heads.groups())
        return {"off": {"layer": layer, "head": head}}
    looks = _LOOK.findall(words)
    assert bool(looks) == bool(words), words
    return {"forbidden": looks}


# Layers and heads of the models in the page are few: gates beyond them are not read.
_PROGRAM = """
const translators = new Map(data.models.map(({ weights, ...description }) => (
  [description.name, new seq2attn.Translator(description, seq2attn.bytesOf(weights))])));
const gatesOf = ({ layer, head }) => ({ cross: Array.from({ length: 2 }, (_, inLayer) => (
  Array.from({ length: 4 }, (_, number) => (
    (layer ?? inLayer) === inLayer && (head ?? number) === number ? 0 : 1)))) });
return data.asked.map(([text, { off, forbidden = [] }, name]) => {
  const translator = translators.get(name);
  const { labels, wordOf } = groupSubwords(translator.source.encode(text).map((id) => translator.source.pieces[id]));
  const positions = [...wordOf.keys()].filter((position) => forbidden.includes(labels[wordOf[position]]));
  return translator.translate(text, { forbidden: positions, gates: off ? gatesOf(off) : {} })[0].text;
});
"""


@needs_some_engine
def test_the_lesson_quotes_what_the_models_write(page: str, tmp_path: Path) -> None:
    quoted = quotations()
    program = f"{(VIEW / 'words.js').read_text(encoding='utf-8')}{_PROGRAM}"
    asked = {"models": contents(page)[1], "asked": [[text, change, name] for text, change, name, _ in quoted]}
    written = run_engine(INSTALLED[0], program, asked, tmp_path)
    differing = [
        (text, change, name, wanted, found)
        for (text, change, name, wanted), found in zip(quoted, written, strict=True)
        if not (found.startswith(wanted[:-1].strip()) if wanted.endswith("…") else found == wanted)
    ]
    assert not differing
    assert len(quoted) > 40


@needs_browser
def test_the_page_opens_as_the_lesson_says(tmp_path: Path) -> None:
    with open_tab(tmp_path) as tab:
        tab.watch()
        tab.open(PUBLISHED.as_uri())
        tab.wait_until(IDLE)
        scores = act(tab, "return [...document.querySelectorAll('.scores tbody td')].map((cell) => cell.textContent)")
        first, *others = scores
        assert f"{first} BLEU against {others[0]}" in read(LESSON)
        assert len(set(others)) == 1
        text = "but went not down to his house."
        tab.resize(390, 800)
        act(tab, f"location.hash = '#text={quote(text)}'")
        tab.wait_until(f"document.querySelector('#source').value === '{text}'")
        tab.wait_until(IDLE)
        fixed, *_ = act(tab, WRITTEN)
        assert fixed == "but went down to his house . ⟨end⟩"
        reference = act(tab, "return document.querySelector('#reference-text').textContent")
        assert reference == "but didn't go down to his house."
        widths = act(tab, "const { scrollWidth, clientWidth } = document.documentElement;"
                          "return [scrollWidth, clientWidth]")  # fmt: skip
        assert widths[0] <= widths[1]
        assert tab.complaints == []
        assert {address.partition(":")[0] for address in tab.requests} <= {"file", "blob", "data"}

"""The page of attention maps, as a file and in a browser."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seq2attn.attention.html import write_page
from seq2attn.attention.maps import Choice, Exploration
from seq2attn.errors import RunError
from tests.attention_samples import ARABIC, FRENCH, an_exploration, some_drops
from tests.browser import needs_browser, run_in_page

CROSS = Choice()
HOSTILE = ["▁<b>", "▁</script>", "▁&", '▁"', "▁<!--", "</s>"]


def a_page(folder: Path, exploration: Exploration, choice: Choice = CROSS) -> Path:
    page = folder / "new" / "map.html"
    write_page(exploration, choice, False, page)
    return page


def data_of(page: Path) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text(encoding="utf-8"))
    return dict(json.loads(data))


def test_the_page_has_every_map_and_uses_no_network(tmp_path: Path) -> None:
    exploration = an_exploration()
    page = a_page(tmp_path, exploration, Choice("encoder", 2, 3))
    data = data_of(page)
    assert data == json.loads(json.dumps(exploration.as_json(Choice("encoder", 2, 3), as_subwords=False)))
    fixed, rnn, transformer = data["systems"]
    # Three kinds of two layers, each with three heads and their mean.
    assert [len(system["maps"]) for system in (fixed, rnn, transformer)] == [0, 1, 24]
    shown = transformer["maps"][transformer["shown"]]
    assert (shown["kind"], shown["layer"], shown["head"]) == ("encoder", 2, 3)
    assert rnn["shown"] is None
    assert not re.findall(r"https?:|\bsrc=|\burl\(|@import", page.read_text(encoding="utf-8"))


def test_an_unwritable_page_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written .*; choose another folder"):
        write_page(an_exploration(), Choice(), False, tmp_path / "file" / "map.html")


DRIVE = """
const [fixed, rnn, transformer] = document.querySelectorAll(".system");
const weights = (system, axis) => [...system.querySelectorAll(`[data-axis=${axis}] button`)]
  .map((button) => Number(button.style.getPropertyValue("--weight")));
const send = (element, event) => element.dispatchEvent(event);
const over = (element) => send(element, new PointerEvent("pointerover", { bubbles: true }));
const leave = (system) => send(system.querySelector(".readout").parentElement, new PointerEvent("pointerleave"));
const row = (system, place) => system.querySelector(`[data-axis=rows] [data-row="${place}"]`);
const choose = (name, text) => {
  const select = transformer.querySelector(`[name=${name}]`);
  select.value = [...select.options].find((option) => option.text === text).value;
  send(select, new Event("change", { bubbles: true }));
};
const seen = { fixed: fixed.innerText, buttons: fixed.querySelectorAll("button").length };
over(row(rnn, 1));
seen.hovered = weights(rnn, "columns");
seen.readout = rnn.querySelector(".readout").innerText;
leave(rnn);
seen.left = weights(rnn, "columns");
row(rnn, 2).click();
over(row(rnn, 0));
leave(rnn);
seen.pinned = weights(rnn, "columns");
row(rnn, 0).focus();
send(row(rnn, 0), new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
seen.walked = document.activeElement.dataset.row;
seen.focused = weights(rnn, "columns");
send(document.activeElement, new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
seen.escaped = weights(rnn, "columns");
over(rnn.querySelector("[data-axis=columns] [data-column='0']"));
seen.column = weights(rnn, "rows");
choose("kind", "translation → itself");
choose("layer", "2");
choose("head", "3");
seen.title = transformer.querySelector("summary").innerText;
over(row(transformer, 2));
seen.chosen = weights(transformer, "columns");
document.querySelectorAll(".models input")[2].click();
seen.hidden = transformer.hidden;
seen.directions = [...rnn.querySelectorAll(".sentence")].map((line) => getComputedStyle(line).direction);
seen.overflow = document.documentElement.scrollWidth > document.documentElement.clientWidth;
return seen;
"""


@needs_browser
def test_pointing_choosing_and_the_keyboard_highlight_attention(tmp_path: Path) -> None:
    exploration = an_exploration(FRENCH, ARABIC)
    page = a_page(tmp_path, exploration)
    seen = run_in_page(page, DRIVE)
    _, rnn, transformer = data_of(page)["systems"]
    weights = rnn["maps"][0]["weights"]

    def roots(values: list[float]) -> Any:
        return pytest.approx([value**0.5 for value in values], abs=1e-3)

    nothing = [0] * len(weights[0])
    assert "No attention" in seen["fixed"]
    assert seen["buttons"] == 0
    assert seen["hovered"] == roots(weights[1])
    best = max(range(len(weights[1])), key=weights[1].__getitem__)
    assert seen["readout"].startswith(f"{rnn['tokens']['written'][1]} attends to {rnn['tokens']['source'][best]}")
    assert seen["left"] == nothing
    assert seen["pinned"] == roots(weights[2])
    # Arabic runs leftwards, so there is no word to the right of the first.
    assert seen["walked"] == "0"
    assert seen["focused"] == roots(weights[0])
    assert seen["escaped"] == nothing
    assert seen["column"] == roots([line[0] for line in weights])
    chosen = next(
        entry for entry in transformer["maps"] if (entry["kind"], entry["layer"], entry["head"]) == ("decoder", 2, 3)
    )
    assert seen["title"] == "decoder self-attention, layer 2, head 3"
    assert seen["chosen"] == roots(chosen["weights"][2])
    assert seen["hidden"] is True
    assert seen["directions"] == ["ltr", "rtl"]
    assert not seen["overflow"]


WORDS = "return [...document.querySelector('[data-axis=rows]').children].map((button) => button.innerText)"


@needs_browser
def test_words_that_look_like_markup_are_words(tmp_path: Path) -> None:
    page = a_page(tmp_path, an_exploration(HOSTILE, HOSTILE))
    words = run_in_page(page, WORDS)
    assert words == ["<b>", "</script>", "&", '"', "<!--", "⟨end⟩"]


FORBID = """
const [fixed, transformer] = document.querySelectorAll(".system");
const word = (column) => transformer.querySelector(`[data-axis=columns] [data-column="${column}"]`);
const shades = () => [...transformer.querySelectorAll("[data-axis=rows] button")]
  .map((button) => Number(button.style.getPropertyValue("--weight")));
const state = () => [shades(), word(1).ariaPressed, transformer.querySelector(".readout").innerText];
const seen = { tables: [fixed, transformer].map((system) => system.querySelectorAll("table").length) };
seen.choices = [...transformer.querySelector("[name=effect]").options].map((option) => option.text);
word(1).click();
seen.forbidden = state();
word(1).click();
seen.allowed = state();
word(5).click();
seen.end = [word(5).ariaPressed, transformer.querySelectorAll(".sentence.lost").length];
return seen;
"""


@needs_browser
def test_a_source_word_can_be_forbidden_where_effects_were_measured(tmp_path: Path) -> None:
    fixed, _, transformer = an_exploration().systems
    drops = some_drops()
    measured = replace(transformer, attention=replace(transformer.attention, drops=drops))
    page = a_page(tmp_path, Exploration("le chat noir dort,", (fixed, measured)), Choice("cross", 2, 3))
    seen = run_in_page(page, FORBID)
    assert seen["tables"] == [0, 2]
    assert seen["choices"] == ["this head\u2019s look", "every head\u2019s look", "the word"]
    shown = data_of(page)["systems"][1]
    lost = [max(0.0, 1 - math.exp(-row[1])) for row in shown["maps"][shown["shown"]]["drops"]]
    shades, pressed, readout = seen["forbidden"]
    assert shades == pytest.approx([share**0.5 for share in lost], abs=1e-3)
    assert pressed == "true"
    assert "Without this head\u2019s look at chat: " in readout
    assert seen["allowed"][1] == "false"
    # The end of the sentence is never forbidden.
    assert seen["end"] == [None, 0]

"""The page of the report, as a file and in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seq2attn.errors import RunError
from seq2attn.report.content import Example, ReportContent, ReportDetails
from seq2attn.report.html import page, write_page
from seq2attn.report.wording import three_sentences
from seq2attn.results.summary import Output
from tests.attention_samples import an_exploration
from tests.browser import needs_browser, open_tab, run_in_page
from tests.evaluation_samples import ATTENTION, FIXED, RETENTION, a_summary, with_std
from tests.report_samples import a_content

HOSTILE = '</script><b id="evil">"&\'<!--'
VOID = {"meta", "link", "input", "br", "wbr", "path", "line", "rect", "polygon", "polyline"}


class Elements(HTMLParser):
    """Counts elements, collects the text outside scripts, and fails if an element is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value is not None]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += f" {data}"


def text_of(content: ReportContent) -> str:
    return " ".join(Elements(page(content)).text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_all_content_is_on_the_page() -> None:
    content = a_content()
    text = text_of(content)
    for expected in (
        *three_sentences(content.summary),
        "bible-fr-en, test · 2,311 sentences",
        "60+ 9 2.5 n too small",
        "supported rnn_fixed reaches a smaller share of the BLEU of rnn_attention at 40 words or more than at up to "
        "20 : 62",
        "not supported rnn_attention keeps at least 85 % of its BLEU from 10–19 words to 40 words or more : 91.0 %",
        "起初,神创造天地。",
        "السماوات",
        "setting rnn_fixed rnn_attention model. attention none additive All other settings are equal.",
        "licence public domain",
        "seq2attn reproduce --preset quick",
        "Measured on: 2 CPU cores, 8 GB.",
        "SHA-256 of text c0ffee",
        "SHA-256 of weights of rnn_fixed w-rnn_fixed",
        "SHA-256 of subwords of rnn_fixed and rnn_attention s",
        "BLEU, sacreBLEU's signature nrefs:1|tok:13a chrF, sacreBLEU's signature nrefs:1|nc:6",
    ):
        assert expected in text, expected
    assert not re.findall(r"https?:|\bsrc=|\burl\(|@import", page(content))


def test_each_seed_is_on_the_page() -> None:
    outputs = (Output("runs/one", 14.7), Output("runs/two", 15.3))
    content = ReportContent(a_summary(replace(with_std(ATTENTION, 0.42), outputs=outputs)))
    assert "Each seed system 1 2 mean rnn_attention 14.7 15.3 15.0 (14.2–15.8) ±0.4" in text_of(content)
    assert "Each seed" not in text_of(a_content())


def test_an_inconclusive_claim_is_explained() -> None:
    vague = replace(RETENTION, value=1.07, low=0.70, high=1.91, found=None)
    content = ReportContent(a_summary(claims=[vague]))
    assert "inconclusive rnn_attention keeps at least 85 %" in text_of(content)
    assert '<li class="inconclusive">' in page(content)
    assert "less than 5 BLEU" in text_of(content)
    assert "less than 5 BLEU" not in text_of(a_content())


def test_a_dash_in_the_settings_is_explained() -> None:
    fixed, attention = a_content().runs
    fewer = {key: value for key, value in fixed.settings.items() if key != "model.attention"}
    text = text_of(replace(a_content(), runs=[replace(fixed, settings=fewer), attention]))
    assert "attention – additive All other settings are equal. –: that kind of model has no such setting." in text
    assert "no such setting" not in text_of(a_content())


def test_missing_content_is_left_out() -> None:
    text = text_of(ReportContent(a_summary()))
    for absent in ("Attention weights", "Translations, short and long", "Training", "Data", "None", "Claims"):
        assert absent not in text
    assert "SHA-256" not in text
    assert "rnn_attention" in text


def test_text_is_escaped() -> None:
    summary = replace(a_summary(replace(FIXED, name=HOSTILE), ATTENTION), corpus=HOSTILE, command=HOSTILE)
    example = Example(3, HOSTILE, f"{HOSTILE} x", {HOSTILE: f"{HOSTILE} y"})
    details = ReportDetails({HOSTILE: HOSTILE}, {HOSTILE: {HOSTILE: 1}}, [example])
    settings, digests = {"model.kind": "rnn", HOSTILE: HOSTILE}, {"w": HOSTILE}
    run = replace(a_content().runs[0], name=HOSTILE, system=HOSTILE, settings=settings, digests=digests)
    hostile = ["▁</script>", "▁<b>", "</s>"]
    content = ReportContent(
        summary, details, [run, a_content().runs[1]], [an_exploration(hostile, hostile)], HOSTILE, HOSTILE, HOSTILE
    )
    elements = Elements(page(content))
    assert elements.ids.count("evil") == 0
    assert elements.text.count(HOSTILE) > 10


def test_an_unwritable_page_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written .*; choose another folder"):
        write_page(a_content(), tmp_path / "file")


DRIVE = """
const seen = {};
const over = (element) => element.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
const key = (name) =>
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const tip = document.querySelector(".tip");
const shown = () => (tip.hidden ? null : [...tip.children].map((line) => line.textContent));
const visible = (element) => getComputedStyle(element).display !== "none";
const chart = [...document.querySelectorAll("#figure .chart")].find(visible);
const columns = chart.querySelectorAll(".column");
seen.before = shown();
over(columns[1]);
seen.column = shown();
seen.lit = [...document.querySelectorAll("tr.lit th")].map((cell) => cell.textContent);
over(document.querySelector("h1"));
seen.left = shown();
columns[0].focus();
seen.focused = shown()[0];
key("ArrowRight");
seen.walked = shown()[0];
seen.stops = [...columns].filter((column) => column.tabIndex === 0).length;
key("Escape");
seen.escaped = shown();
const cell = document.querySelector('tr[data-bucket="1"] .score[data-system="1"]');
cell.scrollIntoView();
over(cell);
seen.cell = shown();
const box = tip.getBoundingClientRect();
seen.inside = box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
over(document.querySelector("#systems th[data-tip]"));
seen.setting = shown();
const validation = [...document.querySelectorAll("#training .chart")].find(visible);
over(validation.querySelector(".column"));
seen.training = shown()[0];
const button = document.querySelector('.legend button[data-system="0"]');
const lines = () => [...document.querySelectorAll('.series[data-system="0"]')].filter(visible).length;
seen.lines = lines();
button.click();
seen.hidden = [lines(), document.querySelectorAll('.legend button[aria-pressed="false"]').length];
button.click();
seen.again = lines();
seen.missing = [...document.querySelectorAll("del")].filter(visible).map((node) => node.innerText.trim());
document.querySelector("#missing").click();
seen.stillMissing = [...document.querySelectorAll("del")].filter(visible).length;
seen.marked = [...document.querySelectorAll(".outputs ins")].map((node) => node.innerText);
seen.directions = [...document.querySelectorAll(".outputs dd")].map((node) => getComputedStyle(node).direction);
seen.maps = document.querySelectorAll(".attention-explorer .system").length;
const word = document.querySelectorAll(".attention-explorer .system")[1].querySelector("[data-axis=rows] button");
over(word);
seen.readout = word.closest(".system").querySelector(".readout").innerText;
return seen;
"""


@needs_browser
def test_pointing_tapping_and_the_keyboard_show_the_values(tmp_path: Path) -> None:
    seen = run_in_page(write_page(a_content(), tmp_path), DRIVE)
    assert (seen["before"], seen["left"], seen["escaped"]) == (None, None, None)
    assert seen["column"][:2] == ["10–19 words: 640 sentences", "● rnn_fixed: 12.2 (11.0–13.4), length ×0.97"]
    assert seen["lit"] == ["10–19"]
    assert (seen["focused"], seen["walked"]) == ("0–9 words: 142 sentences", "10–19 words: 640 sentences")
    assert seen["stops"] == 1
    assert seen["cell"][-1] == "+7.6 (+6.9 to +8.2) compared with rnn_fixed, p = 0.0007"
    assert seen["inside"]
    assert seen["setting"][0].startswith("How the decoder sees the source")
    assert seen["training"] == "update 500"
    # The figure, the ratios, and the two charts of training, each for a wide screen and for a narrow one.
    assert seen["lines"] == seen["again"] == 8
    assert seen["hidden"] == [0, 3]
    assert seen["missing"][0] == "heaven"
    assert seen["stillMissing"] == 0
    assert seen["marked"][0] == "the sky"
    assert seen["directions"] == ["ltr", "ltr", "rtl", "rtl", "ltr", "ltr"]
    assert seen["maps"] == 6
    assert "attends to" in seen["readout"]


# Elements whose text has less contrast with its background than the 4.5 that WCAG requires.
LOW_CONTRAST = """
(() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [red, green, blue] = rgb(colour).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    for (let node = element; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.querySelectorAll("p, th, td, dt, dd, li, b, ins, summary, figcaption, h1, h2, h3")) {
    if (element.closest(".attention-explorer tbody")) continue;
    const both = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
    if ((both[0] + 0.05) / (both[1] + 0.05) < 4.5) faint.push(element.outerHTML.slice(0, 90));
  }
  return faint;
})()
"""
# The end of the page, and the last text that its scripts add.
LAST = ("How to reproduce it", "Point at a word, tap it")
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@needs_browser
def test_it_fits_a_phone_is_legible_in_both_schemes_and_prints(tmp_path: Path) -> None:
    path = write_page(a_content(), tmp_path)
    with open_tab(tmp_path) as tab:
        grounds = {}
        for scheme in ("light", "dark"):
            tab.colours(scheme)
            for width in (360, 1000):
                tab.resize(width, 800)
                tab.open(path.as_uri())
                tab.wait_for_text(*LAST)
                assert tab.run(WIDER) == 0, (scheme, width)
            assert tab.run(LOW_CONTRAST) == []
            grounds[scheme] = tab.run("getComputedStyle(document.body).backgroundColor")
        assert len(set(grounds.values())) == 2
        assert tab.complaints == []
        # Printed while the screen uses the dark scheme.
        tab.print_to(tmp_path / "report.pdf")
    document = (tmp_path / "report.pdf").read_bytes()
    assert document.startswith(b"%PDF")
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", document)) < 20


@needs_browser
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext; the Debian package is poppler-utils")
def test_paper_shows_what_is_folded_on_the_screen(tmp_path: Path) -> None:
    path = write_page(a_content(), tmp_path)
    with open_tab(tmp_path) as tab:
        tab.open(path.as_uri())
        tab.wait_for_text(*LAST)
        tab.run("document.querySelector('#missing').click()")
        tab.print_to(tmp_path / "report.pdf")
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    for expected in (
        "BLEU over source length",
        "BLEU lost per 10 words",
        "with a human one",
        "the sky heaven.",
        "nrefs:1|tok:13a",
    ):
        assert expected in text
    assert "Point at the figure" not in text

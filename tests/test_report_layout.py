"""The layout of the maps on the report's page, on a screen and on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seq2attn.report.html import write_page
from tests.attention_samples import an_exploration
from tests.browser import Tab, needs_browser, open_tab
from tests.report_samples import a_content

# As long as the longest sentence with a map in a report: 25 words with their punctuation.
LONG = [*(f"▁word{place}" for place in range(28)), "</s>"]
PAPER = (710, 970)
"""Pixels of a letter page within its margins; A4 is 20 narrower, and higher."""

BOXES = """
(() => {
  const boxes = [...document.querySelectorAll(".attention-explorer .system")].map((system) => {
    const { left, right, width, height } = system.getBoundingClientRect();
    const table = system.querySelector("table");
    if (!table) return { left, right, width, height };
    const map = table.getBoundingClientRect();
    const sentence = system.querySelector(".sentence").getBoundingClientRect();
    const labels = [...table.querySelectorAll("thead th")];
    return {
      left, right, width, height, map: { left: map.left, right: map.right }, beside_map: sentence.right <= map.left,
      cut: system.querySelector(".scroll").scrollWidth > system.querySelector(".scroll").clientWidth,
      overlapping: labels.filter((label) => label.scrollWidth > label.clientWidth).length,
    };
  });
  return boxes;
})()
"""


def _open(tab: Tab, folder: Path) -> None:
    page = write_page(replace(a_content(), explorations=[an_exploration(LONG, LONG)]), folder)
    tab.open(page.as_uri())
    tab.wait_for_text("Point at a word, tap it")


@needs_browser
def test_a_long_map_fits_a_wide_screen_next_to_its_sentences(tmp_path: Path) -> None:
    with open_tab(tmp_path) as tab:
        tab.resize(1200, 900)
        _open(tab, tmp_path)
        fixed, *attending = tab.run(BOXES)
        assert fixed["width"] > 800
        assert [(box["cut"], box["beside_map"]) for box in attending] == [(False, True)] * 2
        tab.resize(400, 900)
        assert all(box["cut"] and box["width"] < 400 for box in tab.run(BOXES)[1:]), "on a phone it scrolls"


@needs_browser
def test_two_long_maps_fit_a_printed_page_with_legible_labels(tmp_path: Path) -> None:
    with open_tab(tmp_path) as tab:
        tab.medium("print")
        tab.resize(*PAPER)
        _open(tab, tmp_path)
        for box in tab.run(BOXES):
            assert 0 < box["left"] < box["right"] < PAPER[0], "an edge is cut off"
            assert box["height"] < PAPER[1] / 2
            if "map" in box:
                assert box["left"] < box["map"]["left"] < box["map"]["right"] < box["right"]
                assert box["overlapping"] == 0

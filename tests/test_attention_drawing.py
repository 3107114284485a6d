"""Attention maps as a picture and in the terminal."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.cells import cell_len

from seq2attn.attention.figure import fonts_for, maps_figure, panels_of, save_figure
from seq2attn.attention.maps import AttentionMap, Choice, Exploration, Kind
from seq2attn.attention.terminal import terminal_map
from tests.attention_samples import ARABIC, CHINESE, ENGLISH, FRENCH, RNN, TRANSFORMER, a_system, an_exploration


def texts(svg: Path) -> list[str]:
    return ["".join(node.itertext()) for node in ET.parse(svg).iter() if node.tag.endswith("}text")]


def test_a_picture_names_words_models_and_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "map.svg"
    assert save_figure(an_exploration(), Choice(), False, path) == ""
    found = " ".join(texts(path))
    for expected in ("le chat noir dort,", "sleeping", "⟨end⟩", "RNN, attention: cross-attention"):
        assert expected in found


def test_a_model_without_attention_says_so_and_shows_its_translation() -> None:
    fixed, rnn, _ = panels_of(an_exploration(), Choice(), as_subwords=False)
    assert fixed.instead == (
        "the black cat is sleeping.",
        "No attention: every word is written from the same vector.",
    )
    assert rnn.instead == ()
    figure, _ = maps_figure([fixed], "le chat")
    (axes,) = figure.axes  # no colour bar, because there are no maps
    assert "the black cat is\nsleeping." in axes.texts[0].get_text().replace("is sleeping", "is\nsleeping")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("cross", ("source", "translation")),
        ("encoder", ("source", "source")),
        ("decoder", ("translation so far", "translation")),
    ],
)
def test_axes_are_named(kind: Kind, names: tuple[str, str]) -> None:
    panels = panels_of(Exploration("le chat", (a_system("Transformer", TRANSFORMER),)), Choice(kind), as_subwords=False)
    axes = maps_figure(panels, "le chat")[0].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == names


def test_maps_of_different_heights_are_aligned_at_the_top() -> None:
    systems = (a_system("long", RNN, FRENCH, ENGLISH * 4), a_system("short", RNN))
    figure, _ = maps_figure(panels_of(Exploration("le chat", systems), Choice(), as_subwords=False), "le chat")
    long, short, _ = figure.axes
    assert short.get_position().y1 == pytest.approx(long.get_position().y1)
    assert short.get_position().height < 0.5 * long.get_position().height


def test_no_title_overlaps_the_heading() -> None:
    systems = (a_system("RNN, attention", RNN), a_system("RNN, fixed context", {}))
    figure, _ = maps_figure(panels_of(Exploration("le chat", systems), Choice(), as_subwords=False), "le chat " * 12)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    (heading,) = (text for text in figure.texts if text.get_text().startswith("le chat"))
    below = heading.get_window_extent(renderer)
    assert below.x1 <= figure.bbox.width
    for axes in figure.axes:
        assert axes.get_tightbbox(renderer).y1 <= below.y0 + 1


def test_the_picture_of_one_model_has_a_panel_for_each_head(tmp_path: Path) -> None:
    exploration = Exploration("le chat", (a_system("Transformer", TRANSFORMER),))
    titles = [panel.title for panel in panels_of(exploration, Choice("encoder", 2), as_subwords=False)]
    assert titles == [f"encoder self-attention, layer 2, {head}" for head in ("mean of 3 heads", *_heads(3))]
    assert len(panels_of(exploration, Choice("encoder", 2, 1), as_subwords=False)) == 1
    path = tmp_path / "map.png"
    save_figure(exploration, Choice(), False, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert min(width, height) > 600


def _heads(count: int) -> list[str]:
    return [f"head {number}" for number in range(1, count + 1)]


@pytest.mark.parametrize(("source", "written"), [(FRENCH, ENGLISH), (ARABIC, FRENCH), (ENGLISH * 3, ARABIC * 3)])
def test_labels_are_neither_cut_off_nor_overlapping(source: list[str], written: list[str]) -> None:
    exploration = an_exploration(source, written)
    figure, _ = maps_figure(panels_of(exploration, Choice(), as_subwords=False), exploration.source)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for axes in (axes for axes in figure.axes if axes.axison):
        for labels, order in ((axes.get_xticklabels(), "x"), (axes.get_yticklabels(), "y")):
            boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
            assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
            spans = sorted((getattr(box, f"{order}0"), getattr(box, f"{order}1")) for box in boxes)
            assert all(after[0] >= before[1] - 1 for before, after in pairwise(spans))


def test_characters_without_a_font_are_reported_and_drawn_as_placeholders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    assert save_figure(an_exploration(CHINESE, ENGLISH), Choice(), False, tmp_path / "map.png") == "。创初地天神起造"
    path = tmp_path / "map.svg"
    save_figure(an_exploration(CHINESE, ENGLISH), Choice(), False, path)
    assert "起\n初" in "\n".join(texts(path)), "characters stay text, for a viewer that has the font"


def test_an_installed_font_is_found_for_characters_missing_from_the_usual_one() -> None:
    families, missing = fonts_for(["le chat", "السماوات"])
    assert (families, missing) == (["DejaVu Sans"], "")
    families, missing = fonts_for(["le chat", "神", "\U0010fffd"])
    assert families[-1] == "Last Resort High-Efficiency"
    assert "\U0010fffd" in missing
    if "神" in missing:
        pytest.skip("no font with Chinese characters")
    assert len(families) == 3


def test_the_figure_can_be_drawn_again_as_tensorboard_does(tmp_path: Path) -> None:
    exploration = an_exploration()
    figure, _ = maps_figure(panels_of(exploration, Choice(), as_subwords=False), "step 5")
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "again.png")


def a_map(rows: tuple[str, ...], columns: tuple[str, ...], weights: list[list[float]]) -> AttentionMap:
    return AttentionMap("cross-attention", rows, columns, np.array(weights), "translation", "source")


def test_without_a_terminal_weights_are_tenths() -> None:
    attention_map = a_map(("the", "cat"), ("le", "chat", "神"), [[0.95, 0.05, 0.0], [0.0, 0.29, 0.71]])
    assert terminal_map(attention_map, 80, colours=False).plain.splitlines() == [
        "       c",
        "       h",
        "     l a",
        "     e t神",
        "the  9 · · le",
        "cat  · 2 7 神",
    ]


def test_on_a_terminal_the_largest_weight_is_the_brightest_block() -> None:
    attention_map = a_map(("a",), ("b", "c", "d"), [[0.0, 0.3, 0.7]])
    text = terminal_map(attention_map, 80, colours=True)
    colours = [
        span.style.bgcolor.triplet for span in text.spans if not isinstance(span.style, str) and span.style.bgcolor
    ]
    brightness = [sum(colour) for colour in colours]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 3


@pytest.mark.parametrize("width", [20, 31, 80])
@pytest.mark.parametrize("colours", [False, True])
def test_a_map_keeps_within_the_terminal_and_loses_no_column(width: int, colours: bool) -> None:
    columns = tuple(f"{number}" for number in range(10, 40))
    attention_map = a_map(("a", "bé"), columns, [[1 / 30] * 30, [0.0] * 29 + [1.0]])
    lines = terminal_map(attention_map, width, colours).plain.splitlines()
    assert max(map(cell_len, lines)) <= width
    if not colours:
        assert sum(line.count("·") + line.count(" 9") for line in lines if line.lstrip().startswith("bé")) == 30


def test_long_labels_are_shortened() -> None:
    attention_map = a_map(("Donaudampfschifffahrtsgesellschaft",), ("Rindfleischetikettierung",), [[1.0]])
    lines = terminal_map(attention_map, 80, colours=False).plain.splitlines()
    assert len(lines) == 13
    assert lines[-1] == "Donaudampfschifff…  9 Rindfleischetiket…"

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.evaluation.slope import SmoothedPoint
from seq2attn.plots.chart import bucket_spans
from seq2attn.plots.figure import draw_length_curve, length_curve_figure, spread_apart
from seq2attn.results.summary import System
from seq2attn.style import house_style
from tests.evaluation_samples import ATTENTION, COUNTS, FIXED, a_bucket, a_summary, a_system

LONG_NAME = "transformer_base_with_learned_positions_and_a_very_long_name_indeed"


def _texts(svg: Path) -> str:
    return " | ".join("".join(node.itertext()) for node in ET.parse(svg).iter() if node.tag.endswith("}text"))


def _colours(svg: Path) -> set[str]:
    return {colour for colour in ("#d55e00", "#0072b2", "#009e73", "#cc79a7") if colour in svg.read_text().lower()}


def test_the_picture_is_valid_and_has_its_labels(tmp_path: Path) -> None:
    png, svg = draw_length_curve(a_summary(), tmp_path / "new" / "curve.v1")
    assert (png.name, svg.name) == ("curve.v1.png", "curve.v1.svg")
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert width >= 1200
    assert 1.4 < width / height < 2.0
    texts = _texts(svg)
    for expected in ("BLEU over source length", "bible-fr-en, test", "rnn_fixed", "rnn_attention", "10–19", "905"):
        assert expected in texts
    assert "hollow" not in texts
    assert "trained on" not in texts


def test_the_same_summary_gives_the_same_bytes(tmp_path: Path) -> None:
    first = draw_length_curve(a_summary(), tmp_path / "a")
    second = draw_length_curve(a_summary(), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("n_systems", [1, 3, 4])
def test_each_system_has_a_line_of_its_own(tmp_path: Path, n_systems: int) -> None:
    systems = [replace(ATTENTION, name=f"system {place}") for place in range(n_systems)]
    _, svg = draw_length_curve(a_summary(*systems), tmp_path / "curve")
    assert len(_colours(svg)) == n_systems
    assert all(system.name in _texts(svg) for system in systems)


def test_caps_on_training_length_are_marked_on_the_axis(tmp_path: Path) -> None:
    systems = [replace(FIXED, max_source_words=30), replace(ATTENTION, max_source_words=80)]
    texts = _texts(draw_length_curve(a_summary(*systems), tmp_path / "curve")[1])
    assert "trained on ≤ 30 words |" in texts
    assert "trained on ≤ 80 words →" in texts
    by_reference = replace(a_summary(*systems), length_of="reference")
    assert "trained on" not in _texts(draw_length_curve(by_reference, tmp_path / "curve")[1])


@pytest.mark.parametrize(
    "system",
    [
        a_system("empty at both ends", [10] * 7, [0, 640, 905, 0, 12, 1, 0]),
        a_system("nothing at all", [10] * 7, [0] * 7),
        a_system("always wrong", [0] * 7),
        a_system(LONG_NAME, [10] * 7),
        replace(a_system("one $bucket$", [10] * 7), buckets=(a_bucket(0, None, 5, 10.0, 8.0, 12.0, 1.0),)),
    ],
    ids=lambda system: system.name,
)
def test_odd_systems_are_drawn_without_a_warning(tmp_path: Path, system: System) -> None:
    _, svg = draw_length_curve(a_summary(system), tmp_path / "curve")
    assert system.name[:18] in _texts(svg)
    few = any(0 < bucket.n < 30 for bucket in system.buckets)
    assert ("hollow: fewer than 30 sentences" in _texts(svg)) == few


def test_the_axis_ends_where_sentences_do(tmp_path: Path) -> None:
    """Otherwise the line from the last point to its label crosses empty ranges and looks like a curve."""
    short = a_system("short", [10] * 7, [0, 640, 0, 12, 0, 0, 0])
    texts = _texts(draw_length_curve(a_summary(short), tmp_path / "curve")[1])
    assert all(label in texts for label in ("10–19", "20–29", "30–39"))
    assert not any(label in texts for label in ("0–9 ", "40–49", "50–59", "60+"))
    with house_style():
        curves = length_curve_figure(a_summary(short)).axes[0]
    assert curves.get_xlim() == (10, 40)


def test_an_open_bucket_is_as_wide_as_the_one_before() -> None:
    buckets = a_system("a", [1] * 7, COUNTS).buckets
    assert bucket_spans(buckets)[-2:] == [(50, 60), (60, 70)]
    assert bucket_spans([replace(buckets[0], high=None)]) == [(0, 10)]


@given(labels=st.lists(st.tuples(st.floats(-5, 105), st.floats(1, 12)), min_size=1, max_size=8))
def test_labels_lie_in_the_axis_one_above_the_other(labels: list[tuple[float, float]]) -> None:
    wanted, heights = [y for y, _ in labels], [height for _, height in labels]
    centres = spread_apart(wanted, heights, 0.0, 100.0)
    boxes = sorted((y - height / 2, y + height / 2) for y, height in zip(centres, heights, strict=True))
    assert boxes[0][0] >= -1e-9
    assert boxes[-1][1] <= 100 + 1e-9
    assert all(above[0] >= below[1] - 1e-9 for below, above in pairwise(boxes))
    order = sorted(range(len(labels)), key=wanted.__getitem__)
    assert [centres[place] for place in order] == sorted(centres)


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread_apart([20.0, 80.0, 50.0], [10.0, 10.0, 10.0], 0.0, 100.0) == [20.0, 80.0, 50.0]


def test_a_smoothed_curve_is_dotted_next_to_the_buckets(tmp_path: Path) -> None:
    smoothed = tuple(SmoothedPoint(length, 100, 20.0) for length in range(5, 60))
    texts = _texts(draw_length_curve(a_summary(replace(FIXED, smoothed=smoothed)), tmp_path / "curve")[1])
    assert "dotted: windows of 10 lengths" in texts
    assert "dotted" not in _texts(draw_length_curve(a_summary(), tmp_path / "curve")[1])


def test_few_sentences_have_a_point_without_an_interval(tmp_path: Path) -> None:
    few = replace(
        FIXED, buckets=tuple(a_bucket(bucket.low, bucket.high, 12, 9.0, 8.0, 10.0) for bucket in FIXED.buckets)
    )
    texts = _texts(draw_length_curve(a_summary(few), tmp_path / "curve")[1])
    assert "hollow: fewer than 30 sentences" in texts
    assert "bands" not in texts
    assert "bands" in _texts(draw_length_curve(a_summary(), tmp_path / "curve")[1])

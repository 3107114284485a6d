"""The charts of the page as numbers: the positions of lines, bands, bars and strips, and their descriptions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seq2attn.plots.chart import MARKERS, NARROW, WIDE, Scale, Size, Tick
from seq2attn.report.charts import Chart, bleu_chart, ratio_chart, thinned, training_charts
from seq2attn.report.html import score_rows
from seq2attn.style import LINE_STYLES, SIGNS
from tests.report_samples import a_content, a_run, a_summary_with_everything

SUMMARY = a_summary_with_everything()
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


def values_of(points: str, chart: Chart) -> list[tuple[float, float]]:
    """Points in SVG coordinates, converted back to axis units by inverting a linear scale from two of its points."""
    x, y = chart.plane.x, chart.plane.y

    def back(scale: Scale, place: float) -> float:
        return scale.first + (place - scale.start) / (scale.end - scale.start) * (scale.last - scale.first)

    pairs = [map(float, point.split(",")) for point in points.split()]
    return [(back(x, left), back(y, top)) for left, top in pairs]


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-2, 1e3),
    st.floats(200, 900),
)
def test_ticks_are_round_on_the_axis_and_have_room(first: float, width: float, pixels: float) -> None:
    scale = Scale(first, first + width, 0.0, pixels)
    ticks = scale.ticks()
    assert ticks
    assert all(-1e-6 <= tick.place <= pixels + 1e-6 for tick in ticks)
    assert all(after.place - before.place >= 59.9 for before, after in pairwise(ticks))
    assert all(scale.place(float(tick.label.replace(",", ""))) == pytest.approx(tick.place, abs=0.1) for tick in ticks)


def test_a_logarithmic_axis_gives_equal_ratios_equal_distances() -> None:
    scale = Scale(8.0, 800.0, 300.0, 0.0, logarithmic=True)
    assert scale.place(80.0) == pytest.approx(150.0)
    assert [tick.label for tick in scale.ticks()] == ["10", "20", "50", "100", "200", "500"]


@given(st.integers(1, 60), st.integers(1, 7), st.floats(100, 900))
def test_thinned_labels_fit_side_by_side(n: int, length: int, width: float) -> None:
    ticks = [Tick(place * width / n, "9" * length) for place in range(n)]
    kept = thinned(ticks, width)
    assume(len(kept) > 1)
    assert kept[0] == ticks[0]
    assert all(after.place - before.place >= 6.5 * length for before, after in pairwise(kept))


def test_every_marker_of_the_figure_has_an_svg_shape() -> None:
    assert {marker for _, marker in LINE_STYLES} == set(MARKERS) == set(SIGNS)


@SIZES
def test_the_figure_is_drawn_at_its_values(size: Size) -> None:
    chart = bleu_chart(SUMMARY, size)
    for series, system in zip(chart.series, SUMMARY.systems, strict=True):
        scored = [bucket.bleu for bucket in system.buckets if bucket.bleu is not None]
        # The empty bucket splits the line; the last bucket, with few sentences, has no band.
        found = [values_of(points, chart) for points in series.lines]
        assert [len(stretch) for stretch in found] == [3, 3]
        heights = [y for stretch in found for _, y in stretch]
        assert heights == pytest.approx([score.value for score in scored], abs=0.05)
        assert [x for x, _ in found[0]] == pytest.approx([5.0, 15.0, 25.0], abs=0.1)
        bands = [values_of(points, chart) for points in series.bands]
        assert [len(band) for band in bands] == [6, 4]
        assert [y for _, y in bands[0][:3]] == pytest.approx([score.low for score in scored[:3]], abs=0.05)
        assert [y for _, y in bands[0][:2:-1]] == pytest.approx([score.high for score in scored[:3]], abs=0.05)
        assert [dot.hollow for dot in series.dots] == [False] * 5 + [True]
        assert len(series.whiskers) == 5
    heights = [bar.height for bar in chart.bars]
    counts = [bucket.n for bucket in SUMMARY.systems[0].buckets]
    assert heights == pytest.approx([count / max(counts) * max(heights) for count in counts])


@SIZES
def test_strips_cover_the_chart_and_describe_every_system(size: Size) -> None:
    for chart in (bleu_chart(SUMMARY, size), ratio_chart(SUMMARY, size)):
        ends = [(column.x, column.x + column.width) for column in chart.columns]
        assert ends[0][0] == pytest.approx(chart.plane.x.start)
        assert ends[-1][1] == pytest.approx(chart.plane.x.end)
        assert all(before[1] == pytest.approx(after[0]) for before, after in pairwise(ends))
        assert chart.columns[1].tip.split("\n") == [
            "10–19 words: 640 sentences",
            "● rnn_fixed: 12.2 (11.0–13.4), length ×0.97",
            "■ rnn_attention: 19.8 (18.6–21.0), length ×0.97",
        ]
        assert "9 sentences\n● rnn_fixed: 2.5 (n too small), length ×0.71" in chart.columns[-1].tip
        assert chart.columns[3].tip.endswith("0 sentences\n● rnn_fixed: –\n■ rnn_attention: –")


def test_the_ratio_of_1_has_a_line_and_every_ratio_is_on_the_chart() -> None:
    chart = ratio_chart(SUMMARY, WIDE)
    assert chart.rule == chart.plane.y.place(1.0)
    assert chart.plane.y.first <= 0.71
    assert all(chart.plane.y.end <= dot.y <= chart.plane.y.start for series in chart.series for dot in series.dots)


def test_the_table_has_every_score_and_difference() -> None:
    rows = score_rows(SUMMARY)
    assert [row.label for row in rows] == ["0–9", "10–19", "20–29", "30–39", "40–49", "50–59", "60+", "all"]
    assert [cell.value for cell in rows[1].cells] == ["12.2", "19.8"]
    assert max(cell.share for row in rows for cell in row.cells) == 1.0
    tip = rows[1].cells[1].tip
    assert tip.startswith("■ rnn_attention\n10–19 words: 640 sentences\nBLEU 19.8 (18.6–21.0), length ×0.97\n")
    assert tip.endswith("+7.6 (+6.9 to +8.2) compared with rnn_fixed, p = 0.0007")
    assert [cell.value for cell in rows[3].cells] == ["–", "–"]


def test_training_is_drawn_for_each_run_and_described_at_each_validation() -> None:
    content = a_content()
    perplexity, bleu = training_charts(content.summary, content.runs, WIDE)
    assert [column.tip for column in perplexity.columns] == [
        "update 500\n● rnn_fixed: perplexity 12.00, BLEU 5.0\n■ rnn_attention: perplexity 12.00, BLEU 5.0",
        "update 1,000\n● rnn_fixed: perplexity 6.00, BLEU 10.0\n■ rnn_attention: perplexity 6.00, BLEU 10.0",
    ]
    (line,) = bleu.series[0].lines
    assert [value for point in values_of(line, bleu) for value in point] == pytest.approx([500, 5, 1000, 10], abs=0.1)
    (fine,) = perplexity.series[0].faint_lines
    # Values above the chart are left out: a training begins with a perplexity in the thousands.
    steps = [step for step, _ in values_of(fine, perplexity)]
    assert min(steps) == pytest.approx(math.ceil(4000 / 18 / 50) * 50, abs=2)
    assert not bleu.series[0].faint_lines


def test_runs_without_metrics_have_no_charts() -> None:
    content = a_content()
    run = a_run("rnn_fixed", "none")
    assert training_charts(content.summary, [], WIDE) == []
    assert training_charts(content.summary, [type(run)("rnn_fixed", "rnn_fixed", {}, [], {})], WIDE) == []

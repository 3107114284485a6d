"""The curve in the terminal: every score at its height, with the figure's colours and markers, within its width."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from seq2attn.cli.output import print_scores
from seq2attn.plots.terminal import FEWEST_COLUMNS, terminal_plot
from seq2attn.results.summary import Summary
from seq2attn.style import LINE_STYLES, SIGNS
from tests.command_line import call
from tests.evaluation_samples import ATTENTION, COUNTS, FIXED, a_summary, a_system

PLOT = "BLEU over source words"
FULL, HOLLOW = SIGNS[LINE_STYLES[0][1]]


def cells(plot: Text) -> list[str]:
    """The lines between the title and the lower axis, without the axis to the left."""
    lines = plot.plain.splitlines()
    bottom = next(place for place, line in enumerate(lines) if "└" in line)
    return [line[lines[bottom].index("└") + 1 :] for line in lines[1:bottom]]


def signs(plot: Text, sign: str) -> list[tuple[int, int]]:
    """Row (from the top) and column of each `sign`, from left to right."""
    places = [
        (row, column)
        for row, line in enumerate(cells(plot))
        for column, character in enumerate(line)
        if character == sign
    ]
    return sorted(places, key=lambda place: place[1])


@given(scores=st.lists(st.floats(0.0, 100.0), min_size=7, max_size=7), columns=st.integers(FEWEST_COLUMNS, 90))
def test_every_score_is_at_its_height(scores: list[float], columns: int) -> None:
    plot = terminal_plot(a_summary(a_system("one", scores)), columns)
    found = signs(plot, FULL)
    assert len(found) == 7
    rows = [row for row, _ in found]
    lines = plot.plain.splitlines()
    ticks = {
        place - 1: float(line[: line.index("┤")]) for place, line in enumerate(lines) if "┤" in line.partition("●")[0]
    }
    top, height = ticks[0], len(cells(plot))
    assert top >= max(scores)
    for row, score in zip(rows, scores, strict=True):
        assert top * (height - row - 1) / height - 1e-9 <= score <= top * (height - row) / height + 1e-9


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("columns", [FEWEST_COLUMNS, 60, 200])
def test_it_keeps_to_its_width_and_its_characters(columns: int, ascii_only: bool) -> None:
    long = replace(ATTENTION, name="an attention with a name that is longer than any plot is wide " * 2)
    plot = terminal_plot(a_summary(long, replace(FIXED, name="注意力")), columns, ascii_only)
    lines = plot.plain.splitlines()
    assert max(map(cell_len, lines)) <= columns
    named = [line for line in lines if "attention" in line or "注" in line]
    assert "".join(line for line in lines if line not in named).isascii() is ascii_only
    assert [line[0] for line in named] == (["O", "S"] if ascii_only else ["●", "■"])


def test_systems_look_as_in_the_figure() -> None:
    systems = [replace(ATTENTION, name=f"system {number}") for number in range(8)]
    plot = terminal_plot(a_summary(*systems), 60)
    for number in range(8):
        colour, marker = LINE_STYLES[number % len(LINE_STYLES)]
        start = plot.plain.index(f"{SIGNS[marker][0]} system {number}")
        assert [span.style for span in plot.spans if span.start == start] == [colour]


def test_buckets_without_sentences_are_gaps_and_those_with_few_are_hollow() -> None:
    counts = (*COUNTS[:3], 0, *COUNTS[4:6], 29)
    plot = terminal_plot(a_summary(a_system("one", [10.0] * 7, counts)), 60)
    assert len(signs(plot, FULL)) == 5
    ((row, _),) = signs(plot, HOLLOW)
    left, right = signs(plot, FULL)[2][1], signs(plot, FULL)[3][1]
    assert set(cells(plot)[row][left + 1 : right]) == {" "}
    assert " " not in cells(plot)[row][right : signs(plot, HOLLOW)[0][1]]
    assert "hollow: fewer than 30 sentences" in plot.plain


def test_the_axis_ends_at_the_highest_score() -> None:
    assert terminal_plot(a_summary(a_system("one", [100.0] * 7)), 60).plain.splitlines()[1].startswith(" 100┤")


def test_all_scores_of_zero_can_be_drawn() -> None:
    plot = terminal_plot(a_summary(a_system("one", [0.0] * 7)), 60)
    assert {row for row, _ in signs(plot, FULL)} == {len(cells(plot)) - 1}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, summary: Summary, columns: int, plot: bool | None = None) -> str:
    """The output for a terminal with this many columns."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", terminal)
        print_scores(summary, plot)
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())


def test_it_is_next_to_the_table_if_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = (printed(monkeypatch, a_summary(), columns).splitlines() for columns in (140, 80))
    (right_of_table,) = (line for line in wide if PLOT in line)
    assert "BLEU by source words" in right_of_table
    (below,) = (line for line in narrow if PLOT in line)
    assert below.rstrip() == PLOT
    assert narrow.index(below) > next(place for place, line in enumerate(narrow) if line.split()[:1] == ["all"])
    assert PLOT not in printed(monkeypatch, a_summary(), 140, plot=False)


def test_off_a_terminal_it_is_drawn_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(a_summary())
    assert PLOT not in capsys.readouterr().out
    print_scores(a_summary(), plot=True)
    assert PLOT in capsys.readouterr().out


def test_an_encoding_that_lacks_a_character_gets_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_written = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(bytes_written, encoding="ascii", write_through=True))
        print_scores(a_summary(replace(ATTENTION, name="naïve")), plot=True)
        shown = bytes_written.getvalue().decode("ascii")
    for expected in ("0-9", "x0.97", "O na?ve", PLOT):
        assert expected in shown


def test_requesting_the_plot_implies_buckets(tmp_path: Path) -> None:
    text = "".join(f"{'word ' * length}.\n" for length in range(1, 40))
    for name in ("hypothesis", "reference", "source"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = (tmp_path / "hypothesis", "--reference", tmp_path / "reference", "--source", tmp_path / "source")
    done = call("score", *files, "--plot", "--resamples", "100", "--trials", "100")
    assert done.code == 0, done.stderr
    assert PLOT in done.stdout
    assert "10–19" in done.stdout

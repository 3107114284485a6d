"""Output of the commands on a terminal and without one."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from seq2attn.cli.output import print_scores, translation_progress
from tests.evaluation_samples import ATTENTION, a_summary

SIGNATURE = "nrefs:1|bs:10000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def test_without_a_terminal_no_system_or_score_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    systems = [replace(ATTENTION, name=f"rnn_attention_{number}") for number in range(7)]
    print_scores(replace(a_summary(*systems), signature=SIGNATURE))
    lines = capsys.readouterr().out.splitlines()
    (heading,) = (line for line in lines if "sentences" in line and systems[0].name in line)
    assert heading.split()[-7:] == [system.name for system in systems]
    (overall,) = (line for line in lines if line.split()[:1] == ["all"])
    assert overall.split()[2:] == ["15.0"] * 7


def test_the_signature_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(replace(a_summary(ATTENTION), signature=SIGNATURE))
    assert SIGNATURE in capsys.readouterr().out.splitlines()


class Terminal(io.StringIO):
    """Records what is written to a terminal."""

    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace stderr by a terminal; called within a test, as pytest replaces stderr after its fixtures."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_the_translation_bar_starts_at_the_first_report(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with translation_progress() as report:
        assert terminal.getvalue() == ""
        report("rnn_fixed", 3, 500)
        report("rnn_attention", 0, 500)
    assert "translating: rnn_fixed" in terminal.getvalue()
    assert "3/500" in terminal.getvalue()


def test_a_bar_that_never_started_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt), translation_progress():
        raise KeyboardInterrupt
    assert terminal.getvalue() == ""

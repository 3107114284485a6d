"""What the commands show on a terminal, and what they write where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seq2attn.cli.scores import print_scores
from tests.evaluation_samples import ATTENTION, a_summary

SIGNATURE = "nrefs:1|bs:10000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def test_off_a_terminal_no_system_and_no_score_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    systems = [replace(ATTENTION, name=f"rnn_attention_{number}") for number in range(7)]
    print_scores(replace(a_summary(*systems), signature=SIGNATURE))
    lines = capsys.readouterr().out.splitlines()
    (heading,) = (line for line in lines if "sentences" in line)
    assert heading.split()[-7:] == [system.name for system in systems]
    (overall,) = (line for line in lines if line.split()[:1] == ["all"])
    assert overall.split()[2:] == ["15.0"] * 7


def test_the_signature_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(replace(a_summary(ATTENTION), signature=SIGNATURE))
    assert SIGNATURE in capsys.readouterr().out.splitlines()

"""The display of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from seq2attn.training import display
from seq2attn.training.train import train
from tests.training_samples import FAMILIES, make_config, write_copy_task

STATE = r"step (\d+) · [\d,]+ tokens/s · loss \d+\.\d\d · validation (BLEU \d+\.\d|loss \d+\.\d\d) · \d+:\d\d:\d\d left"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Stream(io.StringIO):
    """A stderr that is a terminal or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, columns: int = 120, sentences: int = 8
) -> str:
    """The stderr of a small training."""
    text = write_copy_task(tmp_path / "text", pairs=120)
    config = make_config(
        text, FAMILIES["additive"], max_steps=6, validate_every_steps=2, validation_sentences=sentences
    )
    stream = Stream(is_terminal)
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(display, "_PLAIN_LINE_SECONDS", -1.0)
        patch.setattr(sys, "stderr", stream)
        train(config, tmp_path / "run", "cpu")
    return stream.getvalue()


@pytest.mark.parametrize("sentences", [8, 0])
def test_off_a_terminal_it_is_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentences: int) -> None:
    written = shown(tmp_path, monkeypatch, is_terminal=False, sentences=sentences)
    assert written.isascii() or set(re.findall(r"[^\x00-\x7f]", written)) == {"·"}
    lines = written.splitlines()
    states = [found for line in lines if (found := re.fullmatch(rf" *\d+% · {STATE}", line))]
    assert [int(found[1]) for found in states] == [3, 4, 5, 6], "one line for each update after the first validation"
    assert {found[2][:4] for found in states} == {"BLEU" if sentences else "loss"}
    # log.txt has the same text, preceded by the time.
    logged = [line.split(" ", 2)[2] for line in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line in logged] == logged


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_on_a_terminal_it_is_one_bar_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    written = ESCAPES.sub("", shown(tmp_path, monkeypatch, is_terminal=True, columns=columns))
    bars = [line for line in re.split(r"[\r\n]+", written) if "%" in line]
    assert bars
    assert all(len(line) <= columns for line in bars)
    if columns == 120:
        assert re.search(STATE, bars[-1])


@pytest.mark.parametrize("columns", [140, 80])
def test_several_trainings_have_a_line_each(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Stream(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    names = ("RNN, attention", "Transformer")
    with display.Screen(named=True) as screen:
        assert screen.bars is not None
        screen.count(1, 3)
        first, second = (display.Display(screen, name) for name in names)
        for shown_one in (first, second):
            shown_one.progress(0.42, "step 4130 · 12,345 tokens/s · loss 2.31 · validation BLEU 21.3", 552.0)
        stream.seek(0)
        stream.truncate()
        screen.bars.refresh()
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", ESCAPES.sub("", stream.getvalue())) if "%" in line]
        assert all(len(line) <= columns for line in lines)
        total, *trainings = lines[:3]
        assert total.startswith("1 of 3 trained")
        for name, line in zip(names, trainings, strict=True):
            assert re.match(rf"{name} .* 42% 0:09:12 left · step 4130", line)
            assert line.endswith("validation BLEU 21.3") is (columns == 140)
        first.close()
        assert [task.description for task in screen.bars.tasks] == ["1 of 3 trained", "Transformer"]


def test_messages_of_several_trainings_start_with_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with display.Screen(named=True) as screen:
        shown_one = display.Display(screen, "RNN")
        for text in ("RNN: 10 parameters", "resumes after step 5"):
            shown_one.message(text)
        screen.count(0, 2)
        screen.count(1, 2)
    assert capsys.readouterr().err.splitlines() == ["RNN: 10 parameters", "RNN: resumes after step 5", "1 of 2 trained"]

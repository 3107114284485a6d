"""The display of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from seq2attn.training import log
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
        patch.setattr(log, "_PLAIN_LINE_SECONDS", -1.0)
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

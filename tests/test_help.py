"""The output of `--help` for every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text

from seq2attn.cli.app import app
from tests.command_line import call


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_every_word(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = "".join(call(*words, "--help").stdout.replace("│", "").split())
    texts = [COMMANDS[words].help, *(getattr(parameter, "help", None) for parameter in COMMANDS[words].params)]
    for help_text in filter(None, texts):
        # rich reads square brackets as markup and drops unknown tags.
        assert Text.from_markup(help_text).plain == help_text
        assert "".join(help_text.split()) in shown


@pytest.mark.parametrize(
    ("words", "default"),
    [
        (("dashboard",), "runs"),
        (("dashboard",), "the first free one from 6006"),
        (("data", "show"), "./data if it exists, else the user's data folder"),
        (("eval",), "the run's"),
        (("reproduce",), "results/PRESET"),
        (("train",), "runs/NAME"),
        (("translate",), "the run's"),
    ],
)
def test_help_shows_the_defaults_of_options_that_default_to_none(
    words: tuple[str, ...], default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert f"[default: ({default})]" in call(*words, "--help").stdout

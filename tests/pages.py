"""The Markdown pages of the project, and how the commands in them are parsed and run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import typer.main

from seq2attn.cli.app import app
from tests.command_line import Finished, call, spawn

ROOT = Path(__file__).parent.parent
PAGES = [*map(ROOT.joinpath, ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").rglob("*.md"))]
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_ENDS_A_COMMAND = {"|", ">", ">>", "<", "&&", ";"}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the page's code blocks in `language`."""
    return [content for _, name, content in _FENCE.findall(read(page)) if name == language]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", read(page))


def bash_lines(page: Path) -> list[str]:
    """The commands of all bash blocks, each on one line."""
    return [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def arguments_of(line: str) -> list[str]:
    """The arguments of the one `seq2attn` in a line, without pipes and redirections."""
    words = shlex.split(line)
    rest = words[words.index("seq2attn") + 1 :]
    end = next((place for place, word in enumerate(rest) if word in _ENDS_A_COMMAND), len(rest))
    return rest[:end]


def complaint(arguments: list[str]) -> str:
    """The error that the command line reports for `arguments`, or an empty string if they are valid."""
    command = typer.main.get_command(app)
    name, rest = "seq2attn", arguments
    while hasattr(command, "commands"):
        name, *rest = rest or [""]
        if name not in command.commands:
            return f"no such command: {name!r}"
        command = command.commands[name]
    try:
        command.make_context(name, list(rest))
    except Exception as error:  # typer has its own copies of click's errors
        return str(error) or repr(error)
    return ""


def run(line: str) -> Finished:
    """Run a line of bash in the current folder; `seq2attn` runs in this process unless something is piped into it."""
    before, pipe, command = line.rpartition(" | ")
    if not command.startswith("seq2attn "):
        done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)
    # Bash splits the words and expands braces and patterns.
    words = _output_of(f"printf '%s\\0' {command.removeprefix('seq2attn ')}").split(b"\0")[:-1]
    arguments = [word.decode() for word in words]
    return spawn(*arguments, stdin=_output_of(before)) if pipe else call(*arguments)


def _output_of(script: str) -> bytes:
    return subprocess.run(["bash", "-euc", script], capture_output=True, check=True).stdout

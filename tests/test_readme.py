"""The README against what it speaks of: its links, its file tree, and its commands.

Every `seq2attn` line of its bash blocks is parsed by the command itself. All of them are then run as they stand, in
their order, by bash in an empty folder, with two differences: the model that they train is a tiny one with a tiny
budget, and those in `PARSED_ONLY`, which need a network or a user's own files, are left out.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from seq2attn.config.load import dump_config, load_config
from seq2attn.data.corpus import load_corpus
from tests.command_line import CONFIGS, PROGRAM, RNN_ATTENTION, call

ROOT = CONFIGS.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PARSED_ONLY = ("seq2attn data fetch bible-fr-en", "seq2attn train mine.yaml", "seq2attn eval runs/mine")
OTHER_LINES = {"scripts/reproduce.sh", "scripts/test.sh", "pip install ."}


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def bash_lines() -> list[str]:
    """The commands of all bash blocks, each on one line."""
    return [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def seq2attn_lines() -> list[str]:
    return [line for line in bash_lines() if line not in OTHER_LINES]


def words_of(line: str) -> list[str]:
    """The arguments of the one `seq2attn` in a line, without what comes in by a pipe."""
    words = shlex.split(line)
    return words[words.index("seq2attn") + 1 :]


def parses(line: str) -> bool:
    """Whether the command knows every word of `line`: the help is shown only where the words before it are known."""
    return call(*words_of(line), "--help").code == 0


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_links_lead_somewhere(target: str) -> None:
    if target.startswith("https://"):
        return
    assert (ROOT / target).exists(), f"{target} is not there"


def test_the_file_tree_is_the_tree() -> None:
    (block,) = (block for block in blocks("") if block.startswith("seq2attn/"))
    listed: set[str] = set()
    folders: list[str] = []
    for line in block.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders = [*folders[:depth], name]
        listed.add("".join(folders))
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "seq2attn").rglob("*.py")}
    spoken_of = {path for path in modules if path.count("/") == 1 or not path.endswith("__init__.py")}
    assert {path for path in listed if path.endswith(".py")} == spoken_of
    assert all((ROOT / path).exists() for path in listed)


def test_every_command_is_one_that_there_is() -> None:
    lines = seq2attn_lines()
    assert len(lines) > 8
    assert [line for line in lines if not parses(line)] == []


@pytest.mark.parametrize(
    "line", ["seq2attn train configs/smoke/rnn_fixed.yaml --steps 5", "seq2attn fly", "seq2attn data get synthetic"]
)
def test_a_command_that_there_is_not_would_be_found(line: str) -> None:
    assert not parses(line)


def test_the_scripts_are_there() -> None:
    assert set(bash_lines()) >= OTHER_LINES
    for script in ("scripts/reproduce.sh", "scripts/test.sh"):
        assert (ROOT / script).stat().st_mode & 0o111


def test_the_commands_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "data"))
    config = load_config(RNN_ATTENTION, ["model.d_model=16", "decode.max_length_ratio=0.2"])
    (tmp_path / "configs" / "smoke").mkdir(parents=True)
    (tmp_path / "configs" / "smoke" / RNN_ATTENTION.name).write_text(dump_config(config), encoding="utf-8")
    lines = [line for line in seq2attn_lines() if not line.startswith(PARSED_ONLY)]
    assert len(lines) == len(seq2attn_lines()) - len(PARSED_ONLY)
    script = re.sub(r"--minutes \S+", "--minutes 0.02", "\n".join(lines))
    script = f'set -euo pipefail\nseq2attn() {{ {shlex.join(PROGRAM)} "$@"; }}\n{script}\n'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "comparison" / "curve.png").is_file()


def test_the_configuration_for_own_text_reads_own_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (yaml,) = blocks("yaml")
    assert len(yaml.splitlines()) == 3
    (tmp_path / "mine.yaml").write_text(yaml, encoding="utf-8")
    (tmp_path / "text").mkdir()
    for split in ("train", "validation", "test"):
        (tmp_path / "text" / f"{split}.tsv").write_text(f"un {split}\ta {split}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)
    corpus = load_corpus(load_config("mine.yaml").data)
    assert corpus.splits["train"][0] == {"source": "un train", "target": "a train", "document": None}

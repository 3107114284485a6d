"""The README is short, and its commands run as written.

They run in order in an empty folder, with two differences: the trained model is tiny and has a tiny budget, and the
commands in `PARSED_ONLY`, which need the user's own files, are left out. `test_docs.py` checks links and options.
"""

import re
from pathlib import Path

import pytest

from seq2attn.config.load import dump_config, load_config
from seq2attn.corpora.load import load_corpus
from tests import pages
from tests.command_line import RNN_ATTENTION
from tests.pages import ROOT

README = ROOT / "README.md"
PARSED_ONLY = ("seq2attn train mine.yaml", "seq2attn eval runs/mine")
OTHER_LINES = {"scripts/reproduce.sh", "scripts/test.sh", "pip install ."}


def test_the_page_is_short() -> None:
    assert len(pages.read(README).splitlines()) <= 170


def test_the_scripts_can_be_executed() -> None:
    assert set(pages.bash_lines(README)) >= OTHER_LINES
    for script in ("scripts/reproduce.sh", "scripts/test.sh"):
        assert (ROOT / script).stat().st_mode & 0o111


def test_the_commands_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "data"))
    config = load_config(RNN_ATTENTION, ["model.d_model=16", "decode.max_length_ratio=0.2"])
    (tmp_path / "configs" / "smoke").mkdir(parents=True)
    (tmp_path / "configs" / "smoke" / RNN_ATTENTION.name).write_text(dump_config(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for line in pages.bash_lines(README) if line not in OTHER_LINES]
    run = [line for line in lines if not line.startswith(PARSED_ONLY)]
    assert len(run) == len(lines) - len(PARSED_ONLY)
    for line in run:
        done = pages.run(re.sub(r"--minutes \S+", "--minutes 0.02", line))
        assert done.code == 0, f"{line}\n{done.stderr}"
    assert (tmp_path / "results" / "comparison" / "curve.png").is_file()


def test_the_configuration_for_own_text_reads_own_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (yaml,) = pages.blocks(README, "yaml")
    assert len(yaml.splitlines()) == 3
    (tmp_path / "mine.yaml").write_text(yaml, encoding="utf-8")
    (tmp_path / "text").mkdir()
    for split in ("train", "validation", "test"):
        (tmp_path / "text" / f"{split}.tsv").write_text(f"un {split}\ta {split}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQ2ATTN_DATA", raising=False)
    corpus = load_corpus(load_config("mine.yaml").data)
    assert corpus.splits["train"][0] == {"source": "un train", "target": "a train", "document": None}

"""Follows `docs/add-a-model.md` word for word in a copy of the code: its model works like the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, bash_lines, blocks, read

PAGE = ROOT / "docs" / "add-a-model.md"

# Run in the copy; all commands share one Python process.
RUN_LINES = """
import re, sys
import pytest
from tests.pages import run
for line in sys.argv[1:]:
    if line.startswith("pytest "):
        assert pytest.main([*line.split()[1:], "-q", "-p", "no:cacheprovider"]) == 0, line
        continue
    done = run(re.sub("--minutes [^ ]+", "--minutes 0.01", line))
    assert done.code == 0, f"{line}: {done.stderr}"
    print(done.stdout)
"""


def apply_change(root: Path, change: str) -> None:
    """Apply a diff without line numbers; the code that it replaces must occur exactly once."""
    first, *lines = change.splitlines()
    file = root / first.removeprefix("--- ")
    before, after = ("".join(f"{line[1:]}\n" for line in lines if line[:1] in (sign, " ", "")) for sign in ("-", "+"))
    text = read(file)
    assert text.count(before) == 1, f"{file}: {before!r} occurs {text.count(before)} times"
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code with all changes and files of the page."""
    for folder in ("seq2attn", "tests", "configs", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    for file in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    for change in blocks(PAGE, "diff"):
        apply_change(tmp_path, change)
    for language in ("python", "yaml"):
        (content,) = blocks(PAGE, language)
        (name,) = re.findall(rf"`([\w/]+\.{language.replace('python', 'py')})`:$", read(PAGE), re.MULTILINE)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_the_page_adds_a_model(copy: Path, data_folder: Path) -> None:
    lines = bash_lines(PAGE)
    environment = os.environ | {"PYTHONPATH": str(copy), "SEQ2ATTN_DATA": str(data_folder)}
    for file in (copy / "bag.yaml", copy / "configs" / "smoke" / "rnn_fixed.yaml"):
        small = re.sub("max_(minutes|steps): [^,]+", "max_steps: 3", read(file).replace("d_model: 96", "d_model: 16"))
        file.write_text(small.replace("beam_size: 2", "beam_size: 1, max_length_ratio: 0.2"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN_LINES, *lines],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* passed", done.stdout)
    assert "Bag of words" in done.stdout
    assert (copy / "results" / "bag" / "curve.png").is_file()
    assert "kind: bag, attention: none" in read(copy / "runs" / "bag" / "README.md")


def test_a_change_to_missing_code_is_detected(copy: Path) -> None:
    with pytest.raises(AssertionError, match="occurs 0 times"):
        apply_change(copy, "--- seq2attn/models/build.py\n-import tensorflow\n+import torch")


def test_training_and_decoding_do_not_change() -> None:
    touched = {change.splitlines()[0].removeprefix("--- ") for change in blocks(PAGE, "diff")}
    assert touched == {"seq2attn/config/models.py", "seq2attn/models/build.py", "tests/conftest.py"}

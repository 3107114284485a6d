"""`docs/python.md` and `docs/notebook.ipynb`: their code runs in order, in a folder with the files that it needs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import seq2attn
import seq2attn.api.runs
from seq2attn.config.load import dump_config, load_config
from tests.command_line import RNN_ATTENTION, call, write
from tests.pages import ROOT, blocks, read

PAGE = ROOT / "docs" / "python.md"
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture
def workplace(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with text files to score, where the packaged configuration is small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    small = load_config(RNN_ATTENTION, ["model.d_model=16", "decode.beam_size=1", "decode.max_length_ratio=0.2"])
    (tmp_path / "presets" / "smoke").mkdir(parents=True)
    write(tmp_path / "presets" / "smoke" / RNN_ATTENTION.name, dump_config(small))
    monkeypatch.setattr(seq2attn.api.runs, "presets_folder", lambda: tmp_path / "presets")
    for name in ("test.fr", "test.en", "ours.en", "theirs.en"):
        write(tmp_path / name, "".join(f"{'the cat sat on the mat ' * n}\n" for n in range(1, 8)) * 10)
    return tmp_path


def run_code(code: list[str]) -> None:
    names: dict[str, Any] = {}
    for place, block in enumerate(code, start=1):
        cheap = re.sub(r"minutes=[\d.]+", "minutes=0.01", block)
        exec(compile(cheap, f"block {place}", "exec"), names)


def test_the_page_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_code(blocks(PAGE, "python"))
    assert (workplace / "curve.pdf").is_file()
    assert (workplace / "results" / "comparison" / "report.html").is_file()
    printed = capsys.readouterr().out
    assert "reference words  sentences" in printed
    assert "1 sentence(s) where references has 2" in printed


def test_the_code_in_the_readme_runs(workplace: Path, tiny_run: Path) -> None:
    shutil.copytree(tiny_run, workplace / "runs" / "first")
    run_code(blocks(ROOT / "README.md", "python"))
    assert (workplace / "curve.png").is_file()


def test_the_page_lists_the_public_api() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", read(PAGE), re.MULTILINE))
    assert named == {name for name in seq2attn.__all__ if name.islower() and not name.startswith("_")}


def cells(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(read(NOTEBOOK))["cells"] if cell["cell_type"] == kind]


def test_the_notebook_holds_no_outputs_and_no_path_of_a_machine() -> None:
    notebook = json.loads(read(NOTEBOOK))
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert not re.search(r"(?<![\w.])/\w", "".join(cells("code")))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


def test_the_code_of_the_notebook_runs(workplace: Path) -> None:
    run_code(cells("code"))
    assert (workplace / "cut.txt").is_file()


@pytest.mark.slow
def test_the_notebook_shows_attention_and_the_curve(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert call("data", "fetch", "synthetic").code == 0
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        cell.source = cell.source.replace("minutes=1", "minutes=0.3")
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert "<iframe" in shown["attention"][-1]["data"]["text/html"]
    assert shown["curve"][-1]["data"]["image/png"]
    assert "data:image/svg+xml" in shown["result"][-1]["data"]["text/html"]
    assert "source words" in shown["score"][0]["text"]
    errors = "".join(
        output["text"] for of_cell in shown.values() for output in of_cell if output.get("name") == "stderr"
    )
    assert not re.sub(r".*TqdmWarning: .*\n.*\n", "", errors)  # tqdm recommends ipywidgets

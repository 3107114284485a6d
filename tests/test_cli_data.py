import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seq2attn.cli.data import data_app
from seq2attn.errors import DataError

runner = CliRunner()


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments: str) -> str:
    result = runner.invoke(data_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_has_a_line_for_every_family_and_says_which_are_untried() -> None:
    lines = run("list").splitlines()
    assert lines[0].split("\t")[0] == "name"
    states = {line.split("\t")[0]: line.split("\t")[-1] for line in lines[1:]}
    assert states["bible-XX-YY"] == states["synthetic"] == "yes"
    assert states["wmt16-XX-YY"] == states["iwslt2017-XX-YY"] == "not yet"


def test_list_as_json_has_every_name() -> None:
    families = json.loads(run("list", "--json"))
    names = [name for family in families for name in family["corpora"]]
    assert {"synthetic", "bible-fr-en", "multi30k-de-en", "wmt16-en-de"} <= set(names)


def test_show_before_and_after_fetch(data_folder: Path) -> None:
    before = run("show", "synthetic")
    assert "seq2attn data fetch synthetic" in before
    assert "samples" not in before
    result = runner.invoke(data_app, ["fetch", "synthetic"], catch_exceptions=False)
    assert result.stdout.strip() == str(data_folder / "corpora" / "synthetic")
    assert "Writing" in result.stderr
    after = run("show", "synthetic")
    assert "train: 4,000" in after
    assert "samples:" in after
    assert "Not fetched" not in after


def test_show_as_json_says_whether_the_corpus_is_fetched() -> None:
    assert json.loads(run("show", "synthetic", "--json"))["fetched"] is False
    run("fetch", "synthetic")
    card = json.loads(run("show", "synthetic", "--json"))
    assert card["fetched"] is True
    assert card["pairs"]["test"] == 500
    assert {"source", "target"} <= card["samples"][0].keys()
    assert len(card["digest"]) == 64


def test_show_says_if_a_corpus_was_not_tried() -> None:
    assert "not yet tried against the live hub" in run("show", "wmt16-de-en")


def test_the_option_overrides_the_environment(tmp_path: Path) -> None:
    assert run("fetch", "synthetic", "--data-dir", str(tmp_path / "own")).startswith(str(tmp_path / "own"))


def test_the_default_folder_is_data_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQ2ATTN_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    assert run("fetch", "synthetic").strip() == str(tmp_path / "share" / "seq2attn" / "corpora" / "synthetic")
    (tmp_path / "data").mkdir()
    assert run("fetch", "synthetic").strip() == "data/corpora/synthetic"
    assert (tmp_path / "data" / "corpora" / "synthetic" / "card.json").is_file()


def test_an_unknown_name_is_a_data_error() -> None:
    for command in ("show", "fetch"):
        result = runner.invoke(data_app, [command, "../bible-fr-en"])
        assert isinstance(result.exception, DataError)
        assert "no such corpus" in str(result.exception)


def test_asking_for_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, seq2attn.cli.data\n"
        "heavy = {'torch', 'datasets', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "140")
    data_app(["list"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "━" in printed
    assert "not yet against the live hub" in " ".join(printed.split())

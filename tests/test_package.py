"""The package as users install it: metadata, pinned versions, hosted checks, the wheel in an empty environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

import seq2attn
from tests.pages import ROOT, read

PROJECT: dict[str, Any] = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
CONSTRAINTS = ROOT / "constraints.txt"


def read_yaml(name: str) -> Any:
    return YAML(typ="safe").load(read(ROOT / name))


def test_the_constraints_pin_every_dependency_to_an_allowed_version() -> None:
    lines = [line for line in read(CONSTRAINTS).splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]
    needed = {
        requirement.name: requirement
        for requirement in wanted
        if requirement.name != "seq2attn" and (not requirement.marker or requirement.marker.evaluate())
    }
    assert sorted(pins) == sorted(needed)
    for name, version in pins.items():
        assert needed[name].specifier.contains(version), name


def test_the_citation_is_of_this_version() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == seq2attn.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_the_workflow_runs_the_checks_on_every_supported_python() -> None:
    (job,) = read_yaml(".github/workflows/test.yml")["jobs"].values()
    claimed = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert job["strategy"]["matrix"]["python-version"] == claimed
    assert {"run": "scripts/test.sh"} in job["steps"]


def test_the_hooks_are_checks_of_the_test_script() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    checks = re.findall(r'^"\$python" (-m .+)$', read(ROOT / "scripts" / "test.sh"), re.MULTILINE)
    assert [hook["entry"].removeprefix(".venv/bin/python ") for hook in repository["hooks"]] == checks


@pytest.mark.network
@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_environment_and_folder(tmp_path: Path) -> None:
    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        if "No matching distribution" in done.stderr or "Could not find a version" in done.stderr:
            pytest.skip(f"no package index answers: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    place = tmp_path / "place"
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SEQ2ATTN_DATA")}
    environment |= {"XDG_DATA_HOME": str(tmp_path / "share"), "OMP_NUM_THREADS": "1"}
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, wheel)
    run(tmp_path / "venv" / "bin" / "seq2attn", "reproduce", "--preset", "smoke", "--minutes", "0.02")
    assert (place / "results" / "smoke" / "curve.png").is_file()
    assert [path.name for path in place.iterdir()] == ["results"]
    assert (tmp_path / "share" / "seq2attn" / "corpora" / "synthetic" / "card.json").is_file()

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from seq2attn.config.load import load_config
from seq2attn.experiment import reproduce as presets
from tests.command_line import CONFIGS, PATIENCE, PROGRAM, call, tiny, wait_for

OUTPUTS = {"runs", "summary.json", "curve.csv", "curve.png", "curve.svg", "report.md", "report.html", "translations"}
MODELS = ["RNN, attention", "RNN, fixed context", "Transformer"]
SCRIPTS = CONFIGS.parent / "scripts"


def times_of_change(folder: Path) -> dict[Path, int]:
    kept = [*folder.glob("runs/*/checkpoints/*/*"), *folder.glob("runs/*/translations/*")]
    return {path: path.stat().st_mtime_ns for path in kept}


def systems(out: Path) -> list[str]:
    return [system["name"] for system in json.loads((out / "summary.json").read_text())["systems"]]


@pytest.fixture(scope="module")
def reproduced(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small experiment, three models on the synthetic corpus."""
    out = tmp_path_factory.mktemp("reproduced")
    done = call("reproduce", "--preset", "smoke", "--out", out, *tiny(data_folder))
    assert done.code == 0, done.stderr
    for name, path in (line.split(": ") for line in done.stdout.splitlines() if str(out) in line):
        assert Path(path).exists(), name
    return out


def test_the_folder_holds_every_output(reproduced: Path) -> None:
    assert {path.name for path in reproduced.iterdir()} == OUTPUTS
    assert systems(reproduced) == MODELS
    report = (reproduced / "report.md").read_text(encoding="utf-8")
    assert "curve.png" in report
    assert all(name in report for name in MODELS)
    assert f"seq2attn reproduce --preset smoke --out {reproduced}" in report
    lines = {path.name: path.read_text().count("\n") for path in (reproduced / "translations").iterdir()}
    assert set(lines.values()) == {500}
    assert len(lines) == 2 + len(MODELS)


def test_a_second_call_trains_and_translates_nothing(reproduced: Path, data_folder: Path) -> None:
    before = times_of_change(reproduced)
    (reproduced / "curve.png").unlink()
    done = call("reproduce", "--preset", "smoke", "--out", reproduced, *tiny(data_folder))
    assert done.code == 0, done.stderr
    assert times_of_change(reproduced) == before
    assert (reproduced / "curve.png").is_file()
    (verdict,) = (line for line in done.stdout.splitlines() if "bottleneck" in line)
    assert verdict in (reproduced / "report.md").read_text(encoding="utf-8")


def test_more_seeds_are_added_to_existing_ones(reproduced: Path, data_folder: Path, tmp_path: Path) -> None:
    out = shutil.copytree(reproduced, tmp_path / "out")
    before = times_of_change(out)
    words = ["reproduce", "--preset", "smoke", "--out", out, "--seeds", "2", *tiny(data_folder)]
    done = call(*words)
    assert done.code == 0, done.stderr
    assert before.items() <= times_of_change(out).items()
    first = ["rnn_attention", "rnn_fixed", "transformer"]
    assert {path.name for path in (out / "runs").iterdir()} == {*first, *(f"{name}-seed2" for name in first)}
    found = json.loads((out / "summary.json").read_text())["systems"]
    assert [system["name"] for system in found] == MODELS
    for system, name in zip(found, first, strict=True):
        assert [Path(output["run"]).name for output in system["outputs"]] == [name, f"{name}-seed2"]
        scores = [output["bleu"] for output in system["outputs"]]
        assert system["bleu"] == pytest.approx(sum(scores) / 2)
    assert load_config(out / "runs" / "transformer-seed2" / "config.yaml").train.seed == 2
    report = (out / "report.md").read_text(encoding="utf-8")
    assert "## Each seed" in report
    _, _, examples = report.partition("## Translations, short and long")
    assert ", seed 2" not in examples.partition("\n## ")[0]  # the translations shown are those of the first seed
    before = times_of_change(out)
    assert call(*words).code == 0
    assert times_of_change(out) == before


def test_a_preset_that_draws_a_confirming_split_is_scored_on_it(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("reproduce", "--preset", "smoke", "--out", out, "--set", "data.confirm=60", *tiny(data_folder))
    assert done.code == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["split"] == "confirm"
    assert sum(bucket["n"] for bucket in summary["systems"][0]["buckets"]) == 60


@pytest.mark.parametrize("other", [["--set", "train.seed=2"], ["--minutes", "1"]])
def test_another_setting_in_the_same_folder_is_refused(reproduced: Path, data_folder: Path, other: list[str]) -> None:
    before = times_of_change(reproduced)
    done = call("reproduce", "--preset", "smoke", "--out", reproduced, *tiny(data_folder), *other)
    assert done.code == 2
    assert "holds a run with other settings; choose another --out" in done.complaint
    assert times_of_change(reproduced) == before


def test_an_interrupted_experiment_resumes(reproduced: Path, data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # One model is finished; the signal arrives while the second is training.
    shutil.copytree(reproduced / "runs" / "rnn_attention", out / "runs" / "rnn_attention")
    second = out / "runs" / "rnn_fixed"
    words = ["reproduce", "--preset", "smoke", "--out", str(out), *tiny(data_folder)]
    process = subprocess.Popen([*PROGRAM, *words], stderr=subprocess.PIPE)
    wait_for(second / "config.yaml", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode in (143, -signal.SIGTERM)  # a shell reports 143 in both cases
    assert b"Traceback" not in errors
    assert not (second / "checkpoints" / "final").exists()
    before = times_of_change(out)
    done = call(*words)
    assert done.code == 0, done.stderr
    assert systems(out) == MODELS
    assert before.items() <= times_of_change(out).items()


def test_presets_are_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "seq2attn"
    shutil.copytree(CONFIGS, package / "configs")
    (package.parent / "configs" / "of-another-package").mkdir(parents=True)
    monkeypatch.setattr(presets, "_PACKAGE", package)
    assert presets.presets_folder() == package / "configs"
    assert "smoke" in presets.preset_names()


def test_presets_are_found_next_to_the_source() -> None:
    assert presets.presets_folder() == CONFIGS
    assert [path.stem for path in presets.preset_files("smoke")] == ["rnn_attention", "rnn_fixed", "transformer"]


@pytest.mark.slow
def test_the_smoke_preset_shows_what_attention_changed(data_folder: Path, tmp_path: Path) -> None:
    settings = ["--set", f"data.folder={data_folder}"]
    done = call("reproduce", "--preset", "smoke", "--out", tmp_path, *settings)
    assert done.code == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS
    attention, fixed, _ = json.loads((tmp_path / "summary.json").read_text())["systems"]
    assert attention["bleu"] > fixed["bleu"]


@pytest.mark.parametrize("script", ["reproduce.sh", "test.sh", "bench_peers.sh"])
@pytest.mark.parametrize(("version", "found"), [("Python 3.9.2", "Python 3.9.2"), (None, "nothing")])
def test_the_scripts_name_the_python_versions_they_need(
    script: str, version: str | None, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    python = tmp_path / "python"
    if version is not None:
        python.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo {version}\n")
        python.chmod(0o755)
    monkeypatch.setenv("PYTHON", str(python))
    done = subprocess.run([tmp_path / "scripts" / script], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"needs Python 3.11 or newer as {python}, found {found}" in line
    assert not (tmp_path / ".venv").exists()

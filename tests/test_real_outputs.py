"""The evaluation of translations from other projects, compared with sacreBLEU's command line.

`sacrebleu reference.txt -i SYSTEM.txt`, version 2.6.0, printed the numbers in the tables, with the given options.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2attn.evaluation.metrics import Bleu, Chrf, Metric, Ter
from seq2attn.evaluation.resampling import Bootstrap, StatisticsTable, expanded_interval
from tests.command_line import call
from tests.real_outputs import REFERENCE, fetch_outputs

pytestmark = pytest.mark.network

SYSTEMS = ("LIUM-NMT", "C-3MA", "online-B")
# -b -w 14, with --tokenize, and -m chrf, -m chrf --chrf-word-order 2, -m ter.
GOLDEN: list[tuple[Metric, tuple[str, ...]]] = [
    (Bleu("13a"), ("26.59580468309487", "22.67463503947075", "26.65104621633557")),
    (Chrf(), ("55.92837490341378", "51.95328040239268", "56.26334773903824")),
]
GOLDEN_SLOW: list[tuple[Metric, tuple[str, ...]]] = [
    (Bleu("zh"), ("26.58433961224114", "22.65745041160192", "26.63786916142125")),
    (Bleu("char"), ("62.02304446884941", "57.78951121255353", "62.57732037926327")),
    (Bleu("intl"), ("26.89351388317902", "23.09466181737169", "26.77387972065458")),
    (Bleu("none"), ("21.60976793975032", "17.72476584143154", "21.59113867190334")),
    (Chrf(word_order=2), ("53.23561915946465", "49.16975151800492", "53.54157324979975")),
    (Ter(), ("63.25213408286488", "66.88244089868076", "63.19345863380842")),
]
# Since 3.12 Python adds floats more exactly, and sacreBLEU prints other last digits there.
SINCE_PYTHON_3_12 = {
    "22.67463503947075": "22.67463503947076",
    "26.65104621633557": "26.65104621633556",
    "26.58433961224114": "26.58433961224115",
    "26.63786916142125": "26.63786916142126",
    "21.60976793975032": "21.60976793975031",
    "21.59113867190334": "21.59113867190336",
}
# --confidence: mean and half width.
CONFIDENCE = ((26.599396, 0.648289), (22.668832, 0.598070), (26.638349, 0.651627))
# --paired-ar, against LIUM-NMT.
P_VALUES = {"C-3MA": 9.999000099990002e-05, "online-B": 0.8066193380661933, "FBK": 0.18868113188681132}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    return fetch_outputs(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="module")
def files(outputs: Mapping[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each system and for the reference."""
    folder = tmp_path_factory.mktemp("wmt17")
    for name, sentences in outputs.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in sentences), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def summary(files: Path) -> dict[str, Any]:
    """The command's JSON for four systems, by the length of the reference."""
    words = [f"{files / name}.txt" for name in (*SYSTEMS, "FBK")]
    done = call(
        "score", "--reference", f"{files / REFERENCE}.txt", *words, "--length-of", "reference", "--by-length", "--json"
    )
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def printed_here(scores: tuple[str, ...]) -> tuple[str, ...]:
    """What sacreBLEU prints for the golden `scores` with this Python."""
    return tuple(SINCE_PYTHON_3_12.get(score, score) for score in scores) if sys.version_info >= (3, 12) else scores


def sacrebleu(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "sacrebleu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [*GOLDEN, *(pytest.param(*output, marks=pytest.mark.slow) for output in GOLDEN_SLOW)],
    ids=str,
)
def test_scores_are_sacrebleus_to_the_last_digit(
    metric: Metric, expected: tuple[str, ...], outputs: Mapping[str, list[str]]
) -> None:
    statistics = metric.statistics([outputs[name] for name in SYSTEMS], [outputs[REFERENCE]])
    assert tuple(f"{metric.score(output.sum(axis=0)):.14f}" for output in statistics) == printed_here(expected)


def test_the_command_prints_the_same_scores(summary: Mapping[str, Any]) -> None:
    assert tuple(f"{system['bleu']:.14f}" for system in summary["systems"][:3]) == printed_here(GOLDEN[0][1])
    assert summary["signature"].startswith("nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|")


def test_intervals_agree_with_sacrebleus_confidence(summary: Mapping[str, Any]) -> None:
    for system, (mean, half) in zip(summary["systems"], CONFIDENCE, strict=False):
        # A quantile of 1,000 resamples varies by about a tenth of the half width.
        assert system["bleu_low"] == pytest.approx(mean - half, abs=0.12 * half)
        assert system["bleu_high"] == pytest.approx(mean + half, abs=0.12 * half)


def test_p_values_agree_with_sacrebleus_randomisation(summary: Mapping[str, Any]) -> None:
    overall = [
        difference for difference in summary["differences"] if (difference["low"], difference["high"]) == (0, None)
    ]
    assert {difference["system"] for difference in overall} == set(P_VALUES)
    for difference in overall:
        expected = P_VALUES[difference["system"]]
        # Four standard errors of a proportion over 10,000 trials, on both sides.
        noise = 4 * np.sqrt(2 * expected * (1 - expected) / 10_000)
        assert difference["p_randomisation"] == pytest.approx(expected, abs=noise + 1e-9)
        assert difference["p_bootstrap"] == pytest.approx(expected, abs=0.03)


def test_each_bucket_is_sacrebleu_on_the_files_of_the_bucket(
    summary: Mapping[str, Any], outputs: Mapping[str, list[str]], tmp_path: Path
) -> None:
    lengths = [len(line.split()) for line in outputs[REFERENCE]]
    system = summary["systems"][1]
    for bucket in system["buckets"][::3]:
        chosen = [n for n, length in enumerate(lengths) if bucket["low"] <= length < (bucket["high"] or 10**9)]
        assert bucket["n"] == len(chosen)
        for name in (REFERENCE, system["name"]):
            text = "".join(f"{outputs[name][n]}\n" for n in chosen)
            (tmp_path / name).write_text(text, encoding="utf-8")
        printed = sacrebleu(tmp_path / REFERENCE, "-i", tmp_path / system["name"], "-b", "-w", "14")
        assert f"{bucket['bleu']:.14f}" == printed


@pytest.mark.slow
@pytest.mark.parametrize("n_sentences", [30, 50, 100, 300])
def test_intervals_cover_the_bleu_of_a_known_population(n_sentences: int, outputs: Mapping[str, list[str]]) -> None:
    """The 3,004 sentences of a system are the population; samples of them are scored."""
    bleu = Bleu()
    population = bleu.statistics([outputs[name] for name in SYSTEMS], [outputs[REFERENCE]])
    rng = np.random.default_rng(n_sentences)
    everything = np.full(n_sentences, True)
    covered = 0
    for sample in range(2_000):
        system = population[sample % len(SYSTEMS)]
        truth = bleu.score(system.sum(axis=0))
        table = StatisticsTable(bleu, [system[None, rng.integers(len(system), size=n_sentences)]])
        low, high = expanded_interval(Bootstrap(table, 1_000, seed=sample).scores(everything)[0], n_sentences)
        covered += low <= truth <= high
    print(f"{n_sentences} sentences: {covered / 2_000:.1%} covered")
    assert 0.93 <= covered / 2_000 <= 0.97

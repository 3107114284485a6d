"""`seq2attn.score` and its result: sacreBLEU's numbers, tables and figures, errors, and the process-wide state."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import sacrebleu

import seq2attn
from seq2attn.results.summary import Summary
from tests.command_line import PATIENCE, call, write
from tests.evaluation_samples import corrupted, random_sentences

N = 150
RNG = np.random.default_rng(11)
REFERENCES = random_sentences(RNG, N)
OTHER_REFERENCES = corrupted(RNG, REFERENCES, 0.9)
GOOD, BAD, BAD2 = (corrupted(RNG, REFERENCES, quality) for quality in (0.85, 0.6, 0.62))
QUICK: dict[str, Any] = {"n_resamples": 100, "n_trials": 100}
NASTY = '<script>alert("$x_1$")</script> & "co"'


def lines(sentences: list[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


@pytest.mark.parametrize("hypotheses", [GOOD, BAD, REFERENCES, ["nothing right here"] * N, [""] * N])
@pytest.mark.parametrize("references", [[REFERENCES], [REFERENCES, OTHER_REFERENCES]], ids=["one", "two"])
def test_scores_are_those_of_sacrebleu(hypotheses: list[str], references: list[list[str]]) -> None:
    result = seq2attn.score(hypotheses, references, metrics=["chrf", "chrf++", "ter"], **QUICK)
    assert result.metrics == ["BLEU", "chrF2", "chrF2++", "TER"]
    assert result.value() == sacrebleu.corpus_bleu(hypotheses, references, force=True).score
    assert result.value("chrf") == sacrebleu.corpus_chrf(hypotheses, references).score
    assert result.value("chrF2++") == sacrebleu.corpus_chrf(hypotheses, references, word_order=2).score
    assert result.value("ter") == sacrebleu.corpus_ter(hypotheses, references).score


def test_intervals_are_near_those_of_sacrebleu() -> None:
    theirs = sacrebleu.metrics.BLEU(references=[REFERENCES], force=True).corpus_score(GOOD, None, n_bootstrap=1000)
    ours = seq2attn.score(GOOD, REFERENCES).overall()
    assert ours.value == theirs.score
    assert ours.low is not None
    assert ours.high is not None
    assert (ours.high - ours.low) / 2 == pytest.approx(theirs._ci, rel=0.1)


def test_buckets_are_scored_by_sacrebleu_too() -> None:
    result = seq2attn.score(GOOD, REFERENCES, bins=[0, 20, 40], **QUICK)
    lengths = [len(reference.split()) for reference in REFERENCES]
    for row, (low, high) in zip(result.rows(), [(0, 20), (20, 40), (40, 1000)], strict=False):
        chosen = [place for place, length in enumerate(lengths) if low <= length < high]
        hypotheses, references = ([text[place] for place in chosen] for text in (GOOD, REFERENCES))
        assert (row.n, row.value) == (len(chosen), sacrebleu.corpus_bleu(hypotheses, [references]).score)
    assert [row.length for row in result.rows()] == ["0–19", "20–39", "40+", "all"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, sentences in {"ref": REFERENCES, "ours": GOOD, "theirs": BAD}.items():
        write(folder / f"{name}.txt", lines(sentences))
    return folder


def test_files_and_lists_give_what_the_command_gives(folder: Path) -> None:
    ours, theirs, reference = (folder / f"{name}.txt" for name in ("ours", "theirs", "ref"))
    options = ("--reference", reference, "--source", reference, "--by-length", "--metric", "chrf", "--json")
    done = call("score", ours, theirs, *options)
    expected = json.loads(done.stdout)
    from_files = seq2attn.score([ours, theirs], str(reference), reference, metrics="chrf").to_dict()
    from_lists = seq2attn.score({"ours": GOOD, "theirs": BAD}, REFERENCES, REFERENCES, metrics="chrf").to_dict()
    mixed = seq2attn.score({"ours": str(ours), "theirs": BAD}, reference, iter(REFERENCES), metrics=["BLEU", "chrF"])
    assert from_files["corpus"] == expected["corpus"] == "ref.txt"
    for result in (from_files, from_lists, mixed.to_dict()):
        for key in ("systems", "differences"):
            for found, wanted in zip(result[key], expected[key], strict=True):
                assert found | {"run": ""} == wanted | {"run": ""}
        assert result["signatures"] == expected["signatures"]


@pytest.mark.parametrize(
    ("hypotheses", "names", "systems"),
    [
        (GOOD, None, ["system"]),
        (GOOD, "ours", ["ours"]),
        (np.array(GOOD), ["ours"], ["ours"]),
        ([GOOD, BAD], None, ["system 1", "system 2"]),
        ([GOOD, BAD], ["ours", "theirs"], ["ours", "theirs"]),
        ([np.array(GOOD), tuple(BAD)], ["ours", "theirs"], ["ours", "theirs"]),
        ([BAD, BAD2, GOOD], ["bad", "bad", "good"], ["bad", "good"]),
        ({"bad": [BAD, BAD2], "good": GOOD}, None, ["bad", "good"]),
    ],
)
def test_systems_are_named(hypotheses: Any, names: Any, systems: list[str]) -> None:
    result = seq2attn.score(hypotheses, REFERENCES, names=names, by_length=False, **QUICK)
    assert result.systems == systems
    if "bad" in systems:
        seeds = [sacrebleu.corpus_bleu(output, [REFERENCES]).score for output in (BAD, BAD2)]
        assert result.overall(system="bad").value == pytest.approx(np.mean(seeds))
        assert result.overall(system="bad").std == pytest.approx(np.std(seeds, ddof=1))


def test_files_with_the_same_name_are_named_by_their_paths(tmp_path: Path) -> None:
    paths = [tmp_path / name / "out.txt" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        write(path, lines(GOOD))
    assert seq2attn.score(paths, REFERENCES, by_length=False, **QUICK).systems == [str(path) for path in paths]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((GOOD[:3], REFERENCES), {}, seq2attn.DataError, "hypotheses: 3 sentence(s) where references has 150"),
        (({"ours": GOOD[:3]}, REFERENCES), {}, seq2attn.DataError, "ours: 3 sentence(s) where references has 150"),
        ((GOOD, REFERENCES, GOOD[:2]), {}, seq2attn.DataError, "sources: 2 sentence(s) where references has 150"),
        ((GOOD, [[reference] for reference in REFERENCES]), {}, seq2attn.DataError, "list(zip(*references))"),
        (("a cat", REFERENCES), {}, seq2attn.DataError, "hypotheses: no file 'a cat'"),
        ((Path("missing.en"), REFERENCES), {}, seq2attn.DataError, "missing.en: cannot be read"),
        ((["a", 5], ["a", "b"]), {}, seq2attn.DataError, "hypotheses, sentence 2: found int; expected text"),
        ((["a", None], ["a", "b"]), {}, seq2attn.DataError, "found NoneType; expected text"),
        ((["a", "\ud800"], ["a", "b"]), {}, seq2attn.DataError, "lone surrogate"),
        ((None, REFERENCES), {}, seq2attn.DataError, "hypotheses: found NoneType; expected a list"),
        ((b"abc", REFERENCES), {}, seq2attn.DataError, "hypotheses: found bytes"),
        ((GOOD, {"a": REFERENCES}), {}, seq2attn.DataError, "references: found dict"),
        (({}, REFERENCES), {}, seq2attn.DataError, "hypotheses: there are none"),
        (
            (GOOD, REFERENCES),
            {"metrics": ["bleurt"]},
            seq2attn.ConfigError,
            "metric bleurt: expected one of bleu",
        ),
        ((GOOD, REFERENCES), {"bins": "ten"}, seq2attn.ConfigError, "bins ten: expected first lengths"),
        ((GOOD, REFERENCES), {"bins": [5, 10]}, seq2attn.ConfigError, "increasing whole numbers from 0 on"),
        ((GOOD, REFERENCES), {"bins": ["x"]}, seq2attn.ConfigError, "bins x"),
        ((GOOD, REFERENCES), {"length_of": "source"}, seq2attn.ConfigError, "length_of source: give sources"),
        ((GOOD, REFERENCES), {"length_of": "sauce"}, seq2attn.ConfigError, "length_of sauce: expected one of source"),
        (
            (GOOD, REFERENCES),
            {"length_unit": "bytes"},
            seq2attn.ConfigError,
            "length_unit bytes: expected one of",
        ),
        ((GOOD, REFERENCES), {"length_unit": "subwords"}, seq2attn.ConfigError, "lengths in subwords"),
        ((GOOD, REFERENCES), {"tokenizer": "14a"}, seq2attn.ConfigError, "tokenizer 14a: expected one of"),
        ((GOOD, REFERENCES), {"baseline": "ours"}, seq2attn.ConfigError, "ours"),
        ((GOOD, REFERENCES), {"names": ["a", "b"]}, seq2attn.ConfigError, "names: 2 for 1 system(s)"),
        (({"a": GOOD}, REFERENCES), {"names": ["a"]}, seq2attn.ConfigError, "names: the hypotheses have names"),
        ((GOOD, REFERENCES), {"n_resamples": 5}, seq2attn.ConfigError, "n_resamples 5: expected 100 or more"),
    ],
)
def test_mistakes_are_explained(arguments: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        seq2attn.score(*arguments, **{**QUICK, **options})


def test_a_request_for_missing_results_is_an_error() -> None:
    result = seq2attn.score({"ours": GOOD, "theirs": BAD}, REFERENCES, by_length=False, **QUICK)
    for mistake, message in (
        (lambda: result.overall(), "system: name one of ours, theirs"),
        (lambda: result.overall(system="their"), "system their: expected one of ours, theirs"),
        (lambda: result.table("chrf"), "metric chrf: expected one of BLEU"),
        (lambda: result.plot(), "these scores are not by length"),
    ):
        with pytest.raises(seq2attn.ConfigError, match=re.escape(message)):
            mistake()


def test_nothing_is_scored_without_sentences() -> None:
    result = seq2attn.score([], [], **QUICK)
    assert result.value() is None
    assert str(result.overall()) == "–"
    assert "all" in str(result.table())


def test_an_interval_needs_thirty_sentences() -> None:
    assert str(seq2attn.score(GOOD[:29], REFERENCES[:29], **QUICK).overall()).endswith("(n too small)")
    assert re.search(r"\(\d+\.\d–\d+\.\d\)$", str(seq2attn.score(GOOD[:30], REFERENCES[:30], **QUICK).overall()))


def test_a_dictionary_is_the_summary(tmp_path: Path) -> None:
    result = seq2attn.score({"ours": GOOD, "theirs": BAD}, REFERENCES, metrics="ter", **QUICK)
    paths = result.save(tmp_path / "result")
    assert json.loads(paths["summary"].read_text(encoding="utf-8")) == result.to_dict()
    assert Summary.from_json(paths["summary"].read_text(encoding="utf-8")) == result.summary
    assert paths["figure"].is_file()


def test_the_text_of_a_result_has_every_metric_and_signature() -> None:
    text = str(seq2attn.score({"ours": GOOD, "theirs": BAD}, REFERENCES, metrics=["chrf"], **QUICK))
    assert text.startswith("BLEU: 150 sentences\nreference words  sentences")
    assert "\n\nchrF2: 150 sentences\n" in text
    assert text.count("nrefs:1|bs:100|") == 2


def test_a_notebook_shows_table_and_curve_escaped_and_without_a_network() -> None:
    result = seq2attn.score({NASTY: GOOD, "theirs": BAD}, REFERENCES, metrics="chrf", **QUICK)
    html = result._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<table") == 2
    assert html.count('src="data:image/svg+xml;base64,') == 1
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert "<img" not in seq2attn.score(GOOD, REFERENCES, by_length=False, **QUICK)._repr_html_()


def test_the_figure_is_not_registered_with_pyplot() -> None:
    import matplotlib.figure
    import matplotlib.pyplot as plt

    result = seq2attn.score({NASTY: GOOD, "theirs": BAD}, REFERENCES, **QUICK)
    before = mpl.rcParams.copy()
    figure = result.plot()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    result._repr_html_()
    figure.axes[0].set_ylim(0, 60)
    figure.canvas.draw()
    assert mpl.rcParams.copy() == before
    assert not plt.get_fignums()


def test_curves_of_several_results_share_a_figure(tmp_path: Path) -> None:
    ours, theirs = (
        seq2attn.score(text, REFERENCES, names=name, **QUICK) for name, text in {"ours": GOOD, "theirs": BAD}.items()
    )
    saved = theirs.save(tmp_path)["summary"]
    for results in ([ours, theirs], [ours, saved], (ours, str(tmp_path))):
        texts = [text.get_text() for text in seq2attn.plot_length_curve(results).axes[0].texts]
        assert {"ours", "theirs"} <= set(texts)
    assert seq2attn.plot_length_curve(ours).axes
    assert seq2attn.plot_length_curve(saved).axes
    other = seq2attn.score(GOOD, REFERENCES, bins=[0, 20], names="other", **QUICK)
    with pytest.raises(seq2attn.DataError, match="other: not scored in the same buckets as ours"):
        seq2attn.plot_length_curve([ours, other])
    with pytest.raises(seq2attn.DataError, match="no results"):
        seq2attn.plot_length_curve([])
    with pytest.raises(seq2attn.DataError, match=r"missing\.json: cannot be read"):
        seq2attn.plot_length_curve("missing.json")


def test_the_facade_offers_its_names_and_no_others() -> None:
    assert set(seq2attn.__all__) <= set(dir(seq2attn))
    assert all(hasattr(seq2attn, name) for name in seq2attn.__all__)
    with pytest.raises(AttributeError, match="module 'seq2attn' has no attribute 'scor'"):
        _ = seq2attn.scor
    assert (Path(seq2attn.__file__).parent / "py.typed").is_file()


IN_A_PROCESS_OF_ITS_OWN = """
import os, random, signal, sys, warnings
import matplotlib as mpl, numpy as np
import seq2attn

def state():
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    numpy_state = np.random.get_state()[1].tolist(), np.geterr()
    return dict(os.environ), mpl.rcParams.copy(), signals, random.getstate(), numpy_state, warnings.filters[:]

before = state()
references = ["the cat sat on the mat", "a dog barked at it"] * 20
result = seq2attn.score({"ours": references, "theirs": references[::-1]}, references, bins=[0, 6], metrics="chrf")
result.plot(); result._repr_html_(); str(result)
seq2attn.plot_length_curve([result])
assert state() == before
assert not {"torch", "datasets", "matplotlib.pyplot"} & set(sys.modules), "loaded"
"""


def test_scoring_needs_no_torch_and_leaves_the_process_as_it_was() -> None:
    command = [sys.executable, "-W", "error", "-c", IN_A_PROCESS_OF_ITS_OWN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_type_checkers_see_the_names(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    write(
        script,
        "import seq2attn\n"
        "result = seq2attn.score(['a'], ['a'])\n"
        "reveal_type(result)\n"
        "reveal_type(seq2attn.load_run('x').translate('y'))\n"
        "seq2attn.scores\n",
    )
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert 'Revealed type is "seq2attn.api.ScoreResult"' in done.stdout
    assert 'Revealed type is "str"' in done.stdout or 'Revealed type is "builtins.str"' in done.stdout
    assert 'has no attribute "scores"' in done.stdout

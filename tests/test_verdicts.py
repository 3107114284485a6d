"""The claims about the bottleneck, from runs on joined sentences to rows and sentences that are the same everywhere."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seq2attn.cli.output import print_scores, print_verdict
from seq2attn.config.schema import JoinConfig
from seq2attn.evaluation.lengths import DEFAULT_BINS
from seq2attn.evaluation.metrics import corpus_bleu
from seq2attn.experiment import evaluate, judge
from seq2attn.experiment.evaluate import Evaluation, EvaluationSettings, evaluate_runs
from seq2attn.experiment.judge import document_numbers, judge_runs
from seq2attn.experiment.translations import SplitText, SplitTranslations
from seq2attn.plots.figure import figure_notes
from seq2attn.report.bottleneck import NOTHING_JUDGED, alone_table, bottleneck_table, lead_sentences, search_table
from seq2attn.report.content import ReportContent, report_blocks
from seq2attn.report.html import page
from seq2attn.report.markdown import to_markdown
from seq2attn.results.bottleneck import BottleneckClaim, ClaimId, Scale, Verdict
from seq2attn.results.summary import Summary
from seq2attn.runs.folder import TrainedRun
from seq2attn.training.train import train
from tests.evaluation_samples import a_summary
from tests.training_samples import FAMILIES, WORDS, make_config

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Hardly trained runs on joined sentences of five words, by folder, with the names of their models."""
    folder = tmp_path_factory.mktemp("verdicts")
    for split, count in (("train", 60), ("validation", 30), ("test", 480)):
        draw = random.Random(split)
        lines = [" ".join(draw.choices(WORDS, k=5)) for _ in range(count)]
        (folder / f"{split}.tsv").write_text("".join(f"{line}\t{line}\n" for line in lines), encoding="utf-8")
    join = JoinConfig.model_validate({"sizes": [1, 2, 3, 10, 12], "draws": 3})
    named = {}
    for name, family, seeds in (
        ("fixed", "fixed", SEEDS),
        ("transformer", "transformer", SEEDS[:1]),
        ("attention", "additive", SEEDS),
    ):
        for seed in seeds:
            config = make_config(folder, FAMILIES[family], max_steps=1, seed=seed)
            config = config.model_copy(update={"data": config.data.model_copy(update={"join": join})})
            train(config, folder / f"{name}-{seed}", "cpu", quiet=True)
            named[folder / f"{name}-{seed}"] = name
    return named


def translated(name: str, references: tuple[str, ...]) -> SplitTranslations:
    """The references with wrong words, by the fixed context more in long inputs; the same for all seeds of a model."""
    draw = random.Random(name.partition("-")[0])
    long = 0.5 if "fixed" in name else 0.06
    texts = (
        " ".join("wrong" if draw.random() < 0.04 + long * len(line.split()) / 60 else word for word in line.split())
        for line in references
    )
    return SplitTranslations(tuple(texts), cut_off=())


@pytest.fixture(scope="module")
def evaluation(runs: dict[Path, str]) -> Evaluation:
    return evaluated(runs)


def evaluated(runs: dict[Path, str], searches: bool = False) -> Evaluation:
    settings = EvaluationSettings("test", DEFAULT_BINS, "source", None, "seq2attn eval", names=runs, searches=searches)

    def by_penalty(
        run: TrainedRun, name: str, beam_size: int | None, penalties: Sequence[float | None], text: SplitText, _: object
    ) -> list[SplitTranslations]:
        """As by `translated`; with a length penalty of 0 every translation is empty."""
        good = translated(run.folder.path.name, text.references)
        return [SplitTranslations(("",) * len(good.texts), ()) if penalty == 0 else good for penalty in penalties]

    def translate(
        run: TrainedRun, name: str, beam_size: int | None, text: SplitText, progress: object
    ) -> SplitTranslations:
        return by_penalty(run, name, beam_size, [None], text, progress)[0]

    with pytest.MonkeyPatch.context() as patch:
        for module in (evaluate, judge):
            patch.setattr(module, "translations_of", translate)
        patch.setattr(judge, "translations_by_penalty", by_penalty)
        return evaluate_runs(list(runs), settings, torch.device("cpu"), lambda *_: None)


def test_runs_on_joined_sentences_are_judged_by_the_claims(evaluation: Evaluation) -> None:
    summary = evaluation.summary
    written = json.loads(summary.to_json())
    assert written["joined"] is True
    assert written["resample"] == "documents"
    assert written["relations"] == []
    keys = ["id", "scale", "system", "baseline", "estimate", "low", "high", "p", "verdict"]
    assert all(list(row) == keys for row in written["claims"])
    # The recurrent model with attention comes first, although the transformer was named before it.
    assert [(row["id"], row["scale"], row["system"], row["baseline"]) for row in written["claims"]] == [
        ("learned", None, "fixed", "attention"),
        *(("bottleneck", scale, "fixed", "attention") for scale in ("bleu", "log_bleu", "chrf")),
        *(("bottleneck", scale, "fixed", "transformer") for scale in ("bleu", "log_bleu", "chrf")),
        ("retention", None, "attention", None),
        ("retention", None, "transformer", None),
    ]
    by_claim = {(row["id"], row["scale"]): row["verdict"] for row in written["claims"][:4]}
    assert by_claim["learned", None] == "supported"
    assert by_claim["bottleneck", "log_bleu"] == "supported"
    assert Summary.from_json(summary.to_json()) == summary


def test_the_sentences_of_joined_inputs_are_also_scored_one_by_one(evaluation: Evaluation) -> None:
    rows = list(evaluation.text.corpus.splits["test"]["members"])
    first, second = (evaluation.translations[name] for name in evaluation.models["fixed"])
    assert first == second, "the seeds of a model"
    alone = [" ".join(first[rows.index([member])] for member in members) for members in rows]
    buckets = evaluation.summary.systems[0].buckets
    for bucket in buckets:
        inside = [place for place, length in enumerate(evaluation.lengths) if bucket.low <= length]
        inside = [place for place in inside if bucket.high is None or evaluation.lengths[place] < bucket.high]
        references = [evaluation.text.references[place] for place in inside]
        expected = corpus_bleu([alone[place] for place in inside], references) if inside else None
        assert bucket.alone == expected
    joined = [bucket.bleu.value for bucket in buckets if bucket.bleu is not None]
    assert buckets[-1].alone is not None
    assert buckets[-1].alone > joined[-1] + 10, "it makes more mistakes in long inputs"
    assert buckets[0].alone == pytest.approx(joined[0])
    table = alone_table(evaluation.summary)
    assert table.rows[1][0] == "fixed: one by one"
    assert table.rows[1][-1] == f"{buckets[-1].alone:.1f}"
    assert "The same sentences one by one" in to_markdown(report_blocks(ReportContent(evaluation.summary), "x.png"))
    # A wide and a narrow chart, with a line on either side of the empty buckets from 20 to 49 words.
    assert page(ReportContent(evaluation.summary)).count('class="dashed"') == 2 * 2 * len(evaluation.models)
    assert "dashed: the same sentences one by one" in figure_notes(evaluation.summary)


def test_other_searches_are_judged_too(evaluation: Evaluation) -> None:
    text = evaluation.text
    searches = {"greedy": {name: [""] * len(text.references) for name in evaluation.runs}}
    rows = judge_runs(
        evaluation.runs, evaluation.models, text, document_numbers(text), evaluation.translations, searches
    )
    assert {row.id for row in rows} == {"learned", "bottleneck", "retention", "not_search_alone"}
    greedy = [row for row in rows if row.id == "not_search_alone"]
    assert [row.system for row in greedy] == ["fixed, greedy"] * 6
    assert {row.estimate for row in greedy if row.scale == "log_bleu"} == {None}, "no logarithm of 0"


def test_every_search_gets_a_row_and_all_of_them_a_sentence(
    runs: dict[Path, str], evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = evaluated(runs, searches=True).summary
    alike = [row for row in summary.bottleneck if row.id != "not_search_alone"]
    assert [replace(row, p=None) for row in alike] == [replace(row, p=None) for row in evaluation.summary.bottleneck]
    rows = search_table(summary).rows
    names = ("greedy search", "length penalty 0", "length penalty 0.6", "length penalty 1")
    assert [row[:2] for row in rows] == [
        (f"fixed, {name}", baseline) for name in names for baseline in ("attention", "transformer")
    ]
    own = [row[3] for row in bottleneck_table(summary).rows if row[0] == "bottleneck"]
    assert [*rows[0][2:5], *rows[1][2:5]] == own, "greedy translations are the same as those of the own search"
    assert {row[-1] for row in rows[2:4]} == {"inconclusive"}, "nothing is left of empty translations"
    assert lead_sentences(summary)[-1] == (
        "Inconclusive: the bottleneck is not one of the search alone; it is inconclusive with length penalty 0."
    )
    markdown = to_markdown(report_blocks(ReportContent(summary), "x.png"))
    print_scores(summary)
    shown = capsys.readouterr().out
    assert "length penalty 0.6" in markdown
    assert "length penalty 0.6" in shown
    assert "length penalty 0.6" not in str(bottleneck_table(summary))


def test_without_a_fixed_context_nothing_is_judged(evaluation: Evaluation) -> None:
    text = evaluation.text
    models = {name: members for name, members in evaluation.models.items() if name != "fixed"}
    assert judge_runs(evaluation.runs, models, text, document_numbers(text), evaluation.translations) == ()


def test_report_page_and_terminal_say_the_same(evaluation: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    summary = evaluation.summary
    sentences, table = lead_sentences(summary), bottleneck_table(summary)
    markdown = to_markdown(report_blocks(ReportContent(summary), "x.png"))
    html = page(ReportContent(summary)).replace("\N{NO-BREAK SPACE}", " ").replace("&#43;", "+")
    print_scores(summary)
    print_verdict(summary)
    terminal = capsys.readouterr().out
    for sentence in sentences:
        assert sentence in markdown
        assert sentence in html
    for sentence in sentences[1:]:
        assert sentence in terminal
    for row in table.rows:
        for cell in row:
            assert cell in markdown
            assert cell in html
            assert cell in terminal


def row(
    claim: ClaimId, scale: Scale | None, verdict: Verdict, estimate: float, p: float | None = None, search: str = ""
) -> BottleneckClaim:
    baseline = None if claim == "retention" else "attention"
    system = "attention" if claim == "retention" else f"fixed{search}"
    return BottleneckClaim(claim, scale, system, baseline, estimate, estimate - 0.04, estimate + 0.04, p, verdict)


def said(learned: Verdict, bottleneck: Verdict, retention: Verdict, search: Verdict = "supported") -> list[str]:
    """The sentences where the last of three scales has the verdict `bottleneck`."""
    supported: Verdict = "supported" if learned == "supported" else "inconclusive"
    scales: tuple[tuple[Scale, Verdict], ...] = (("bleu", supported), ("log_bleu", supported), ("chrf", bottleneck))
    rows = [row("learned", None, learned, 0.71 if learned == "not_supported" else 0.85)]
    rows += [row("bottleneck", scale, verdict, 9.3, 0.0003) for scale, verdict in scales]
    rows.append(row("retention", None, retention, 0.88))
    rows += [row("not_search_alone", scale, search, 9.3, 0.0003, ", greedy") for scale, _ in scales]
    return list(lead_sentences(replace(a_summary(), joined=True, bottleneck=tuple(rows))))[1:]


def test_what_is_supported_is_said_in_a_sentence_each() -> None:
    assert said("supported", "supported", "supported") == [
        "Supported: fixed has learned short sentences: it reaches 85 % (81 to 89 %) of the BLEU of attention at 0–9 "
        "words.",
        "Supported: fixed loses more than attention from 0–9 to 50–59 words on all three scales.",
        "Supported: of its BLEU from 10–19 to 50–59 words, attention keeps 88 % (84 to 92 %); 85 % are needed.",
        "Supported: the bottleneck is not one of the search alone; it also shows with greedy.",
    ]


@pytest.mark.parametrize(
    ("verdicts", "place", "expected"),
    [
        (
            ("not_supported", "inconclusive", "supported"),
            0,
            "Not supported: fixed has not learned short sentences: it ",
        ),
        (
            ("inconclusive", "inconclusive", "supported"),
            0,
            "Inconclusive: fixed may not have learned short sentences: ",
        ),
        (
            ("not_supported", "inconclusive", "supported"),
            1,
            "Inconclusive: the baseline has not learned short sentences (71 % of the BLEU of attention; 80 % are neede",
        ),
        (("inconclusive", "inconclusive", "supported"), 1, "Inconclusive: the baseline may not have learned short sen"),
        (
            ("supported", "inconclusive", "supported"),
            1,
            "Inconclusive: whether fixed loses more than attention from 0–9 to 50–59 words; not significant in chrF "
            "against attention (the threshold is 0.01).",
        ),
        (
            ("supported", "not_supported", "supported"),
            1,
            "Not supported: fixed loses more than attention from 0–9 to 50",
        ),
        (
            ("supported", "supported", "not_supported"),
            2,
            "Not supported: of its BLEU from 10–19 to 50–59 words, attent",
        ),
        (
            ("supported", "supported", "inconclusive"),
            2,
            "Inconclusive: of its BLEU from 10–19 to 50–59 words, attention",
        ),
        (
            ("supported", "supported", "supported", "not_supported"),
            3,
            "Not supported: the bottleneck is not one of the search alone; it does not show with greedy.",
        ),
        (
            ("supported", "supported", "supported", "inconclusive"),
            3,
            "Inconclusive: the bottleneck is not one of the search alone; it is inconclusive with greedy.",
        ),
    ],
)
def test_every_verdict_has_its_sentence(verdicts: tuple[Verdict, ...], place: int, expected: str) -> None:
    assert said(*verdicts)[place].startswith(expected)


def test_where_nothing_can_be_judged_the_report_says_so() -> None:
    summary = replace(a_summary(), joined=True)
    assert lead_sentences(summary)[1:] == (NOTHING_JUDGED,)
    assert NOTHING_JUDGED in to_markdown(report_blocks(ReportContent(summary), "x.png"))
    assert NOTHING_JUDGED in page(ReportContent(summary))
    assert "claims" not in json.loads(summary.to_json())
    assert Summary.from_json(summary.to_json()) == summary


def test_undefined_numbers_are_dashes() -> None:
    undefined = replace(row("bottleneck", "log_bleu", "inconclusive", 1.0, 1.0), estimate=None, low=None, high=None)
    learned = row("learned", None, "supported", 0.9)
    summary = replace(a_summary(), joined=True, bottleneck=(learned, undefined))
    assert bottleneck_table(summary).rows[1][3] == "– (– to –)"
    assert Summary.from_json(summary.to_json()) == summary

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.score import Bucket, Score
from seq2attn.evaluation.slope import Slope
from seq2attn.report.bottleneck import bottleneck_table, lead_sentences, search_table
from seq2attn.report.content import Example, ReportContent, ReportDetails, report_blocks
from seq2attn.report.markdown import Code, Heading, Paragraph, Picture, Table, to_markdown
from seq2attn.report.outputs import write_report
from seq2attn.report.tables import claims_table, score_table
from seq2attn.report.wording import three_sentences
from seq2attn.results.claims import Claim
from seq2attn.results.summary import Output, Summary
from tests.evaluation_samples import ATTENTION, FIXED, RETENTION, SHARE_FALL, a_summary, with_std

DETAILS = ReportDetails(
    card={"licence": "public domain"},
    counts={"train": {"read": 28000, "kept": 27000, "too long": 3}, "test": {"read": 3100, "kept": 3090}},
    examples=[Example(2, "Jésus pleura.", "Jesus was weeping.", {"rnn_fixed": "a | *b* <c>", "rnn_attention": "x"})],
)


def test_the_report_describes_measurements_and_how_to_reproduce_them(tmp_path: Path) -> None:
    summary = a_summary(claims=(RETENTION, SHARE_FALL))
    path = write_report(ReportContent(summary, DETAILS), tmp_path / "figures" / "curve.png", tmp_path / "out")
    assert path == tmp_path / "out" / "report.md"
    text = path.read_text(encoding="utf-8")
    for expected in (
        "# BLEU over source length: bible-fr-en, test",
        "](<../figures/curve.png>)",
        "2 systems translated the same 3,150 sentences of the split test of bible-fr-en.",
        "Measured on: 2 CPU cores, 8 GB.",
        "| 20–29 | 905 | 9.0 (8.0–10.0) | 19.5 (18.5–20.5) |",
        "| supported | 62 % → 21 % (−41 points) | −45 to −36 points | 0.0001 |",
        "| supported | 91.0 % (19.8 → 18.0 BLEU) | 86 to 96 % | – |",
        "| rnn\\_fixed | rnn | none | 4,100,000 | any length | 18.5 | 5,400 | 8,100,000 | 2 CPU cores | 2.310 | 15.2 |",
        "| test | 3,100 | 3,090 | – |",
        "| licence | public domain |",
        "| rnn\\_fixed | a \\| \\*b\\* \\<c\\> |",
        "```\nseq2attn reproduce --preset quick\n```",
        "nrefs:1\\|tok:13a",
    ):
        assert expected in text


def test_missing_content_is_left_out() -> None:
    titles = [block.text for block in report_blocks(ReportContent(a_summary()), "x.png") if isinstance(block, Heading)]
    assert titles == [
        "BLEU over source length: bible-fr-en, test",
        "BLEU by length",
        "How to read it",
        "How it was measured",
        "Scores",
        "Length of the translations",
        "Systems",
        "How to reproduce it",
    ]


def test_unknown_training_cost_and_caps_are_marked() -> None:
    summary = a_summary(replace(FIXED, training=None, max_source_words=30))
    tables = [block for block in report_blocks(ReportContent(summary), "x.png") if isinstance(block, Table)]
    (systems,) = (table for table in tables if table.header[:2] == ("system", "kind"))
    assert systems.rows == (("rnn_fixed", "rnn", "none", "4,100,000", "30 words", *["–"] * 6),)


VAGUE = replace(RETENTION, first=2.2, second=2.4, value=1.07, low=0.70, high=1.91, found=None)
LEVEL_SHARE = replace(SHARE_FALL, second=0.6, value=-0.02, low=-0.1, high=0.05, p_value=0.31, found=False)


@pytest.mark.parametrize(
    ("summary", "says", "denies"),
    [
        (
            a_summary(claims=[SHARE_FALL]),
            "The figure shows this bottleneck: rnn_fixed reaches 62 % of the BLEU of rnn_attention on sentences of up "
            "to 20 words and 21 % on those of 40 words or more (paired bootstrap, p = 0.0001).",
            "not",
        ),
        (
            a_summary(claims=[LEVEL_SHARE]),
            "The figure does not show this bottleneck: rnn_fixed reaches 62 % of the BLEU of rnn_attention on "
            "sentences of up to 20 words and 60 % on those of 40 words or more (paired bootstrap, p = 0.3100; the ",
            "The figure shows",
        ),
        (a_summary(ATTENTION), "This figure has no model without attention", "shows this"),
        (a_summary(FIXED), "This figure has no model with attention", "shows this"),
        (a_summary(), "Whether the figure shows this bottleneck could not be measured", "The figure shows"),
    ],
)
def test_the_sentence_on_the_bottleneck_follows_the_numbers(summary: Summary, says: str, denies: str) -> None:
    sentence = three_sentences(summary)[1]
    assert sentence.startswith(says)
    assert denies not in sentence


def test_the_sentence_on_the_bottleneck_is_about_the_models_with_the_highest_cap() -> None:
    short = [replace(system, name=f"{system.name}_30", max_source_words=30) for system in (FIXED, ATTENTION)]
    claims = [replace(LEVEL_SHARE, system="rnn_fixed_30", against="rnn_attention_30"), SHARE_FALL]
    sentence = three_sentences(a_summary(*short, FIXED, ATTENTION, claims=claims))[1]
    assert sentence.startswith("The figure shows this bottleneck: rnn_fixed reaches")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (
            [RETENTION],
            "BLEU at 40 words or more, as a percentage of BLEU at 10–19 words: rnn_attention 91 % (86 to 96 %).",
        ),
        (
            [RETENTION, replace(RETENTION, system="transformer", value=0.7, low=0.65, high=0.75, found=False)],
            "rnn_attention 91 % (86 to 96 %) and transformer only 70 % (65 to 75 %).",
        ),
        ([VAGUE], "rnn_attention 107 % (70 to 191 %, inconclusive)."),
        ([], "could not be measured"),
    ],
)
def test_the_sentence_on_retention_follows_the_numbers(claims: list[Claim], expected: str) -> None:
    assert expected in three_sentences(a_summary(claims=claims))[2]


def test_a_claim_that_the_scores_neither_support_nor_refute_is_inconclusive() -> None:
    text = to_markdown(report_blocks(ReportContent(a_summary(claims=[VAGUE])), "x.png"))
    assert "| inconclusive | 107.0 % (2.2 → 2.4 BLEU) | 70 to 191 % |" in text
    assert "less than 5 BLEU at 10–19 words, or where the interval contains 85 % and is wider than 30 points" in text
    assert "inconclusive" not in to_markdown(report_blocks(ReportContent(a_summary(claims=[RETENTION])), "x.png"))


PUBLISHED = sorted((Path(__file__).parent.parent / "docs" / "results").glob("*/summary.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_the_verdicts_of_published_results_do_not_change(path: Path) -> None:
    summary = Summary.from_json(path.read_text(encoding="utf-8"), str(path))
    published = path.with_name("report.md").read_text(encoding="utf-8")
    sentences = lead_sentences(summary) if summary.joined else three_sentences(summary)
    tables = [bottleneck_table(summary), search_table(summary)] if summary.joined else [claims_table(summary)]
    claims = summary.bottleneck if summary.joined else summary.claims
    assert bool(claims) != ("No claim about the bottleneck can be judged" in published)
    for block in (Paragraph(" ".join(sentences)), *(tables if claims else ()), score_table(summary)):
        assert to_markdown([block]) in published


def test_sentences_count_what_the_buckets_count() -> None:
    summary = replace(a_summary(claims=[SHARE_FALL, RETENTION]), length_unit="characters")
    assert all("characters" in sentence and "words" not in sentence for sentence in three_sentences(summary)[1:])


def test_text_is_escaped_for_markdown() -> None:
    blocks = [
        Heading("a_b", 2),
        Paragraph("one\ntwo <b> &amp; [x](y) `z`"),
        Picture("my figure.png", "a [b]"),
        Table(("n", "x"), (("a|b", "1"),)),
        Code("echo ```"),
    ]
    assert to_markdown(blocks).split("\n\n") == [
        "## a\\_b",
        "one two \\<b\\> \\&amp; \\[x\\](y) \\`z\\`",
        "![a \\[b\\]](<my figure.png>)",
        "| n | x |\n| :-- | --: |\n| a\\|b | 1 |",
        "````\necho ```\n````\n",
    ]


def test_slopes_and_differences_have_intervals_and_p_values() -> None:
    slope = Slope(2.1, 1.8, 2.4, 0.121, 0.10, 0.14)
    fixed = replace(FIXED, slope=slope)
    difference = Difference(
        *("BLEU", "rnn_attention", "rnn_fixed", 10, 20, 640),
        value=7.6,
        value_low=6.9,
        value_high=8.2,
        p_bootstrap=0.0001,
        p_randomisation=None,
        p_bootstrap_corrected=0.0007,
        p_randomisation_corrected=None,
    )
    summary = replace(a_summary(fixed, ATTENTION), differences=(difference,))
    text = to_markdown(report_blocks(ReportContent(summary), "x.png"))
    assert "| rnn\\_fixed | +2.1 (+1.8 to +2.4) | +12.1 % (+10.0 % to +14.0 %) |" in text
    assert "| rnn\\_attention | – | – |" in text
    assert "## Difference from rnn\\_fixed" in text
    assert "| rnn\\_attention | 10–19 | 640 | +7.6 (+6.9 to +8.2) | – | 0.0007 |" in text


def test_each_seed_has_its_own_score() -> None:
    of_two = replace(with_std(ATTENTION, 0.42), outputs=(Output("runs/one", 14.7), Output("runs/two", 15.3)))
    text = to_markdown(report_blocks(ReportContent(a_summary(FIXED, of_two)), "x.png"))
    assert "| system | 1 | 2 | mean |" in text
    assert "| rnn\\_attention | 14.7 | 15.3 | 15.0 (14.2–15.8) ±0.4 |" in text
    assert "| all | 3,150 | 15.0 (14.2–15.8) | 15.0 (14.2–15.8) ±0.4 |" in text
    assert "| rnn\\_attention (the first of 2) | rnn |" in text
    assert "Each seed" not in to_markdown(report_blocks(ReportContent(a_summary(FIXED)), "x.png"))


def test_further_metrics_have_their_own_tables_and_signatures() -> None:
    def scored(bucket: Bucket, value: float, low: float | None, high: float | None) -> Bucket:
        ter = Score(value, low, high, bucket.n, lower_is_better=True)
        return replace(bucket, scores={**bucket.scores, "TER": ter})

    *most, last = FIXED.buckets
    buckets = (*(scored(bucket, 61.0, 60.0, 62.5) for bucket in most), scored(last, 70.0, None, None))
    fixed = replace(FIXED, overall=scored(FIXED.overall, 63.25, 62.0, 64.0), buckets=buckets)
    summary = replace(a_summary(fixed), signatures={"TER": "nrefs:1|tok:tercom"})
    text = to_markdown(report_blocks(ReportContent(summary), "x.png"))
    assert "## TER, lower is better" in text
    assert "| 60+ | 88 | 70.0 (n too small) |" in text
    assert "| all | 3,150 | 63.2 (62.0–64.0) |" in text
    assert "| TER, sacreBLEU's signature | nrefs:1\\|tok:tercom |" in text

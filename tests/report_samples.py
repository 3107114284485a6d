"""Generated content of a report's page, in scripts of both directions."""

from __future__ import annotations

from dataclasses import replace

from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.score import Bucket
from seq2attn.evaluation.slope import Slope, SmoothedPoint
from seq2attn.report.content import Example, ReportContent, ReportDetails, RunRecord
from seq2attn.results.summary import Summary
from tests.attention_samples import ARABIC, CHINESE, ENGLISH, FRENCH, an_exploration
from tests.evaluation_samples import ATTENTION, FIXED, RETENTION, SHARE_FALL, a_bucket, a_summary

SYSTEMS = ("rnn_fixed", "rnn_attention")
EMPTY = Bucket(30, 40, 0, {})
FEW = a_bucket(60, None, 9, 2.5, length_ratio=0.71)


def a_summary_with_everything() -> Summary:
    """Smoothed curves, slopes, an empty bucket, a bucket with few sentences, claims and a difference."""
    smoothed = tuple(SmoothedPoint(length, 100, 20.0 - length / 5) for length in range(5, 60))
    systems = [
        replace(
            system,
            overall=replace(system.overall, n=2311),
            buckets=(*system.buckets[:3], EMPTY, *system.buckets[4:6], FEW),
            smoothed=smoothed,
            slope=Slope(2.1, 1.8, 2.4, 0.121, 0.10, 0.14),
        )
        for system in (FIXED, ATTENTION)
    ]
    p_values = {"p_bootstrap": 0.0001, "p_randomisation": 0.0001}
    difference = Difference(
        *("BLEU", "rnn_attention", "rnn_fixed", 10, 20, 640),
        value=7.6,
        value_low=6.9,
        value_high=8.2,
        **p_values,
        p_bootstrap_corrected=0.0007,
        p_randomisation_corrected=0.0007,
    )
    summary = a_summary(*systems, claims=[SHARE_FALL, replace(RETENTION, found=False)])
    return replace(summary, differences=(difference,), signatures={"chrF": "nrefs:1|nc:6"})


def a_run(name: str, attention: str) -> RunRecord:
    """A run of 1,000 updates, validated twice, with the settings that distinguish it."""
    settings = {
        "name": name,
        "data.corpus": "bible-fr-en",
        "model.kind": "rnn",
        "model.attention": attention,
        "train.seed": 1,
    }
    training = [{"step": step, "perplexity/train": 4000 / step} for step in range(50, 1001, 50)]
    validation = [
        {"step": step, "perplexity/validation": 6000 / step, "bleu/validation": step / 100} for step in (500, 1000)
    ]
    return RunRecord(name, name, settings, [*training, *validation], {"weights": f"w-{name}", "subwords": "s"})


def a_content() -> ReportContent:
    """All content, with sentences in French, English, Arabic and Chinese."""
    outputs = ("And God made the sky.", "في البدء خلق الله السماء.", "起初神创造了天。")
    references = ("And God made heaven.", "في البدء خلق الله السماوات والأرض.", "起初,神创造天地。")
    examples = [
        Example(length, source, reference, dict.fromkeys(SYSTEMS, output))
        for length, source, reference, output in zip(
            (5, 7, 44), ("Et Dieu fit le ciel.", *references[1:]), references, outputs, strict=True
        )
    ]
    return ReportContent(
        summary=a_summary_with_everything(),
        details=ReportDetails({"licence": "public domain"}, {"test": {"read": 3100, "kept": 3090}}, examples),
        runs=[a_run("rnn_fixed", "none"), a_run("rnn_attention", "additive")],
        explorations=[an_exploration(FRENCH, ENGLISH), an_exploration(CHINESE, ARABIC)],
        source_language="fr",
        target_language="ar",
        corpus_digest="c0ffee",
    )

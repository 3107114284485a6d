"""The report: what was measured, what it shows, and how to make it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.evaluation.summary import Summary, System
from seq2attn.report.markdown import Block, Code, Heading, Paragraph, Picture, Table, to_markdown
from seq2attn.report.tables import (
    difference_table,
    length_ratio_table,
    metric_title,
    score_table,
    seeds_table,
    slope_table,
)
from seq2attn.report.wording import (
    claim_interval_text,
    claim_text,
    measured_text,
    p_value_text,
    three_sentences,
    verdict,
    why_untold,
)


@dataclass(frozen=True)
class Example:
    """One test sentence with what each system, by name, made of it."""

    length: int
    source: str
    reference: str
    translations: Mapping[str, str]


@dataclass(frozen=True)
class ReportDetails:
    """What a report tells beside the scores; what is not given is left out."""

    card: Mapping[str, str] = field(default_factory=dict)
    """Where the corpus comes from: licence, citation and so on, by name."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pairs read, kept and dropped, by split and then by name."""
    examples: Sequence[Example] = ()
    """Translations to look at."""


def write_report(summary: Summary, figure: Path, folder: Path, details: ReportDetails) -> Path:
    """`report.md` in `folder`, which shows the picture at `figure`; its path."""
    address = Path(os.path.relpath(figure, folder)).as_posix()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.md"
    path.write_text(to_markdown(report_blocks(summary, address, details)), encoding="utf-8")
    return path


def report_blocks(summary: Summary, figure_address: str, details: ReportDetails) -> list[Block]:
    """The report's content, in order, without any markup."""
    return [
        Heading(f"BLEU over {summary.length_of} length: {summary.text_name}", 1),
        Paragraph(" ".join(three_sentences(summary))),
        Picture(figure_address, _description(summary)),
        *measurement_blocks(summary),
        *_scores(summary),
        *seeds_blocks(summary),
        *slopes_blocks(summary),
        *claims_blocks(summary),
        *differences_blocks(summary),
        *systems_blocks(summary),
        *corpus_blocks(details),
        *_examples(details.examples, summary),
        Heading("Make it again", 2),
        Code(summary.command),
        Paragraph(f"SacreBLEU's signature of every BLEU: {summary.signature}"),
        *(Paragraph(f"Of {metric}: {signature}") for metric, signature in summary.signatures.items()),
    ]


def _description(summary: Summary) -> str:
    names = ", ".join(system.name for system in summary.systems)
    return f"BLEU over {summary.length_of} length on {summary.text_name}: {names}"


def measurement_blocks(summary: Summary) -> list[Block]:
    """What was measured, and how intervals are made."""
    return [
        Heading("What was measured", 2),
        Paragraph(
            f"{_systems_count(summary)} translated the same {summary.systems[0].overall.n:,} sentences of the split "
            f"{summary.split} of {summary.corpus}. Measured on: {summary.machine}."
        ),
        Paragraph(
            f"Sentences are grouped by the length of the raw {summary.length_of} in {summary.length_unit}. Each point "
            f"is the corpus BLEU of a group, never a mean over sentences; intervals hold 95 % of {N_RESAMPLES:,} "
            f"bootstrap resamples. A group of fewer than {FEW_SENTENCES} sentences is drawn hollow and has no interval."
        ),
    ]


def _systems_count(summary: Summary) -> str:
    return "One system" if len(summary.systems) == 1 else f"{len(summary.systems)} systems"


def _scores(summary: Summary) -> list[Block]:
    return [
        Heading(f"BLEU by {summary.length_of} length", 2),
        score_table(summary),
        Heading("Length of the translations", 2),
        Paragraph(
            "Tokens in the translations divided by those in the references. Below 1, part of a low BLEU is the brevity "
            "penalty: the system stops too early."
        ),
        length_ratio_table(summary),
        *(
            block
            for metric in summary.metrics[1:]
            for block in (Heading(metric_title(summary, metric), 2), score_table(summary, metric))
        ),
    ]


def seeds_blocks(summary: Summary) -> list[Block]:
    """BLEU of each output where systems have several, and what that does to all the rest."""
    if not any(system.outputs for system in summary.systems):
        return []
    return [
        Heading("Each seed by itself", 2),
        seeds_table(summary),
        Paragraph(
            "These systems have several outputs, as a rule those of several seeds. Their scores are means, ± is the "
            "standard deviation over the outputs, and intervals and p-values allow for training again with other "
            "seeds: the mean of so few lies around that of all as Student's t says. Translations, attention and what "
            "training cost are shown of the first alone."
        ),
    ]


def slopes_blocks(summary: Summary) -> list[Block]:
    """BLEU lost as sentences grow, with what that means."""
    if not any(system.slope for system in summary.systems):
        return []
    return [
        Heading("BLEU lost as sentences grow", 2),
        slope_table(summary),
        Paragraph(
            "The falling slope of the straight line through the groups' BLEU at the mean length of their sentences, by "
            f"least squares weighted by their number; groups of fewer than {FEW_SENTENCES} are left out."
        ),
    ]


def differences_blocks(summary: Summary) -> list[Block]:
    """Every system against the baseline, with the tests."""
    if not summary.differences:
        return []
    metrics = dict.fromkeys(one.metric for one in summary.differences)
    return [
        Heading(f"Each system against {summary.differences[0].baseline}", 2),
        *(difference_table(summary, metric) for metric in metrics),
        Paragraph(
            f"Intervals by paired bootstrap; p-values, two-sided, by approximate randomisation and by paired bootstrap "
            f"with {N_PAIRED_RESAMPLES:,} trials each, corrected for the number of rows (Holm)."
        ),
    ]


def claims_blocks(summary: Summary) -> list[Block]:
    """What was expected, and whether it was found."""
    if not summary.claims:
        return []
    rows = tuple(
        (
            claim_text(claim, summary.length_unit),
            verdict(claim),
            measured_text(claim),
            claim_interval_text(claim),
            p_value_text(claim.p_value),
        )
        for claim in summary.claims
    )
    return [
        Heading("What was expected, and whether it was found", 2),
        Table(("claim", "verdict", "measured", "95 % interval", "p"), rows, numeric=False),
        Paragraph(
            f"Intervals and p-values by paired bootstrap with {N_PAIRED_RESAMPLES:,} resamples (Koehn 2004): both "
            "systems are scored on the same resamples, and p is the share of resamples, with one added, in which the "
            "claim does not hold."
        ),
        *([Paragraph(why)] if (why := why_untold(summary)) else []),
    ]


def systems_blocks(summary: Summary) -> list[Block]:
    """The systems and what their training cost."""
    header = ("system", "kind", "attention", "parameters", "trained up to", *_TRAINING_COLUMNS)
    rows = tuple(_system_row(system) for system in summary.systems)
    return [Heading("The systems and what they cost", 2), Table(header, rows, numeric=False)]


_TRAINING_COLUMNS = ("minutes", "updates", "target tokens", "device", "validation loss", "validation BLEU")


def _system_row(system: System) -> tuple[str, ...]:
    cap = "any length" if system.max_source_words is None else f"{system.max_source_words} words"
    parameters = "–" if system.parameters is None else f"{system.parameters:,}"
    name = f"{system.name} (the first of {len(system.outputs)})" if system.outputs else system.name
    return (name, system.kind or "–", system.attention or "–", parameters, cap, *_training_cells(system))


def _training_cells(system: System) -> tuple[str, ...]:
    training = system.training
    if training is None:
        return ("–",) * len(_TRAINING_COLUMNS)
    return (
        f"{training.minutes:.1f}",
        f"{training.steps:,}",
        f"{training.target_tokens:,}",
        training.device,
        "–" if training.validation_loss is None else f"{training.validation_loss:.3f}",
        "–" if training.validation_bleu is None else f"{training.validation_bleu:.1f}",
    )


def corpus_blocks(details: ReportDetails) -> list[Block]:
    """Where the text comes from, and how many pairs were kept."""
    blocks: list[Block] = []
    if details.card:
        blocks.append(Table(("corpus", ""), tuple(details.card.items()), numeric=False))
    if details.counts:
        names = tuple(dict.fromkeys(name for counts in details.counts.values() for name in counts))
        rows = tuple(
            (split, *(f"{counts[name]:,}" if name in counts else "–" for name in names))
            for split, counts in details.counts.items()
        )
        blocks.append(Table(("split", *names), rows))
    return [Heading("The corpus", 2), *blocks] if blocks else []


def _examples(examples: Sequence[Example], summary: Summary) -> list[Block]:
    if not examples:
        return []
    blocks: list[Block] = [Heading("Translations, short and long", 2)]
    for example in examples:
        rows = (
            ("source", example.source),
            ("reference", example.reference),
            *example.translations.items(),
        )
        blocks.append(Table((f"{example.length} {summary.length_unit}", ""), rows, numeric=False))
    return blocks

"""The report: its sections and sentences, once, for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seq2attn.attention.maps import Exploration
from seq2attn.config.settings import ABSENT, differing_settings
from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.evaluation.summary import Summary
from seq2attn.report.markdown import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from seq2attn.report.tables import (
    claims_table,
    corpus_tables,
    difference_table,
    length_ratio_table,
    metric_title,
    score_table,
    seeds_table,
    slope_table,
    systems_table,
)
from seq2attn.report.wording import HOW_TO_READ, LENGTH_RATIO, SEEDS, TRAINING, three_sentences, why_untold


@dataclass(frozen=True)
class Example:
    """One test sentence with what each system, by name, made of it."""

    length: int
    source: str
    reference: str
    translations: Mapping[str, str]


@dataclass(frozen=True)
class ReportDetails:
    """The text behind the scores; what is not given is left out."""

    card: Mapping[str, str] = field(default_factory=dict)
    """Where the corpus comes from: licence, citation and so on, by name."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pairs read, kept and dropped, by split and then by name."""
    examples: Sequence[Example] = ()
    """Translations to look at."""


@dataclass(frozen=True)
class RunRecord:
    """What one run left in its folder."""

    name: str
    system: str
    """The system that it is an output of."""
    settings: Mapping[str, object]
    """Every setting by its dotted key."""
    metrics: Sequence[Mapping[str, float]]
    """The lines of `metrics.jsonl`."""
    digests: Mapping[str, str]
    """SHA-256 of what it translates with, by what that is."""


@dataclass(frozen=True)
class ReportContent:
    """Everything in the report; what is not given is left out."""

    summary: Summary
    details: ReportDetails = field(default_factory=ReportDetails)
    runs: Sequence[RunRecord] = ()
    explorations: Sequence[Exploration] = ()
    source_language: str = ""
    target_language: str = ""
    corpus_digest: str = ""
    """SHA-256 of the text."""


@dataclass(frozen=True)
class Drawing:
    """What the page draws under this name, to be pointed at; elsewhere `blocks` stand for it."""

    name: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the report under its own heading."""

    name: str
    """Its address on the page."""
    title: str
    blocks: tuple[Block | Drawing, ...]
    parts: tuple[Section, ...] = ()
    """Sections within it."""
    folded: bool = False
    """Whether the page shows it only when asked."""


def report_title(summary: Summary) -> str:
    """The title of the report."""
    return f"BLEU over {summary.length_of} length: {summary.text_name}"


def report_blocks(content: ReportContent, figure_address: str) -> list[Block]:
    """The report as one document with the picture at `figure_address`, in order, without any markup."""
    title = Heading(report_title(content.summary), 1)
    lead = Paragraph(" ".join(three_sentences(content.summary)))
    sections = report_sections(content, figure_address)
    return [title, lead, *(block for section in sections for block in _flattened(section, 2))]


def _flattened(section: Section, level: int) -> Iterator[Block]:
    """The section's blocks under its heading; nothing where it has only what the page alone can draw."""
    if not all(block.blocks for block in section.blocks if isinstance(block, Drawing)):
        return
    yield Heading(section.title, level)
    for block in section.blocks:
        yield from block.blocks if isinstance(block, Drawing) else (block,)
    for part in section.parts:
        yield from _flattened(part, level + 1)


def report_sections(content: ReportContent, figure_address: str = "") -> list[Section]:
    """The sections of the report, in order; `figure_address` is that of the picture for Markdown."""
    sections = [
        _figure(content.summary, figure_address),
        _scores(content.summary),
        Section(
            "ratios",
            "Length of the translations",
            (Paragraph(LENGTH_RATIO), Drawing("ratios", (length_ratio_table(content.summary),))),
        ),
        _examples(content),
        _attention(content),
        _training(content),
        _systems(content),
        Section("corpus", "The text", tuple(corpus_tables(content.details.card, content.details.counts))),
        _reproduction(content),
    ]
    return [section for section in sections if section.blocks]


def _figure(summary: Summary, address: str) -> Section:
    names = ", ".join(system.name for system in summary.systems)
    picture = Picture(address, f"BLEU over {summary.length_of} length on {summary.text_name}: {names}")
    parts = (
        Section("reading", "How to read it", (Bullets(HOW_TO_READ),), folded=True),
        Section("measurement", "What was measured", tuple(_measurement(summary)), folded=True),
    )
    return Section("figure", "The figure", (Drawing("figure", (picture,)),), parts)


def _measurement(summary: Summary) -> Iterator[Block]:
    systems = "One system" if len(summary.systems) == 1 else f"{len(summary.systems)} systems"
    split = f"the split {summary.split} of {summary.corpus}" if summary.split else summary.corpus
    yield Paragraph(
        f"{systems} translated the same {summary.systems[0].overall.n:,} sentences of {split}. "
        f"Measured on: {summary.machine}."
    )
    yield Paragraph(
        f"Sentences are grouped by the length of the raw {summary.length_of} in {summary.length_unit}. Each point "
        f"is the corpus BLEU of a group, never a mean over sentences; intervals hold 95 % of {N_RESAMPLES:,} "
        f"bootstrap resamples. A group of fewer than {FEW_SENTENCES} sentences is drawn hollow and has no interval."
    )


def _scores(summary: Summary) -> Section:
    parts = [*_seeds(summary), *_claims(summary)]
    parts += [
        Section(metric, metric_title(summary, metric), (score_table(summary, metric),))
        for metric in summary.metrics[1:]
    ]
    parts += [*_slopes(summary), *_differences(summary)]
    return Section("scores", "The scores", (Drawing("scores", (score_table(summary),)),), tuple(parts))


def _seeds(summary: Summary) -> Iterator[Section]:
    if any(system.outputs for system in summary.systems):
        yield Section("seeds", "Each seed by itself", (seeds_table(summary), Paragraph(SEEDS)))


def _claims(summary: Summary) -> Iterator[Section]:
    if not summary.claims:
        return
    how = (
        f"Intervals and p-values by paired bootstrap with {N_PAIRED_RESAMPLES:,} resamples (Koehn 2004): both systems "
        "are scored on the same resamples, and p is the share of resamples, with one added, in which the claim does "
        "not hold."
    )
    paragraphs = [Paragraph(text) for text in (how, why_untold(summary)) if text]
    drawing = Drawing("claims", (claims_table(summary),))
    yield Section("claims", "What was expected, and whether it was found", (drawing, *paragraphs))


def _slopes(summary: Summary) -> Iterator[Section]:
    if any(system.slope for system in summary.systems):
        how = (
            "The falling slope of the straight line through the groups' BLEU at the mean length of their sentences, by "
            f"least squares weighted by their number; groups of fewer than {FEW_SENTENCES} are left out."
        )
        yield Section("slopes", "BLEU lost as sentences grow", (slope_table(summary), Paragraph(how)), folded=True)


def _differences(summary: Summary) -> Iterator[Section]:
    if not summary.differences:
        return
    metrics = dict.fromkeys(difference.metric for difference in summary.differences)
    how = (
        "Intervals by paired bootstrap; p-values, two-sided, by approximate randomisation and by paired bootstrap with "
        f"{N_PAIRED_RESAMPLES:,} trials each, corrected for the number of rows (Holm)."
    )
    tables = (difference_table(summary, metric) for metric in metrics)
    title = f"Each system against {summary.differences[0].baseline}"
    yield Section("differences", title, (*tables, Paragraph(how)), folded=True)


def _examples(content: ReportContent) -> Section:
    unit = content.summary.length_unit
    tables = [
        Table(
            (f"{example.length} {unit}", ""),
            (("source", example.source), ("reference", example.reference), *example.translations.items()),
            numeric=False,
        )
        for example in content.details.examples
    ]
    how = Paragraph(
        "Chosen by length alone. A good translation can differ from its reference, and a bad one can share most words "
        "with it."
    )
    blocks: tuple[Block | Drawing, ...] = (how, Drawing("examples", tuple(tables))) if tables else ()
    return Section("examples", "Translations, short and long", blocks)


def _attention(content: ReportContent) -> Section:
    how = Paragraph(
        "For each word that it writes, a model with attention spreads its look over the source words. Point at a word "
        "of a translation, and the source words that were looked at light up; point at a source word, and the words "
        "that looked at it do."
    )
    return Section("attention", "Where the models look", (how, Drawing("attention")) if content.explorations else ())


def _training(content: ReportContent) -> Section:
    lines = [line for run in content.runs for line in run.metrics]
    recorded = any("perplexity/validation" in line or "bleu/validation" in line for line in lines)
    return Section("training", "Training", (Paragraph(TRAINING), Drawing("training")) if recorded else ())


def _systems(content: ReportContent) -> Section:
    settings = differing_settings([run.settings for run in content.runs])
    parts = []
    if settings:
        header = ("setting", *(run.name for run in content.runs))
        rows = tuple((setting.key, *setting.values) for setting in settings)
        same = "Everything else is the same."
        if any(ABSENT in setting.values for setting in settings):
            same += f" {ABSENT}: that kind of model has no such setting."
        blocks = (Drawing("settings", (Table(header, rows, numeric=False),)), Paragraph(same))
        parts.append(Section("settings", "What differs between their configurations", blocks))
    return Section("systems", "The systems", (Drawing("systems", (systems_table(content.summary),)),), tuple(parts))


def _reproduction(content: ReportContent) -> Section:
    summary = content.summary
    rows = [(f"SHA-256 of {what}", digest) for what, digest in _digests(content).items()]
    rows += [
        (f"{metric}, sacreBLEU's signature", signature)
        for metric, signature in {"BLEU": summary.signature, **summary.signatures}.items()
    ]
    table = Table(("", ""), tuple(rows), numeric=False)
    return Section("reproduction", "How to reproduce it", (Code(summary.command), table))


def _digests(content: ReportContent) -> dict[str, str]:
    """By what it is of, each SHA-256 once."""
    owners: dict[tuple[str, str], list[str]] = {}
    for run in content.runs:
        for what, digest in run.digests.items():
            owners.setdefault((what, digest), []).append(run.name)
    of_runs = {f"{what} of {' and '.join(names)}": digest for (what, digest), names in owners.items()}
    return ({"text": content.corpus_digest} if content.corpus_digest else {}) | of_runs

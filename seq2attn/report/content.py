"""The sections and sentences of the report, for Markdown and HTML alike"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from seq2attn.attention.maps import Exploration
from seq2attn.config.settings import ABSENT, differing_settings
from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.report import bottleneck, tables, wording
from seq2attn.report.markdown import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from seq2attn.results.summary import Summary


@dataclass(frozen=True)
class Example:
    """One test sentence with each system's translation, by the system's name."""

    length: int
    source: str
    reference: str
    translations: Mapping[str, str]


@dataclass(frozen=True)
class ReportDetails:
    """The text behind the scores. The report leaves out what is empty."""

    card: Mapping[str, str] = field(default_factory=dict)
    """Where the corpus comes from: licence, citation and so on, by name."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pairs read, kept and dropped, by split and then by name."""
    examples: Sequence[Example] = ()
    """Sentences whose translations are shown."""


@dataclass(frozen=True)
class RunRecord:
    """What the folder of one run holds."""

    name: str
    system: str
    """The system that it is an output of."""
    settings: Mapping[str, object]
    """Every setting by its dotted key."""
    metrics: Sequence[Mapping[str, float]]
    """The lines of `metrics.jsonl`."""
    digests: Mapping[str, str]
    """SHA-256 of its weights and of its subwords, by name."""


@dataclass(frozen=True)
class ReportContent:
    """Everything that the report shows. It leaves out what is empty."""

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
    """An interactive drawing of the page, by name; Markdown shows `blocks` in its place."""

    name: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the report under its own heading."""

    name: str
    """Its anchor on the page."""
    title: str
    blocks: tuple[Block | Drawing, ...]
    parts: tuple[Section, ...] = ()
    """Its subsections."""
    folded: bool = False
    """Whether the page shows it closed at first."""


def report_title(summary: Summary) -> str:
    """The title of the report."""
    return f"BLEU over {summary.length_of} length: {summary.text_name}"


def report_blocks(content: ReportContent, figure_address: str) -> list[Block]:
    """The whole report as blocks, with the picture at `figure_address`."""
    title = Heading(report_title(content.summary), 1)
    lead = Paragraph(" ".join(bottleneck.lead_sentences(content.summary)))
    sections = report_sections(content, figure_address)
    return [title, lead, *(block for section in sections for block in _flattened(section, 2))]


def _flattened(section: Section, level: int) -> Iterator[Block]:
    """The section's heading and blocks; nothing for a section that only the page can draw."""
    if not all(block.blocks for block in section.blocks if isinstance(block, Drawing)):
        return
    yield Heading(section.title, level)
    for block in section.blocks:
        yield from block.blocks if isinstance(block, Drawing) else (block,)
    for part in section.parts:
        yield from _flattened(part, level + 1)


def report_sections(content: ReportContent, figure_address: str = "") -> list[Section]:
    """The sections of the report, in order. Markdown shows the picture at `figure_address`."""
    sections = [
        _figure(content.summary, figure_address),
        _scores(content.summary),
        _translations(content.summary),
        _examples(content),
        _attention(content),
        _training(content),
        _systems(content),
        Section("corpus", "Data", tuple(tables.corpus_tables(content.details.card, content.details.counts))),
        _reproduction(content),
    ]
    return [section for section in sections if section.blocks]


def _figure(summary: Summary, address: str) -> Section:
    names = ", ".join(system.name for system in summary.systems)
    picture = Picture(address, f"BLEU over {summary.length_of} length on {summary.text_name}: {names}")
    parts = (
        Section("reading", "How to read it", (Bullets(wording.HOW_TO_READ),), folded=True),
        Section("measurement", "How it was measured", tuple(_measurement(summary)), folded=True),
    )
    return Section("figure", "BLEU by length", (Drawing("figure", (picture,)),), parts)


def _measurement(summary: Summary) -> Iterator[Block]:
    systems = "One system" if len(summary.systems) == 1 else f"{len(summary.systems)} systems"
    split = f"the split {summary.split} of {summary.corpus}" if summary.split else summary.corpus
    yield Paragraph(
        f"{systems} translated the same {summary.systems[0].overall.n:,} sentences of {split}. "
        f"Measured on: {summary.machine}."
    )
    yield Paragraph(
        f"Sentences are grouped by the length of the raw {summary.length_of} in {summary.length_unit}. Each point "
        f"is the corpus BLEU of one group, not a mean of sentence scores. Intervals contain 95 % of {N_RESAMPLES:,} "
        f"bootstrap resamples of the {summary.resample}. A group of fewer than {FEW_SENTENCES} sentences is drawn "
        "hollow and has no interval."
    )


def _scores(summary: Summary) -> Section:
    drawn = Paragraph(wording.how_resampled(summary))
    parts = [*_seeds(summary), *_claims(summary)]
    if (alone := bottleneck.alone_table(summary)).rows:
        parts.append(Section("alone", "The same sentences one by one", (Paragraph(wording.ALONE), alone)))
    parts += [
        Section(metric, tables.metric_title(summary, metric), (tables.score_table(summary, metric), drawn))
        for metric in summary.metrics[1:]
    ]
    parts += [*_slopes(summary), *_differences(summary)]
    return Section("scores", "Scores", (Drawing("scores", (tables.score_table(summary),)), drawn), tuple(parts))


def _seeds(summary: Summary) -> Iterator[Section]:
    if any(system.outputs for system in summary.systems):
        yield Section("seeds", "Each seed", (tables.seeds_table(summary), Paragraph(wording.SEEDS)))


def _claims(summary: Summary) -> Iterator[Section]:
    if summary.joined:
        judged = bottleneck.bottleneck_table(summary), Paragraph(bottleneck.HOW_JUDGED)
        yield Section("claims", "Claims", judged if summary.bottleneck else (Paragraph(bottleneck.NOTHING_JUDGED),))
        if (searches := bottleneck.search_table(summary)).rows:
            yield Section("searches", "The bottleneck with other searches", (searches,))
    if not summary.claims:
        return
    how = (
        f"Intervals and p-values are from paired bootstrap with {N_PAIRED_RESAMPLES:,} resamples (Koehn 2004): both "
        "systems are scored on the same resamples, and p is the proportion of resamples in which the claim does not "
        f"hold, with one added to both counts. {wording.how_resampled(summary)}"
    )
    paragraphs = [Paragraph(text) for text in (how, wording.why_inconclusive(summary)) if text]
    drawing = Drawing("claims", (tables.claims_table(summary),))
    yield Section("claims", "Claims and evidence", (drawing, *paragraphs))


def _slopes(summary: Summary) -> Iterator[Section]:
    if any(system.slope for system in summary.systems):
        how = (
            "The slope, with its sign reversed, of a least-squares line through the BLEU of each group at the mean "
            "length of its sentences, weighted by their number. Groups of fewer than "
            f"{FEW_SENTENCES} sentences are left out. {wording.how_resampled(summary)}"
        )
        yield Section("slopes", "BLEU lost with length", (tables.slope_table(summary), Paragraph(how)), folded=True)


def _differences(summary: Summary) -> Iterator[Section]:
    if not summary.differences:
        return
    metrics = dict.fromkeys(difference.metric for difference in summary.differences)
    how = (
        f"Intervals are from paired bootstrap over {summary.resample}. The two-sided p-values are from approximate "
        f"randomisation and from paired bootstrap, with {N_PAIRED_RESAMPLES:,} trials each, corrected for the number "
        "of rows (Holm)."
    )
    shown = (tables.difference_table(summary, metric) for metric in metrics)
    title = f"Difference from {summary.differences[0].baseline}"
    yield Section("differences", title, (*shown, Paragraph(how)), folded=True)


def _translations(summary: Summary) -> Section:
    ratios = Paragraph(wording.LENGTH_RATIO), Drawing("ratios", (tables.length_ratio_table(summary),))
    failed = tables.failure_table(summary)
    part = Section("failures", "Repetition and cut-offs", (Paragraph(wording.FAILURES), failed))
    return Section("ratios", "Length of the translations", ratios, (part,) if failed.rows else ())


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
        "These sentences were chosen by length only. A good translation can differ from its reference, and a bad one "
        "can share most of its words."
    )
    blocks: tuple[Block | Drawing, ...] = (how, Drawing("examples", tuple(tables))) if tables else ()
    return Section("examples", "Translations, short and long", blocks)


def _attention(content: ReportContent) -> Section:
    how = Paragraph(
        "For each word that it writes, a model with attention distributes weights over the source words. Point at a "
        "word of a translation to see the weights of the source words; point at a source word to see the words that "
        "attended to it."
    )
    return Section("attention", "Attention weights", (how, Drawing("attention")) if content.explorations else ())


def _training(content: ReportContent) -> Section:
    lines = [line for run in content.runs for line in run.metrics]
    recorded = any("perplexity/validation" in line or "bleu/validation" in line for line in lines)
    return Section("training", "Training", (Paragraph(wording.TRAINING), Drawing("training")) if recorded else ())


def _systems(content: ReportContent) -> Section:
    settings = differing_settings([run.settings for run in content.runs])
    parts = []
    if settings:
        header = ("setting", *(run.name for run in content.runs))
        rows = tuple((setting.key, *setting.values) for setting in settings)
        same = "All other settings are equal."
        if any(ABSENT in setting.values for setting in settings):
            same += f" {ABSENT}: that kind of model has no such setting."
        blocks = (Drawing("settings", (Table(header, rows, numeric=False),)), Paragraph(same))
        parts.append(Section("settings", "Settings that differ", blocks))
    return Section("systems", "Systems", (Drawing("systems", (tables.systems_table(content.summary),)),), tuple(parts))


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
    """Each SHA-256 once, by what it is the digest of."""
    owners: dict[tuple[str, str], list[str]] = {}
    for run in content.runs:
        for what, digest in run.digests.items():
            owners.setdefault((what, digest), []).append(run.name)
    of_runs = {f"{what} of {' and '.join(names)}": digest for (what, digest), names in owners.items()}
    return ({"text": content.corpus_digest} if content.corpus_digest else {}) | of_runs

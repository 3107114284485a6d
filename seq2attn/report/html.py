"""The report as one HTML page that needs no network"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seq2attn.attention import html as explorer
from seq2attn.attention.maps import Choice
from seq2attn.config.settings import differing_settings
from seq2attn.errors import disk_errors
from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.lengths import EVERY_LENGTH
from seq2attn.evaluation.score import Bucket
from seq2attn.plots.chart import NARROW, WIDE, looks
from seq2attn.plots.figure import figure_notes
from seq2attn.report import wording
from seq2attn.report.bottleneck import lead_sentences
from seq2attn.report.charts import bleu_chart, ratio_chart, training_charts
from seq2attn.report.content import ReportContent, report_sections, report_title
from seq2attn.report.diff import mark_differences
from seq2attn.report.tables import TOO_SMALL, bucket_text, length_name, sentences_text, std_text, systems_table
from seq2attn.results.summary import Summary

_PACKAGE = "seq2attn.report"
_SIZES = {"wide": WIDE, "narrow": NARROW}


@dataclass(frozen=True)
class Cell:
    """A system's score on the sentences of one row. The bar behind it has the length `share`, 1 for the highest."""

    system: int
    value: str
    interval: str
    share: float
    tip: str


@dataclass(frozen=True)
class Row:
    """The sentences of one range of length, or all of them."""

    label: str
    n: int
    bucket: int | None
    """None: all sentences."""
    cells: Sequence[Cell]


def write_page(content: ReportContent, folder: Path) -> Path:
    """`report.html` in `folder`; its path.

    Raises: RunError where it cannot be written.
    """
    path = folder / "report.html"
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(page(content), encoding="utf-8")
    return path


def page(content: ReportContent) -> str:
    """The page. All text of the corpus, the models and the user is escaped by the template."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tie"] = _tie
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("page.html").render(_variables(content)).lstrip()


def _tie(text: str) -> str:
    """The text with no-break spaces before percent signs and around equals signs."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def _variables(content: ReportContent) -> Mapping[str, Any]:
    summary = content.summary
    return {
        "content": content,
        "summary": summary,
        "title": report_title(summary),
        "style": Markup(_resource("page.css")),
        "script": Markup(_resource("page.js")),
        "sentences": lead_sentences(summary),
        "sections": report_sections(content),
        "looks": looks(summary),
        "figure": {name: bleu_chart(summary, size) for name, size in _SIZES.items()},
        "figure_notes": figure_notes(summary),
        "length_name": length_name(summary),
        "rows": score_rows(summary),
        "claims": _claims(summary),
        "ratios": {name: ratio_chart(summary, size) for name, size in _SIZES.items()},
        "mark": mark_differences,
        "training": _training(content),
        "systems": systems_table(summary),
        "settings": differing_settings([run.settings for run in content.runs]),
        "explorer": _explorer(content),
    }


def _resource(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def score_rows(summary: Summary) -> list[Row]:
    """BLEU by length and on all sentences: the table, row by row."""
    buckets = [bucket for system in summary.systems for bucket in (*system.buckets, system.overall)]
    highest = max((bucket.bleu.value for bucket in buckets if bucket.bleu is not None), default=0.0) or 1.0
    rows = []
    for place, bucket in enumerate(summary.systems[0].buckets):
        cells = [
            _cell(summary, number, system.buckets[place], highest) for number, system in enumerate(summary.systems)
        ]
        rows.append(Row(bucket.label, bucket.n, place, cells))
    cells = [_cell(summary, number, system.overall, highest) for number, system in enumerate(summary.systems)]
    return [*rows, Row("all", summary.systems[0].overall.n, None, cells)]


def _cell(summary: Summary, system: int, bucket: Bucket, highest: float) -> Cell:
    look = looks(summary)[system]
    is_all = (bucket.low, bucket.high) == EVERY_LENGTH
    where = "all lengths" if is_all else f"{bucket.label} {summary.length_unit}"
    lines = [f"{look.sign} {look.name}", f"{where}: {sentences_text(bucket.n)}", f"BLEU {bucket_text(bucket)}"]
    if (found := _difference(summary, look.name, bucket)) is not None:
        value, low, high = map(wording.signed, (found.value, found.value_low, found.value_high))
        p_value = found.p_bootstrap_corrected if found.p_randomisation is None else found.p_randomisation_corrected
        lines.append(f"{value} ({low} to {high}) compared with {found.baseline}, p = {wording.p_value_text(p_value)}")
    if (bleu := bucket.bleu) is None:
        return Cell(system, "–", "", 0.0, "\n".join(lines))
    interval = TOO_SMALL if bleu.low is None else f"{bleu.low:.1f}–{bleu.high:.1f}"
    return Cell(system, f"{bleu.value:.1f}{std_text(bleu.std)}", interval, bleu.value / highest, "\n".join(lines))


def _difference(summary: Summary, system: str, bucket: Bucket) -> Difference | None:
    """The system's difference from the baseline on the sentences of `bucket`."""
    wanted = ("BLEU", system, bucket.low, bucket.high)
    for found in summary.differences:
        if (found.metric, found.system, found.low, found.high) == wanted:
            return found
    return None


def _claims(summary: Summary) -> list[dict[str, Any]]:
    """Each claim in words, with its verdict and the measured value."""
    return [
        {
            "verdict": wording.verdict(claim),
            "claim": wording.claim_text(claim, summary.length_unit),
            "measured": wording.measured_text(claim),
            "interval": None if claim.low is None else wording.claim_interval_text(claim),
            "p_value": None if claim.p_value is None else wording.p_value_text(claim.p_value),
        }
        for claim in summary.claims
    ]


def _training(content: ReportContent) -> list[dict[str, Any]]:
    """Each chart of training in both sizes."""
    drawn = {name: training_charts(content.summary, content.runs, size) for name, size in _SIZES.items()}
    return [dict(zip(drawn, charts, strict=True)) for charts in zip(*drawn.values(), strict=True)]


def _explorer(content: ReportContent) -> dict[str, Any]:
    """The attention explorer: its style and script once, its data for each sentence."""
    return {
        "style": Markup(explorer.style()),
        "script": Markup(explorer.script()),
        "data": [
            Markup(explorer.data_element(exploration, Choice(), as_subwords=False))
            for exploration in content.explorations
        ],
    }

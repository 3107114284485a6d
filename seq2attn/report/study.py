"""A study in words and tables, for Markdown and the terminal alike; and its files"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seq2attn.errors import disk_errors
from seq2attn.plots.study import draw_study
from seq2attn.report.content import Drawing, Section
from seq2attn.report.markdown import Block, Bullets, Code, Heading, Paragraph, Picture, Table, to_markdown
from seq2attn.report.wording import p_value_text
from seq2attn.results.study import Estimate, JudgedClaim, StudyResult, StudyTable, Value, Verdict

VERDICT_WORDS: dict[Verdict, str] = {
    "supported": "supported",
    "not_supported": "not supported",
    "inconclusive": "inconclusive",
}


def study_sections(result: StudyResult, figure_address: str = "") -> list[Section]:
    """The sections of a study, in order; without the picture if it has no address."""
    claims = tuple(block for claim in result.claims for block in (Heading(claim.claim.text, 3), *_claim_blocks(claim)))
    picture = (Picture(figure_address, result.question),) if figure_address else ()
    sections = [Section("claims", "Claims", claims), Section("figure", "Figure", picture)]
    sections += [Section(table.name, table.title, (_table_block(table),)) for table in result.tables]
    notes = tuple(map(Paragraph, result.notes))
    code = (Code(result.command),) if result.command else ()
    facts = [("Runs", ", ".join(result.runs)), ("Machine", result.machine)]
    known = Bullets(tuple((name, text) for name, text in facts if text))
    sections += [Section("notes", "How to read it", notes)]
    sections += [Section("reproduction", "How to reproduce it", (*code, *((known,) if known.items else ())))]
    return [section for section in sections if section.blocks]


def study_blocks(result: StudyResult, figure_address: str = "") -> list[Block]:
    """The whole study as blocks."""
    blocks: list[Block] = [Heading(result.question, 1), Paragraph(result.setting)]
    for section in study_sections(result, figure_address):
        blocks.append(Heading(section.title, 2))
        blocks += [block for block in section.blocks if not isinstance(block, Drawing)]
    return blocks


def claim_sentence(claim: JudgedClaim) -> str:
    """The verdict and what it rests on, in one paragraph."""
    worst, margin = claim.worst, claim.claim.margin
    side = "above" if claim.claim.above else "below"
    kind, number = claim.claim.measured_in, len(claim.estimates)
    runs = f"the only {kind}" if number == 1 else f"the least favourable of {number} {kind}s"
    p_value = "" if worst.p_value is None else f", p = {p_value_text(worst.p_value)}"
    return (
        f"{VERDICT_WORDS[claim.verdict].capitalize()}: {worst.value:.3f}{_interval(worst)}{p_value} in {worst.run}, "
        f"{runs}; the claim needs the interval {side} {margin:g}."
    )


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return " (no interval: too few sentences)"
    return f" (95 % interval {estimate.low:.3f} to {estimate.high:.3f})"


def _claim_blocks(claim: JudgedClaim) -> Iterator[Block]:
    yield Paragraph(claim_sentence(claim))
    yield Paragraph(f"Test, fixed before the run: {claim.claim.test}")
    if len(claim.estimates) > 1:
        rows = [(each.run, *map(_cell, (each.value, each.low, each.high))) for each in claim.estimates]
        yield Table((claim.claim.measured_in, "value", "low", "high"), tuple(rows))


def _table_block(table: StudyTable) -> Block:
    """The table, or where it is."""
    return Paragraph(f"{len(table.rows):,} rows, in table.md.") if table.in_full else shown_table(table)


def shown_table(table: StudyTable) -> Table:
    """The table with its numbers as text."""
    return Table(table.header, tuple(tuple(map(_cell, row)) for row in table.rows))


def _cell(value: Value) -> str:
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.3f}"
        case int():
            return f"{value:,}"
    return value


def write_study(result: StudyResult, folder: Path) -> dict[str, Path]:
    """Write `study.json`, the figure, `table.md` and `study.md` into `folder`; returns their paths by name.

    Raises: DiskError where the folder cannot be written.
    """
    paths = {"study": folder / "study.json", "table": folder / "table.md", "report": folder / "study.md"}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths["figure"], paths["vector figure"] = draw_study(result, folder / "figure")
        tables = [block for table in result.tables for block in (Heading(table.title, 2), shown_table(table))]
        paths["table"].write_text(to_markdown(tables), encoding="utf-8")
        paths["report"].write_text(to_markdown(study_blocks(result, "figure.png")), encoding="utf-8")
        # Last, so that where it exists, the others do.
        paths["study"].write_text(result.to_json(), encoding="utf-8")
    return paths

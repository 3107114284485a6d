"""Scores on joined sentences as tables."""

from __future__ import annotations

from collections.abc import Iterator

from seq2attn.evaluation.document import Block, Code, Heading, Paragraph, Picture, Table
from seq2attn.evaluation.joined import Cost, JoinedGroup, JoinedSummary
from seq2attn.evaluation.length_curve import Score
from seq2attn.evaluation.tables import interval_text
from seq2attn.evaluation.wording import p_value_text, signed

EXPLANATION = (
    "Consecutive sentences of a document are joined, each sentence once for each join size; joined is the BLEU of the "
    "whole as one input, alone is that of the same sentences translated one at a time. What lies between is lost by "
    "length alone. Intervals and p-values by bootstrap over documents; p, one-sided, corrected for the number of rows "
    "(Holm)."
)


def size_table(summary: JoinedSummary) -> Table:
    """A row for each system and join size."""
    return _table(summary, "sentences joined", [(one.name, one.by_size) for one in summary.systems])


def joined_length_table(summary: JoinedSummary) -> Table:
    """A row for each system and range of lengths; ranges without segments are left out."""
    groups = [(one.name, tuple(group for group in one.by_length if group.n)) for one in summary.systems]
    return _table(summary, f"source {summary.length_unit}", groups)


def joined_blocks(summary: JoinedSummary, figure_address: str) -> Iterator[Block]:
    """The result as a document."""
    names = ", ".join(system.name for system in summary.systems)
    yield Heading(f"Sentences joined and alone: {summary.corpus}, {summary.split}", 1)
    yield Paragraph(f"{EXPLANATION} No more than {summary.longest} words are joined. Measured on: {summary.machine}.")
    yield Picture(figure_address, f"BLEU over length of joined sentences: {names}")
    yield Heading("By the number of sentences joined", 2)
    yield size_table(summary)
    yield Heading("By length of the input", 2)
    yield joined_length_table(summary)
    yield Heading("Make it again", 2)
    yield Code(summary.command)
    yield Paragraph(f"SacreBLEU's signature: {summary.signature}")


def _table(summary: JoinedSummary, what: str, systems: list[tuple[str, tuple[JoinedGroup, ...]]]) -> Table:
    header = ("system", what, "segments", f"mean {summary.length_unit}", "joined", "alone", "lost by joining", "p")
    return Table(header, tuple((name, *_cells(group)) for name, groups in systems for group in groups))


def _cells(group: JoinedGroup) -> tuple[str, ...]:
    mean_length = "–" if group.mean_length is None else f"{group.mean_length:.0f}"
    lost, p_value = _cost_cells(group.cost)
    return (group.label, f"{group.n:,}", mean_length, _score(group.joined), _score(group.alone), lost, p_value)


def _score(score: Score | None) -> str:
    return "–" if score is None else interval_text(score.value, score.low, score.high)


def _cost_cells(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "–", "–"
    return f"{signed(cost.value)} ({signed(cost.low)} to {signed(cost.high)})", p_value_text(cost.p_corrected)

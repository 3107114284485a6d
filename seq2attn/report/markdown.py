"""Documents as lists of blocks, and their Markdown"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_MARKUP = re.compile(r"([\\`*_\[\]<>|~&])")


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title of the document."""

    text: str
    level: int


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Picture:
    """An image by its address relative to the document, with its alternative text."""

    address: str
    description: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header of the same width; with `numeric`, all columns but the first are numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: bool = True

    def __str__(self) -> str:
        """Columns of plain text."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = []
        for row in (self.header, *self.rows):
            cells = [
                cell.rjust(width) if self.numeric and place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        align = "right" if self.numeric else "left"
        rows = [
            "".join(f'<{tag} style="padding: 0.1em 0.6em">{escape(cell)}</{tag}>' for cell in row)
            for tag, row in (("th", self.header), *(("td", row) for row in self.rows))
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows[1:])
        return f'<table style="text-align: {align}"><thead><tr>{rows[0]}</tr></thead><tbody>{body}</tbody></table>'


@dataclass(frozen=True)
class Bullets:
    """Bullet points, each a term and its explanation."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """A command or code, shown as it is."""

    text: str


Block = Heading | Paragraph | Picture | Table | Bullets | Code


def to_markdown(blocks: Iterable[Block]) -> str:
    """The document as GitHub's Markdown; all text is escaped."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escape(text)}"
        case Paragraph(text):
            return _escape(text)
        case Picture(address, description):
            return f"![{_escape(description)}](<{address}>)"
        case Table():
            return _markdown_table(block)
        case Bullets(items):
            return "\n".join(f"- **{_escape(term)}** {_escape(text)}" for term, text in items)
        case Code(text):
            # A fence is longer than any run of back quotes within it.
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return f"{fence}\n{text}\n{fence}"


def _markdown_table(table: Table) -> str:
    rule = [":--", *["--:" if table.numeric else ":--"] * (len(table.header) - 1)]
    lines = [[_escape(cell) for cell in row] for row in (table.header, *table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _escape(text: str) -> str:
    """`text` on one line, with Markdown's special characters escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))

"""The style of every figure."""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

PNG_DPI = 160
INK, FAINT, GRID = "#1f2430", "#6b7280", "#e5e7eb"
# Okabe and Ito's palette, distinct for colour-blind readers; the markers repeat the distinction.
LINE_STYLES = (
    ("#D55E00", "o"),
    ("#0072B2", "s"),
    ("#009E73", "D"),
    ("#CC79A7", "^"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
SIGNS = {"o": "●○", "s": "■□", "D": "◆◇", "^": "▲△", "v": "▼▽", "P": "✚✙"}
"""Characters for each marker: filled, and hollow for points with few sentences."""


def house_style() -> AbstractContextManager[None]:
    """Matplotlib's settings for every figure, until the block ends."""
    return mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 10.0,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "xtick.color": INK,
            "ytick.color": INK,
            # Text stays text in the SVG, and the same summary gives the same bytes.
            "svg.fonttype": "none",
            "svg.hashsalt": "seq2attn",
            # A name with a $ in it is a name, not a formula.
            "text.parse_math": False,
        }
    )


class InlineFigure(Figure):
    """A figure that a notebook shows as the value of a cell, whether or not pyplot is loaded."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        with house_style():
            self.savefig(picture, format="png")
        return picture.getvalue()

    def as_image(self, description: str) -> str:
        """The figure as a self-contained HTML element."""
        picture = io.BytesIO()
        with house_style():
            self.savefig(picture, format="svg", metadata={"Date": None})
        data = base64.b64encode(picture.getvalue()).decode()
        return f'<img alt="{escape(description)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'


def save_figure(figure: Figure, path_without_suffix: Path, title: str) -> tuple[Path, Path]:
    """Write `figure` as `.png` and `.svg`; their paths, in this order. Call it within `house_style`."""
    path_without_suffix.parent.mkdir(parents=True, exist_ok=True)
    stem = path_without_suffix.name
    png, svg = (path_without_suffix.with_name(f"{stem}{suffix}") for suffix in (".png", ".svg"))
    figure.savefig(png, dpi=PNG_DPI)
    figure.savefig(svg, metadata={"Date": None, "Title": title})
    return png, svg

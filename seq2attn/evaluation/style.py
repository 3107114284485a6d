"""How every figure looks."""

from __future__ import annotations

from contextlib import AbstractContextManager

import matplotlib as mpl

PNG_DPI = 160
INK, FAINT, GRID = "#1f2430", "#6b7280", "#e5e7eb"


def house_style() -> AbstractContextManager[None]:
    """Matplotlib's settings for every figure of the house, until the block ends."""
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

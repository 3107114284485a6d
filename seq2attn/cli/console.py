"""Where tables of results are printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Rich takes 80 columns where there is no terminal and cuts off what is wider. No table needs this many.
_COLUMNS_OFF_TERMINAL = 10_000


def results_console() -> Console:
    """Standard output, as wide as the terminal, and without an edge anywhere else."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _COLUMNS_OFF_TERMINAL)

"""Where tables of results are printed."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Rich takes 80 columns where there is no terminal and cuts off what is wider. No table needs this many.
_COLUMNS_OFF_TERMINAL = 10_000
_PLAIN = str.maketrans({"–": "-", "−": "-", "·": "-", "×": "x", "±": "+-", "…": "...", "≤": "<="})


def results_console() -> Console:
    """Standard output, as wide as the terminal, and without an edge anywhere else.

    Signs that its encoding lacks are written plainly.
    """
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_write_plainly.__name__)
    return Console(width=None if sys.stdout.isatty() else _COLUMNS_OFF_TERMINAL)


def _write_plainly(error: UnicodeError) -> tuple[str, int]:
    """An error handler of the codecs: what stands for characters that cannot be encoded, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    plain = error.object[error.start : error.end].translate(_PLAIN)
    return plain.encode("ascii", "replace").decode(), error.end


codecs.register_error(_write_plainly.__name__, _write_plainly)

"""Word alignments of other tools, beside those of attention"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from seq2attn.data.pharaoh import read_links
from seq2attn.evaluation.word_alignment import Links, grow_diag_final

NO_EFLOMAL = (
    "eflomal, an aligner to compare with, is not installed (`pip install eflomal`; it needs a C compiler); the "
    "diagonal stands in its place."
)
WordPair = tuple[Sequence[str], Sequence[str]]


def eflomal_links(pairs: Sequence[WordPair]) -> list[Links] | None:
    """Links of each pair by eflomal (Östling and Tiedemann 2016), learned from all of `pairs`, both directions joined.

    None where eflomal is not installed. Its sampling starts from the clock, so two calls differ a little.
    """
    if find_spec("eflomal") is None:
        return None
    aligner = import_module("eflomal").Aligner()
    sources, targets = ([" ".join(pair[side]) for pair in pairs] for side in (0, 1))
    lengths = [(len(source), len(target)) for source, target in pairs]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("forward", "reverse")]
        aligner.align(sources, targets, links_filename_fwd=str(files[0]), links_filename_rev=str(files[1]))
        forward, reverse = ([line.sure for line in read_links(file, lengths)] for file in files)
    return [grow_diag_final(one, other) for one, other in zip(forward, reverse, strict=True)]

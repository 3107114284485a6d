"""Attention maps as an interactive page in one file, without network access, and in a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2attn.attention.maps import KINDS, AttentionMap, Choice, Exploration, Kind
from seq2attn.errors import ConfigError, disk_errors

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ margin: 0; }}
main {{ min-height: 100vh; padding: clamp(0.75rem, 3vw, 2rem); }}
h1 {{ margin: 0; font-size: 1rem; font-weight: 400; opacity: 0.8; }}
{style}
</style>
<main class="attention-explorer">
<h1>What the model attends to</h1>
{data}
</main>
<script>
{script}
</script>
</html>
"""


def write_page(exploration: Exploration, choice: Choice, as_subwords: bool, path: Path) -> None:
    """Write a page with every layer and head, which shows `choice` first.

    Raises: RunError if it cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(exploration, choice, as_subwords), encoding="utf-8")


def page(exploration: Exploration, choice: Choice, as_subwords: bool) -> str:
    """The page. All text of the model and the user is escaped."""
    return _PAGE.format(
        title=escape(f"What the model attends to: {exploration.source}"),
        style=style(),
        data=data_element(exploration, choice, as_subwords),
        script=script(),
    )


def data_element(exploration: Exploration, choice: Choice, as_subwords: bool) -> str:
    """The maps as an element to put inside an element of the class `attention-explorer`, which `script` then fills.

    A document can have any number of these; it needs `style` and, at its end, `script` once.
    """
    data = json.dumps(exploration.as_json(choice, as_subwords), ensure_ascii=False, separators=(",", ":"))
    # Without `<`, no text can end the element.
    return f'<script type="application/json">{data.replace("<", chr(92) + "u003c")}</script>'


def style() -> str:
    """The style sheet; every rule is limited to `.attention-explorer`."""
    return _resource("page.css")


def script() -> str:
    """The program that draws every `.attention-explorer` of its document and responds to the pointer and keys."""
    return _resource("page.js")


def _resource(name: str) -> str:
    return files("seq2attn.attention").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True, repr=False)
class AttentionView:
    """The attention of a run on one sentence. A notebook shows it interactively, with every layer and head."""

    exploration: Exploration

    @property
    def source(self) -> str:
        """The sentence."""
        return self.exploration.source

    @property
    def translation(self) -> str:
        """The translation that the model wrote, or was forced to write."""
        return self.exploration.systems[0].translation

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Attention from each word of the translation to each word of the source, `(target words, source words)`.

        Each row sums to 1; the last row and column are the end of the sentence. None for a model without attention.
        """
        found = self.map()
        return None if found is None else found.weights

    def map(
        self, kind: Kind = "cross", layer: int | None = None, head: int | None = None, subwords: bool = False
    ) -> AttentionMap | None:
        """The weights of a head with the words of its rows and columns; None if the model has none of this kind.

        Args:
            kind: `cross` (from the translation to the source), or self-attention in the `encoder` or `decoder`.
            layer: counted from 1; by default the second to last, of two the last.
            head: counted from 1; by default the mean of all heads.
            subwords: whether to show subwords instead of merging them into words.

        Raises: ConfigError for an unknown kind; RunError for a layer or head that the model lacks.
        """
        return self.exploration.systems[0].attention.map(Choice(_checked(kind), layer, head), subwords)

    def plot(
        self, kind: Kind = "cross", layer: int | None = None, head: int | None = None, subwords: bool = False
    ) -> Figure:
        """The same as a matplotlib figure: a heat map of the chosen head, or of every head if none is chosen.

        Raises: as `map`.
        """
        from seq2attn.attention.figure import maps_figure, panels_of

        chosen = Choice(_checked(kind), layer, head)
        return maps_figure(panels_of(self.exploration, chosen, subwords), self.source)[0]

    def to_dict(self) -> dict[str, Any]:
        """The words, and the weights of every layer and head."""
        return self.exploration.as_json(Choice(), as_subwords=False)

    def __str__(self) -> str:
        from seq2attn.attention.terminal import LEGEND, terminal_map

        found = self.map()
        shown = self.exploration.systems[0].why_no_map("cross") if found is None else terminal_map(found, 100, False)
        return f"{self.source}\n{self.translation}\n\n{shown}\n{'' if found is None else LEGEND}".rstrip()

    def __repr__(self) -> str:
        return f"<AttentionView {self.source!r} → {self.translation!r}>"

    def _repr_html_(self) -> str:
        """The page in a frame that isolates its style and program, without network access."""
        attention = self.exploration.systems[0].attention
        rows = len(attention.written.labels(as_subwords=False))
        longest = max(map(len, attention.source.labels(as_subwords=False)))
        height = 460 + 26 * rows + 8 * longest
        return (
            f'<iframe title="Attention" sandbox="allow-scripts" style="width: 100%; height: {height}px; border: 0; '
            f'resize: vertical; overflow: auto" srcdoc="{escape(page(self.exploration, Choice(), False))}"></iframe>'
        )


def _checked(kind: Kind) -> Kind:
    if kind not in KINDS:
        raise ConfigError(f"kind {kind}: expected one of {', '.join(KINDS)}")
    return kind

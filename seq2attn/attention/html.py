"""Attention maps as a page to point at, in one file that needs no network."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from pathlib import Path

from seq2attn.attention.maps import Choice, Exploration
from seq2attn.errors import disk_errors

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
<h1>Where the model looks</h1>
{data}
</main>
<script>
{script}
</script>
</html>
"""


def write_page(exploration: Exploration, choice: Choice, as_subwords: bool, path: Path) -> None:
    """Write the page, which shows `choice` at first and holds every layer and head.

    Raises: RunError where it cannot be written.
    """
    page = _PAGE.format(
        title=escape(f"Where the model looks: {exploration.source}"),
        style=style(),
        data=data_element(exploration, choice, as_subwords),
        script=script(),
    )
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")


def data_element(exploration: Exploration, choice: Choice, as_subwords: bool) -> str:
    """The maps as an element to stand in one of class `attention-explorer`, which `script` then fills.

    Any number of those can stand in a document that has `style` and, at its end, `script`, once each.
    """
    data = json.dumps(exploration.as_json(choice, as_subwords), ensure_ascii=False, separators=(",", ":"))
    # Nothing in the text can then end the element.
    return f'<script type="application/json">{data.replace("<", chr(92) + "u003c")}</script>'


def style() -> str:
    """The style sheet, all of it under `.attention-explorer`."""
    return _resource("page.css")


def script() -> str:
    """The program that draws and lights up every `.attention-explorer` of its document."""
    return _resource("page.js")


def _resource(name: str) -> str:
    return files("seq2attn.attention").joinpath(name).read_text(encoding="utf-8")

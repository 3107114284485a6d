"""The engine of `seq2attn/play` in Node.js and in headless Chromium, whichever is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from seq2attn.play.model import engine
from tests.browser import needs_browser, run_in_page

_NODE = shutil.which("node")
_WAIT_SECONDS = 240.0

needs_node = pytest.mark.skipif(_NODE is None, reason="no Node.js; the Debian package is `nodejs`")
PLACES = [pytest.param("node", marks=needs_node), pytest.param("browser", marks=needs_browser)]
INSTALLED = [place for place, mark in (("node", needs_node), ("browser", needs_browser)) if not mark.args[0]]
needs_some_engine = pytest.mark.skipif(not INSTALLED, reason="neither Node.js nor Chromium is installed")


def run_engine(place: str, program: str, data: Any, folder: Path) -> Any:
    """What the JavaScript `program` returns, given `seq2attn` and `data`; both travel as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    return (_in_node if place == "node" else _in_browser)(program, json.dumps(data), folder)


def _in_node(program: str, data: str, folder: Path) -> Any:
    (folder / "data.json").write_text(data, encoding="utf-8")
    (folder / "program.js").write_text(
        f"{engine()}\nconst data = JSON.parse(require('fs').readFileSync(`${{__dirname}}/data.json`, 'utf8'));\n"
        f"process.stdout.write(JSON.stringify((() => {{{program}}})()));\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(_NODE), str(folder / "program.js")], capture_output=True, text=True, timeout=_WAIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _in_browser(program: str, data: str, folder: Path) -> Any:
    page = folder / "page.html"
    escaped = data.replace("<", "\\u003c")
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>{engine()}</script>'
        f'<script type="application/json" id="data">{escaped}</script>'
        '<script>const data = JSON.parse(document.getElementById("data").textContent);</script>',
        encoding="utf-8",
    )
    return run_in_page(page, program)

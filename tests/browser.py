"""A page as headless Chromium shows it; tests that need it are skipped, and say so, where it is missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-logging=stderr")
_DRIVER = """<script>
const told = document.createElement("pre");
told.id = "told";
told.textContent = JSON.stringify((() => {PROGRAM})());
document.body.append(told);
</script>"""
_TOLD = re.compile(r'<pre id="told">(.*?)</pre>', re.DOTALL)

needs_browser = pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here; the Debian package `chromium` has it")


def run_in_page(page: Path, program: str) -> Any:
    """What the JavaScript `program` returns, run at the end of `page`; fails on any message in the console."""
    folder = page.parent
    driven = folder / f"{page.stem}.driven.html"
    driven.write_text(page.read_text(encoding="utf-8") + _DRIVER.replace("PROGRAM", program), encoding="utf-8")
    assert _CHROMIUM is not None
    done = subprocess.run(
        [_CHROMIUM, *_OPTIONS, f"--user-data-dir={folder / 'browser'}", "--dump-dom", driven.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not messages
    found = _TOLD.search(done.stdout)
    assert found, "the program did not come to its end"
    return json.loads(unescape(found[1]))

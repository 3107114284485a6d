"""Rebuild a page of `seq2attn play` with today's engine and design; its models and sentences stay."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from seq2attn.play.page import render, write_page

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "docs" / "play" / "quick.html"

_DATA = re.compile(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', re.DOTALL)


def contents(page: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `page` shows, and the descriptions of its models with their weights."""
    data, *models = (json.loads(content) for _, content in _DATA.findall(page))
    return data, models


def main() -> None:
    """Write the pages that are given, by default the published one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, default=[PUBLISHED])
    for path in parser.parse_args().pages:
        write_page(render(*contents(path.read_text(encoding="utf-8"))), path)


if __name__ == "__main__":
    main()

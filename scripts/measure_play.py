"""Size, first paint and speed of a page of `seq2attn play`, in Chromium: `python -m scripts.measure_play [PAGE]`."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from scripts.refresh_play import PUBLISHED, contents
from tests.browser import Tab, open_tab

_WORDS = 20
_SEARCHES = {"greedy": 1, "beam 5": 5}
_WARM_UP = 3
_LOADED = "document.documentElement.dataset.loaded === 'true' && !document.querySelector('[aria-busy]')"
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def source_of(sentences: list[list[str]]) -> str:
    """Test sentences in a row with 20 words together."""
    words: list[str] = []
    for source, _ in sentences:
        if len(words) + len(source.split()) <= _WORDS:
            words += source.split()
    return " ".join(words)


def first_paint(tab: Tab, page: Path) -> float:
    """Milliseconds from opening the page to the first of its content on the screen."""
    tab.open(page.resolve().as_uri())
    tab.wait_until(_LOADED)
    tab.wait_until(f"{_PAINT} !== undefined")
    return float(tab.run(_PAINT))


def translation_times(tab: Tab, source: str, beam_size: int, repeats: int) -> tuple[float, float]:
    """Median milliseconds of a translation with the page's `translator`: that passed, and that its thread computed."""
    translate = f"translator.translate({json.dumps(source)}, {{ beamSize: {beam_size} }}).length"
    for _ in range(_WARM_UP):
        tab.run(translate)
    passed, computed = [], []
    for _ in range(repeats):
        before = tab.processor_seconds()
        timed = f"(() => {{ const began = performance.now(); {translate}; return performance.now() - began; }})()"
        passed.append(float(tab.run(timed)))
        computed.append(1000 * (tab.processor_seconds() - before))
    return statistics.median(passed), statistics.median(computed)


def report(page: Path, repeats: int) -> None:
    """Print all measurements."""
    data, models = contents(page.read_text(encoding="utf-8"))
    source = source_of(data["sentences"])
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="play-") as folder, open_tab(Path(folder)) as tab:
        print(f"first paint after {first_paint(tab, page):.0f} ms")
        print(f"{len(source.split())} words: {source}\nmedian of {repeats}, in ms: passed, computed")
        for model in models:
            load_translator(tab, model)
            for name, beam_size in _SEARCHES.items():
                passed, computed = translation_times(tab, source, beam_size, repeats)
                print(f"{model['name']}, {name}: {passed:.0f}, {computed:.0f}", flush=True)


def load_translator(tab: Tab, model: dict[str, Any]) -> None:
    """Define `translator` in the page's own thread, with the page's engine."""
    tab.run(
        f"globalThis.description = {json.dumps(model)};"
        "globalThis.translator = new seq2attn.Translator(description, seq2attn.bytesOf(description.weights)); true"
    )


def main() -> None:
    """Measure the page that is given, by default the published one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=PUBLISHED)
    parser.add_argument("--repeats", type=int, default=12)
    options = parser.parse_args()
    report(options.page, options.repeats)


if __name__ == "__main__":
    main()

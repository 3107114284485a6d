"""Trained runs in a page: the tokens and attention weights of Python, for 200 test sentences in Chromium.

`SEQ2ATTN_PLAY_RUNS="runs/a runs/b" pytest -m slow -s tests/test_play_parity.py` takes these runs; without any it is
skipped. Models that are hardly trained repeat themselves between ties, which rounding decides.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scripts.measure_play import load_translator
from seq2attn.corpora.load import load_corpus
from seq2attn.data.batch import collate
from seq2attn.play.model import browser_model
from seq2attn.runs.folder import TrainedRun, load_run
from tests.browser import Tab, needs_browser, open_tab
from tests.command_line import call, write
from tests.test_play_page import IDLE

RUNS = [Path(name) for name in os.environ.get("SEQ2ATTN_PLAY_RUNS", "").split()]

pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(not RUNS, reason="no trained runs in SEQ2ATTN_PLAY_RUNS"),
]

SENTENCES = 200
_PROGRAM = """JSON.stringify((() => {
  const { text, parts } = translator.translate(TEXT)[0];
  const [{ ids, memory, hypothesis: { nodes, tokens } }] = parts;
  const rows = (matrix) => Array.from({ length: matrix.rows }, (_, index) => matrix.row(index));
  const bytes = (heads) => {
    const numbers = heads.flat(2).flatMap((row) => Array.from(row));
    const content = new Uint8Array(Float32Array.from(numbers).buffer);
    let binary = "";
    for (const byte of content) binary += String.fromCharCode(byte);
    return btoa(binary);
  };
  const ofNodes = (kind) => bytes(nodes.map((node) => node.maps[kind]));
  return {
    text, ids, tokens, parts: parts.length, nodes: nodes.length,
    cross: ofNodes("cross"), decoder: ofNodes("decoder"),
    encoder: bytes(memory.maps.map((heads) => heads.map(rows))),
  };
})())"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A page of the runs in 32 bits."""
    folder = tmp_path_factory.mktemp("page")
    page = folder / "page.html"
    done = call("play", *RUNS, "--out", page, "--precision", "32", "--sentences", "0")
    assert done.code == 0, done.stderr
    with open_tab(folder) as tab:
        tab.open(page.as_uri())
        tab.wait_until(IDLE)
        yield tab


@pytest.mark.parametrize("folder", RUNS, ids=str)
def test_a_trained_run_writes_and_looks_as_in_python(folder: Path, tab: Tab, tmp_path: Path) -> None:
    run = load_run(folder, torch.device("cpu"))
    test = load_corpus(run.config.data).splits["test"]["source"]
    sources = random.Random(1).sample(list(test), min(SENTENCES, len(test)))
    done = call("translate", folder, write(tmp_path / "sources.txt", "".join(f"{line}\n" for line in sources)))
    load_translator(tab, browser_model(run, "float32").as_json())
    largest = 0.0
    for source, expected in zip(sources, done.stdout.splitlines(), strict=True):
        found = json.loads(tab.run(_PROGRAM.replace("TEXT", json.dumps(source))))
        assert (found["text"], found["parts"], [found["ids"]]) == (expected, 1, run.subwords.encode_source([source]))
        largest = max(largest, largest_difference(run, found))
    print(f"{folder}: {len(sources)} translations equal, weights within {largest:.1e}")
    assert largest <= 1e-4


@torch.no_grad()
def largest_difference(run: TrainedRun, found: dict[str, Any]) -> float:
    """Between the attention weights of a page and of Python, for the translation that both wrote."""
    maps = run.model.attention_maps(collate([found["ids"]], [found["tokens"]]))
    positions = range(found["nodes"])
    expected = {
        "cross": [layer[0, :, position] for position in positions for layer in maps.cross],
        "decoder": [layer[0, :, position, : position + 1] for position in positions for layer in maps.decoder],
        "encoder": [layer[0] for layer in maps.encoder],
    }
    differences = [0.0]
    for kind, weights in expected.items():
        theirs = np.frombuffer(base64.b64decode(found[kind]), dtype="<f4")
        ours = np.concatenate([np.empty(0, np.float32), *(part.flatten().numpy() for part in weights)])
        assert theirs.shape == ours.shape, kind
        differences += [float(np.abs(theirs - ours).max())] if len(ours) else []
    return max(differences)

"""The test sentences that studies measure: with their word alignment where it is known, spread over the whole text"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from seq2attn.corpora.load import load_corpus
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.alignment.gold import SYNTHETIC, GoldPair, synthetic_gold

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class TextPair:
    """A sentence pair, and its word alignment where it is known."""

    source: str
    target: str
    gold: GoldPair | None = None


def text_pairs(run: TrainedRun) -> list[TextPair]:
    """All test pairs of the run's corpus, in its direction; the alignment of `synthetic` is known."""
    data = run.config.data
    if data.corpus == SYNTHETIC:
        gold = synthetic_gold(data.folder)
        if run.folder.read_env().get("source_language") != gold.source_language:
            gold = gold.flipped()
        return [TextPair(pair.source, pair.target, pair) for pair in gold.pairs]
    rows = load_corpus(data).splits["test"]
    return [TextPair(*pair) for pair in zip(rows["source"], rows["target"], strict=True)]


def spread(items: Sequence[_Item], number: int) -> list[_Item]:
    """At most `number` of `items`, evenly spread over them."""
    count = min(number, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def corpora_of(runs: Iterable[TrainedRun]) -> str:
    """The names of the corpora of `runs`, each once, in a phrase."""
    return " and ".join(dict.fromkeys(run.config.data.corpus or "your own text" for run in runs))

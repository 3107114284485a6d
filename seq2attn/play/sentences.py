"""Test sentences for a page: a sample of every length, and which of them are short enough to be joined"""

from __future__ import annotations

import random
from dataclasses import dataclass

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.config.schema import Config, JoinConfig
from seq2attn.corpora.load import load_corpus
from seq2attn.data.files import Pair

_BIN = 10  # words; as in the page's menu and curve
_SEED = 1


@dataclass(frozen=True)
class Sample:
    """Pairs of the test split, in random order."""

    pairs: tuple[Pair, ...] = ()
    joinable: int = 0
    """The most words of a sentence that the page joins with others."""


def sample_sentences(config: Config, count: int) -> Sample:
    """Up to `count` single test sentences of the corpus of `config`, about as many of every length as it has.

    Raises: as `load_corpus`; nothing is read for a count of 0.
    """
    if count == 0:
        return Sample()
    corpus = load_corpus(config.data)
    unspaced = is_unspaced(corpus.source_language)
    test = corpus.splits["test"]
    members = test["members"] if "members" in test.column_names else [(0,)] * len(test)
    rows = zip(test["source"], test["target"], members, strict=True)
    pairs = {source: target for source, target, joined in rows if len(joined) == 1}
    chosen = _of_every_length(list(pairs.items()), count, unspaced)
    join = config.data.join
    if isinstance(join, JoinConfig) and join.max_sentence_words is not None:
        return Sample(tuple(chosen), join.max_sentence_words)
    lengths = sorted(count_words(source, unspaced) for source, _ in chosen)
    return Sample(tuple(chosen), lengths[len(lengths) // 4])


def _of_every_length(pairs: list[Pair], count: int, unspaced: bool) -> list[Pair]:
    """Up to `count` of the pairs, drawn from each range of lengths in turn."""
    draw = random.Random(_SEED)
    draw.shuffle(pairs)
    ranges: dict[int, list[Pair]] = {}
    for pair in pairs:
        ranges.setdefault(count_words(pair[0], unspaced) // _BIN, []).append(pair)
    chosen: list[Pair] = []
    while len(chosen) < min(count, len(pairs)):
        for waiting in ranges.values():
            if waiting and len(chosen) < count:
                chosen.append(waiting.pop())
    draw.shuffle(chosen)
    return chosen

"""Word alignments by every head of a model, counted against known ones"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.alignment import READINGS, Reading, word_weights, words_of_subwords
from seq2attn.attention.read import read_attention
from seq2attn.data.subwords import EOS_ID
from seq2attn.evaluation.word_alignment import (
    Counts,
    Links,
    argmax_links,
    choose_on_the_other_half,
    count_links,
    threshold_links,
)
from seq2attn.runs.checkpoint import load_weights, set_weights, weights_of
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.alignment.gold import GoldPair
from seq2attn.studies.study import Progress

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_BATCH = 16


class Candidate(NamedTuple):
    """A way to read links from a model: a head, or the mean of a layer's heads, and maybe a threshold."""

    name: str
    counts: Counts
    """(n_sentences, 4)"""


@dataclass(frozen=True)
class HeadCounts:
    """What a run found of the known links."""

    run: str
    kind: str
    """Of its model: rnn or transformer."""
    key: str
    """The same for runs that differ only in their direction."""
    is_reversed: bool
    """Whether it translates against the direction of the gold standard."""
    heads: tuple[str, ...]
    argmax: Mapping[Reading, Sequence[Counts]]
    """For each head."""
    threshold: Mapping[Reading, Sequence[Counts]]
    """For each head, each with every threshold."""
    links: Mapping[Reading, Sequence[Sequence[Links]]]
    """By argmax, for each sentence and each head."""

    def by_argmax(self, reading: Reading) -> list[Candidate]:
        """Every head."""
        return [Candidate(*pair) for pair in zip(self.heads, self.argmax[reading], strict=True)]

    def by_threshold(self, reading: Reading) -> list[Candidate]:
        """Every head with every threshold."""
        names = [f"{head}, ≥ {threshold:g}" for head in self.heads for threshold in THRESHOLDS]
        return [Candidate(*pair) for pair in zip(names, self.threshold[reading], strict=True)]

    def best_of(self, reading: Reading) -> Counts:
        """By argmax, with the head chosen for each half of the sentences on the other half."""
        return choose_on_the_other_half(self.argmax[reading])[0]

    def best_counts(self) -> Counts:
        """By argmax, with head and reading chosen for each half of the sentences on the other half."""
        return self._best()[0]

    def best_links(self) -> list[Links]:
        """The links of that choice for each sentence."""
        chosen = self._best()[1]
        places = [divmod(index, len(self.heads)) for index in chosen]
        n_sentences = len(self.links[READINGS[0]])
        found = []
        for sentence in range(n_sentences):
            reading, head = places[sentence % 2]
            found.append(self.links[READINGS[reading]][sentence][head])
        return found

    def _best(self) -> tuple[Counts, tuple[int, int]]:
        return choose_on_the_other_half([counts for reading in READINGS for counts in self.argmax[reading]])


def count_heads(
    name: str, run: TrainedRun, pairs: Sequence[GoldPair], is_reversed: bool, progress: Progress
) -> HeadCounts:
    """The counts of every head of `run`, in the direction of the run, on `pairs`, which are in that direction too."""
    links: dict[Reading, list[list[Links]]] = {reading: [] for reading in READINGS}
    argmax: dict[Reading, list[list[list[int]]]] = {reading: [] for reading in READINGS}
    threshold: dict[Reading, list[list[list[int]]]] = {reading: [] for reading in READINGS}
    heads: tuple[str, ...] = ()
    for number, weights in enumerate(_weights(run, pairs), start=1):
        pair = pairs[number - 1]
        heads, by_reading = weights
        for reading, of_heads in by_reading.items():
            found = [pair.counted(argmax_links(head)) for head in of_heads]
            links[reading].append(found)
            argmax[reading].append([count_links(one, *pair.links) for one in found])
            above = [pair.counted(threshold_links(head, level)) for head in of_heads for level in THRESHOLDS]
            threshold[reading].append([count_links(one, *pair.links) for one in above])
        progress(name, number, len(pairs))
    data = run.config.data.model_dump(exclude={"source_language", "target_language"})
    key = repr((data, run.config.model, run.config.train))
    return HeadCounts(
        name, run.config.model.kind, key, is_reversed, heads, _by_head(argmax), _by_head(threshold), links
    )


def _by_head(counts: Mapping[Reading, list[list[list[int]]]]) -> dict[Reading, list[Counts]]:
    """(sentences, heads, 4) as a matrix for each head."""
    return {reading: list(np.array(rows, dtype=np.float64).transpose(1, 0, 2)) for reading, rows in counts.items()}


def _weights(
    run: TrainedRun, pairs: Sequence[GoldPair]
) -> Iterator[tuple[tuple[str, ...], dict[Reading, list[NDArray[np.float64]]]]]:
    """For each pair the names of all heads, and in each reading their weights between words."""
    subwords = run.subwords
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        sources = subwords.encode_source([pair.source for pair in batch])
        written = [[*ids, EOS_ID] for ids in subwords.encode_target([pair.target for pair in batch])]
        for pair, attention in zip(batch, read_attention(run.model, subwords, sources, written), strict=True):
            source = words_of_subwords(subwords, pair.source, pair.source_words, "source")
            target = words_of_subwords(subwords, pair.target, pair.target_words, "target")
            cross = attention.weights["cross"]
            yield (
                tuple(_head_names([len(layer) for layer in cross])),
                {
                    reading: _with_means([word_weights(layer, source, target, reading) for layer in cross])
                    for reading in READINGS
                },
            )


def _head_names(n_heads_of_layers: Sequence[int]) -> Iterator[str]:
    for layer, n_heads in enumerate(n_heads_of_layers, start=1):
        prefix = f"layer {layer}" if len(n_heads_of_layers) > 1 else ""
        if n_heads > 1:
            yield f"{prefix} mean".strip()
        for head in range(1, n_heads + 1):
            yield f"{prefix} head {head}".strip() if n_heads > 1 else prefix or "the only one"


def _with_means(weights: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The weights of each head; of several heads in a layer, their mean comes first."""
    found = []
    for layer in weights:
        found += [layer.mean(axis=0)] if len(layer) > 1 else []
        found += list(layer)
    return found


def over_training(
    heads: HeadCounts, run: TrainedRun, pairs: Sequence[GoldPair], progress: Progress
) -> Iterator[tuple[int, HeadCounts]]:
    """The counts after each kept checkpoint of `run`; none where it has fewer than two. Restores its weights."""
    steps = run.folder.steps()
    if len(steps) < 2:
        return
    final = {name: weight.clone() for name, weight in weights_of(run.model).items()}
    try:
        for step in steps:
            checkpoint = run.folder.step(step)
            set_weights(run.model, load_weights(checkpoint), str(checkpoint))
            yield step, count_heads(heads.run, run, pairs, heads.is_reversed, lambda *_: None)
            progress(f"{heads.run}, checkpoints", steps.index(step) + 1, len(steps))
    finally:
        set_weights(run.model, final, str(run.folder.path))

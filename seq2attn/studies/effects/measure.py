"""Weights and effects of a run, on its own translations of test sentences"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np

from seq2attn.attention.drops import measure_drops
from seq2attn.attention.read import read_attention
from seq2attn.attention.words import group_subwords, merge_weights, sum_rows
from seq2attn.corpora.load import load_corpus
from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.translate import Translator
from seq2attn.errors import RunError
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.effects.agreement import BIN_EDGES, EFFECTS, Cell, MeasuredRun, Values, kendall
from seq2attn.studies.sample import spread
from seq2attn.studies.study import Progress

MIN_WORDS, MAX_WORDS = 3, 40
"""Of a source: fewer cannot be ranked, and more would take long."""
_EXAMPLE_WORDS = range(4, 9)


class Reading(NamedTuple):
    """A way to read weights from a model, over words without the end of the sentence, `(written, source)` each."""

    name: str
    weights: Values
    own_look: Values
    """Drops where the look is forbidden to the heads that are read."""


class MeasuredSentence(NamedTuple):
    """A sentence and its translation, over words without the end of the sentence, `(written, source)` each."""

    source: tuple[str, ...]
    written: tuple[str, ...]
    readings: tuple[Reading, ...]
    """The mean of all heads first."""
    every_look: Values
    left_out: Values


def measure_run(name: str, run: TrainedRun, n_sentences: int, is_short: bool, progress: Progress) -> MeasuredRun:
    """What was found on at most `n_sentences` test sentences, spread over all or the shortest ones.

    In float64 on the CPU, so that no rank depends on rounding.

    Raises: RunError where no sentence has a fitting length.
    """
    corpus = load_corpus(run.config.data)
    sources = _choose(run, list(corpus.splits["test"]["source"]), n_sentences, is_short)
    if not sources:
        raise RunError(f"{run.folder.path}: no test sentence has {MIN_WORDS} to {MAX_WORDS} words, as this study needs")
    greedy = run.config.decode.model_copy(update={"beam_size": 1})
    model = deepcopy(run.model).cpu().double().eval()
    translator = Translator(model, run.subwords, greedy)
    sentences = []
    for number, source in enumerate(sources, start=1):
        (hypothesis,) = translator.search([source])[0]
        written = [*hypothesis.token_ids, *([EOS_ID] if hypothesis.finished else [])]
        sentences.append(measure_sentence(model, run, source, written))
        progress(name, number, len(sources))
    return _sum_up(name, run, f"{corpus.digest} {run.subwords.digest}", sentences)


def _choose(run: TrainedRun, texts: Sequence[str], number: int, is_short: bool) -> list[list[int]]:
    """Encoded sources with `MIN_WORDS` to `MAX_WORDS` words."""
    encoded = run.subwords.encode_source(texts)
    lengths = [len(group_subwords(run.subwords.pieces(ids[:-1], "source")).words) for ids in encoded]
    fitting = [ids for ids, length in zip(encoded, lengths, strict=True) if MIN_WORDS <= length <= MAX_WORDS]
    return sorted(fitting, key=len)[:number] if is_short else spread(fitting, number)


def measure_sentence(
    model: Seq2Seq, run: TrainedRun, source: Sequence[int], written: Sequence[int]
) -> MeasuredSentence:
    """Weights and drops of one translation; `written` has EOS at its end unless it was cut off."""
    (attention,) = read_attention(model, run.subwords, [source], [written])
    columns = attention.source.word_of[:-1]
    cross = attention.weights["cross"]
    drops = measure_drops(model, source, written, columns, [len(layer) for layer in cross])
    rows = attention.written
    n_written = len(rows.words) - (written[-1] == EOS_ID)
    weights = [merge_weights(layer, rows, attention.source)[:, :n_written, :-1] for layer in cross]

    def of_words(values: Values) -> Values:
        """Sums over the subwords of each written word."""
        return sum_rows(values, rows)[..., :n_written, :]

    every_look = of_words(drops.every_look)
    readings = _readings(weights, every_look, [*map(of_words, drops.layers)], [*map(of_words, drops.heads)])
    return MeasuredSentence(
        attention.source.words[:-1], rows.words[:n_written], tuple(readings), every_look, of_words(drops.left_out)
    )


def _readings(
    weights: Sequence[Values], every_look: Values, layers: Sequence[Values], heads: Sequence[Values]
) -> Iterator[Reading]:
    """The mean of all heads, then of each layer the mean and each head; `heads`: drops, (heads, written, source)."""
    together = np.concatenate(weights)
    if len(together) == 1:
        yield Reading("the only one", together[0], every_look)
        return
    yield Reading("mean of all heads", together.mean(axis=0), every_look)
    for number, (layer, of_layer, of_heads) in enumerate(zip(weights, layers, heads, strict=True), start=1):
        yield Reading(f"layer {number} mean", layer.mean(axis=0), of_layer)
        for head, (of_head, own) in enumerate(zip(layer, of_heads, strict=True), start=1):
            yield Reading(f"layer {number} head {head}", of_head, own)


def _sum_up(name: str, run: TrainedRun, digest: str, sentences: Sequence[MeasuredSentence]) -> MeasuredRun:
    agreements = [
        [[kendall(reading.weights, drop) for drop in _effects(reading, sentence)] for reading in sentence.readings]
        for sentence in sentences
    ]
    tau, same_largest = (
        np.array([[[float(effect[part].sum()) for effect in reading] for reading in found] for found in agreements])
        for part in (0, 1)
    )
    example = next((found for found in sentences if len(found.source) in _EXAMPLE_WORDS), sentences[0])
    return MeasuredRun(
        name,
        run.config.model.kind,
        digest,
        tuple(reading.name for reading in sentences[0].readings),
        np.array([len(sentence.written) for sentence in sentences], dtype=np.float64),
        tau,
        same_largest,
        np.array([_drops_of_largest(sentence) for sentence in sentences]),
        np.array([_bins(sentence) for sentence in sentences]),
        tuple(_cells(example)),
    )


def _effects(reading: Reading, sentence: MeasuredSentence) -> tuple[Values, ...]:
    """In the order of `EFFECTS`."""
    effects = {"own look": reading.own_look, "every look": sentence.every_look, "left out": sentence.left_out}
    return tuple(effects[effect] for effect in EFFECTS)


def _drops_of_largest(sentence: MeasuredSentence) -> list[float]:
    """Sums of the drops of each written word's source word with the largest mean weight."""
    largest = sentence.readings[0].weights.argmax(axis=1)[:, None]
    drops = (sentence.every_look, sentence.left_out)
    return [float(np.take_along_axis(drop, largest, axis=1).sum()) for drop in drops]


def _bins(sentence: MeasuredSentence) -> Values:
    """(bins, 3) pairs of words by mean weight: their number, and sums of both drops."""
    weights = sentence.readings[0].weights.ravel()
    drops = (np.ones_like(weights), sentence.every_look.ravel(), sentence.left_out.ravel())
    return np.stack([np.histogram(weights, BIN_EDGES, weights=drop)[0] for drop in drops], axis=1)


def _cells(sentence: MeasuredSentence) -> Iterator[Cell]:
    weights = sentence.readings[0].weights
    for row, written in enumerate(sentence.written):
        for column, source in enumerate(sentence.source):
            drops = sentence.every_look[row, column], sentence.left_out[row, column]
            yield Cell(written, source, float(weights[row, column]), *map(float, drops))

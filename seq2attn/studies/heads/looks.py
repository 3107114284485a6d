"""What each head looks at: the share of its weight on neighbours, the sentence's end, punctuation, rare words, …"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.alignment import words_of_subwords
from seq2attn.attention.read import read_attention
from seq2attn.data.encoded import EncodedPairs
from seq2attn.data.subwords import BOS_ID, EOS_ID
from seq2attn.evaluation.resampling import N_RESAMPLES, SEED, percentile_interval, resample_sums
from seq2attn.pruning.heads import Head, Kind, heads_of
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.alignment.gold import GoldPair
from seq2attn.studies.sample import TextPair

Relation = Literal["previous", "next", "same", "boundary", "punctuation", "rare", "aligned"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
POSITIONAL: tuple[Relation, ...] = ("previous", "next", "same")
RELATIONS_OF: Mapping[Kind, tuple[Relation, ...]] = {
    "encoder": (*POSITIONAL, "boundary", "punctuation", "rare"),
    "decoder": ("previous", "same", "boundary", "punctuation", "rare"),
    "cross": ("boundary", "punctuation", "rare", "aligned"),
}
Values = NDArray[np.float64]
_BATCH = 16


@dataclass(frozen=True)
class Looks:
    """Sums over the rows of each sentence's maps."""

    heads: tuple[Head, ...]
    weights: Values
    """(n_sentences, heads, relations) weight on the tokens of a relation, summed over rows that have such tokens."""
    uniform: Values
    """(n_sentences, heads, relations) the same of equal weights on all tokens that a row may look at."""
    rows: Values
    """(n_sentences, heads, relations) how many rows have such tokens."""

    def shares(self) -> Values:
        """(heads, relations) mean share of a row's weight; NaN where there is none."""
        return _ratio(self.weights.sum(axis=0), self.rows.sum(axis=0))

    def uniform_shares(self) -> Values:
        """(heads, relations) the same of equal weights."""
        return _ratio(self.uniform.sum(axis=0), self.rows.sum(axis=0))

    def best(self, kind: Kind, relations: Sequence[Relation]) -> tuple[float, float, float, str]:
        """The largest share of any head of `kind` on any of `relations`, its interval, and which ones they are.

        Head and relation are chosen for each half of the sentences on the other half.
        """
        columns = [RELATIONS.index(relation) for relation in relations]
        places = [(index, column) for index, head in enumerate(self.heads) if head.kind == kind for column in columns]
        half = np.arange(len(self.weights)) % 2
        rows, names = np.zeros((len(self.weights), 2)), []
        for side in (0, 1):
            other = half != side
            shares = [
                _mean(self.weights[other, head, column], self.rows[other, head, column]) for head, column in places
            ]
            head, column = places[int(np.argmax(shares))]
            rows[~other] = np.column_stack([self.weights[~other, head, column], self.rows[~other, head, column]])
            names.append(f"{self.heads[head]} ({RELATIONS[column]})")
        sums = resample_sums(rows, N_RESAMPLES, np.random.default_rng(SEED))
        low, high = percentile_interval(_ratio(sums[:, 0], sums[:, 1]))
        return _mean(rows[:, 0], rows[:, 1]), low, high, " / ".join(dict.fromkeys(names))


def _mean(weights: Values, rows: Values) -> float:
    return float(weights.sum() / rows.sum()) if rows.sum() else 0.0


def _ratio(numerator: Values, denominator: Values) -> Values:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def token_counts(pairs: EncodedPairs, source_size: int, target_size: int) -> tuple[Values, Values]:
    """How often each subword occurs in the sources and in the targets of the training text, (vocab_size,) each."""
    sources = np.concatenate([pairs.source(index) for index in range(len(pairs))])
    targets = np.concatenate([pairs.target(index) for index in range(len(pairs))])
    of_both = np.bincount(sources, minlength=source_size), np.bincount(targets, minlength=target_size)
    return of_both[0].astype(np.float64), of_both[1].astype(np.float64)


def read_looks(run: TrainedRun, pairs: Sequence[TextPair], counts: tuple[Values, Values]) -> Looks:
    """What the heads of `run`, a transformer, look at while it is forced to write the targets of `pairs`.

    `counts`: of each subword in training, by side.
    """
    config = run.config.model
    assert config.kind == "transformer"
    heads, rows = heads_of(config), []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        sources = run.subwords.encode_source([pair.source for pair in batch])
        written = [[*ids, EOS_ID] for ids in run.subwords.encode_target([pair.target for pair in batch])]
        attentions = read_attention(run.model, run.subwords, sources, written)
        for pair, source, target, attention in zip(batch, sources, written, attentions, strict=True):
            relations = _relations(run, pair, source, target, counts)
            rows.append(
                [
                    _sums(weights, relations[kind], kind)
                    for kind in RELATIONS_OF
                    for layer in attention.weights[kind]
                    for weights in layer
                ]
            )
    sums = np.array(rows, dtype=np.float64)
    return Looks(heads, sums[..., 0, :], sums[..., 1, :], sums[..., 2, :])


def _sums(weights: Values, relations: Mapping[Relation, Values], kind: Kind) -> Values:
    """(3, relations): weight, that of equal weights, and rows with a token of the relation."""
    visible = np.tril(np.ones_like(weights)) if kind == "decoder" else np.ones_like(weights)
    found = np.zeros((3, len(RELATIONS)))
    for relation, related in relations.items():
        seen = related * visible
        has = seen.any(axis=1)
        equal = seen.sum(axis=1) / visible.sum(axis=1)
        found[:, RELATIONS.index(relation)] = (weights * seen).sum(), equal[has].sum(), has.sum()
    return found


def _relations(
    run: TrainedRun, pair: TextPair, source: Sequence[int], written: Sequence[int], counts: tuple[Values, Values]
) -> dict[Kind, dict[Relation, Values]]:
    """For each kind and relation (rows, columns): 1 where the column is related to the row."""
    read = [BOS_ID, *written[:-1]]
    of_source = _of_tokens(source, run.subwords.pieces(list(source), "source"), counts[0])
    of_read = _of_tokens(read, run.subwords.pieces(read, "target"), counts[1])
    n_source, n_written = len(source), len(written)
    cross = {name: np.tile(row, (n_written, 1)) for name, row in of_source.items()}
    if pair.gold is not None:
        cross["aligned"] = aligned_subwords(run, pair.gold, n_source, n_written)
    return {
        "encoder": {
            "previous": np.eye(n_source, k=-1),
            "next": np.eye(n_source, k=1),
            "same": np.eye(n_source),
            **{name: np.tile(row, (n_source, 1)) for name, row in of_source.items()},
        },
        "decoder": {
            "previous": np.eye(n_written, k=-1),
            "same": np.eye(n_written),
            **{name: np.tile(row, (n_written, 1)) for name, row in of_read.items()},
        },
        "cross": cross,
    }


def _of_tokens(ids: Sequence[int], pieces: Sequence[str], counts: Values) -> dict[Relation, Values]:
    """For each relation that does not depend on the row (tokens,): 1 for its tokens."""
    boundary = np.array([token in (BOS_ID, EOS_ID) for token in ids], dtype=np.float64)
    frequency = np.where(boundary > 0, np.inf, counts[list(ids)])
    rare = (frequency == frequency.min()) & np.isfinite(frequency)
    punctuation = np.array([_is_punctuation(piece) for piece in pieces], dtype=np.float64)
    return {"boundary": boundary, "punctuation": punctuation, "rare": rare.astype(np.float64)}


def _is_punctuation(piece: str) -> bool:
    text = piece.removeprefix("▁")
    return bool(text) and all(unicodedata.category(character).startswith("P") for character in text)


def aligned_subwords(run: TrainedRun, gold: GoldPair, n_source: int, n_written: int) -> Values:
    """(written, source) 1 between subwords of linked words; the last of both is the end of the sentence."""
    found = np.zeros((n_written, n_source))
    source = words_of_subwords(run.subwords, gold.source, gold.source_words, "source").word_of
    target = words_of_subwords(run.subwords, gold.target, gold.target_words, "target").word_of
    for row, column in _pairs(source, target, gold):
        found[row, column] = 1.0
    return found


def _pairs(source: Sequence[int], target: Sequence[int], gold: GoldPair) -> Iterator[tuple[int, int]]:
    for row, written_word in enumerate(target):
        for column, source_word in enumerate(source):
            if (source_word, written_word) in gold.links.sure:
                yield row, column

"""Sentence lengths, and the bins that make the buckets of a curve"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.errors import ConfigError, DataError

LengthOf = Literal["source", "reference"]
LengthUnit = Literal["words", "characters", "subwords"]
Lengths = NDArray[np.int64]

_SENTENCES_AT_ONCE = 10_000
_FORMS = "expected first lengths as in 0,10,20,30,40,50,60, or width:10, or count:6"


class Range(NamedTuple):
    """Lengths from `low` up to, but not including, `high`; None: without end."""

    low: int
    high: int | None

    @property
    def label(self) -> str:
        """The lengths with both ends included: `10–19`, `60+`."""
        if self.high is None:
            return f"{self.low}+"
        return f"{self.low}–{self.high - 1}" if self.high - self.low > 1 else f"{self.low}"

    def includes(self, lengths: Lengths) -> NDArray[np.bool_]:
        """Whether each length is in the range."""
        above = lengths >= self.low
        return above if self.high is None else above & (lengths < self.high)


EVERY_LENGTH = Range(0, None)


@dataclass(frozen=True)
class Bins:
    """Ranges of length: from each edge up to, but not including, the next; the last has no end.

    A sentence of 10 words is therefore in 10–19, not in 0–9. The first edge is 0, so that every sentence is in a bin.
    """

    edges: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises: ConfigError where the edges do not increase from 0."""
        if self.edges[:1] != (0,) or any(high <= low for low, high in pairwise(self.edges)):
            raise ConfigError(f"bins {self}: expected increasing whole numbers from 0 on, as in {DEFAULT_BINS}")

    def __str__(self) -> str:
        """The edges as `parse_binning` reads them."""
        return ",".join(map(str, self.edges))

    def fit(self, lengths: Lengths) -> Bins:
        """These bins, for any lengths."""
        return self

    def ranges(self) -> list[Range]:
        """The range of each bucket."""
        return [Range(low, high) for low, high in zip(self.edges, [*self.edges[1:], None], strict=True)]

    def assign(self, lengths: Lengths) -> NDArray[np.intp]:
        """The index of each length's bucket."""
        return np.searchsorted(self.edges, lengths, side="right") - 1


@dataclass(frozen=True)
class EqualWidth:
    """Bins that are `width` wide, as many as the longest sentence needs."""

    width: int

    def fit(self, lengths: Lengths) -> Bins:
        """The bins for sentences of these lengths."""
        return Bins(tuple(range(0, int(lengths.max(initial=0)) + 1, self.width)))


@dataclass(frozen=True)
class EqualCount:
    """At most `n_bins` bins with about as many sentences in each; sentences of equal length share a bin."""

    n_bins: int

    def fit(self, lengths: Lengths) -> Bins:
        """The bins for sentences of these lengths."""
        ordered = np.sort(lengths)
        firsts = {int(ordered[place * len(ordered) // self.n_bins]) for place in range(1, self.n_bins) if len(ordered)}
        return Bins((0, *sorted(firsts - {0, int(ordered[0]) if len(ordered) else 0})))


Binning = Bins | EqualWidth | EqualCount

DEFAULT_BINS = Bins((0, 10, 20, 30, 40, 50, 60))


def parse_binning(text: str) -> Binning:
    """Bins from their edges (`0,10,20`), of equal width (`width:10`) or of equal count (`count:6`).

    Raises: ConfigError where the text is none of these.
    """
    kind, colon, number = text.partition(":")
    try:
        if not colon:
            return Bins(tuple(int(edge) for edge in text.split(",")))
        if (value := int(number)) < 1:
            raise ValueError(value)
        rules: dict[str, type[EqualWidth] | type[EqualCount]] = {"width": EqualWidth, "count": EqualCount}
        return rules[kind](value)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"bins {text}: {_FORMS}") from error


def length_unit(language: str) -> LengthUnit:
    """The unit that lengths of sentences in `language` are counted in."""
    return "characters" if is_unspaced(language) else "words"


def sentence_lengths(sentences: Iterable[str], unit: LengthUnit, subwords_model: Path | None = None) -> Lengths:
    """The length of each raw sentence, `(n_sentences,)`.

    Words are separated by white space; characters are counted without it; subwords are pieces of the SentencePiece
    model in the file `subwords_model`.

    Raises: ConfigError for subwords without a model; DataError where the file is not a SentencePiece model.
    """
    if unit != "subwords":
        return np.fromiter((count_words(sentence, unit == "characters") for sentence in sentences), dtype=np.int64)
    if subwords_model is None:
        raise ConfigError("lengths in subwords: give the SentencePiece model to count with, --subwords-model FILE")
    return np.fromiter(_subword_counts(sentences, subwords_model), dtype=np.int64)


def _subword_counts(sentences: Iterable[str], model: Path) -> Iterable[int]:
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.read_bytes())
    except OSError as error:
        raise DataError(f"{model}: cannot be read ({error.strerror or error}); give a SentencePiece model") from error
    except RuntimeError as error:
        raise DataError(f"{model}: not a SentencePiece model, or a damaged one; give another file") from error
    remaining = iter(sentences)
    while some := list(islice(remaining, _SENTENCES_AT_ONCE)):
        yield from map(len, processor.encode(some))

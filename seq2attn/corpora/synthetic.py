"""A small made-up language pair, for trying everything without a network.

Sentences of `xa` translate into `xb` word by word, with three more things to learn: adjectives follow their noun,
adverbs follow their verb, and articles agree with the gender of their noun. Clauses are joined into sentences of 3 to
about 70 words. Training has mostly short sentences; in validation and test all lengths are equally frequent, so the
curve over length has enough sentences everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import TypeVar

from seq2attn.data.store import CatalogEntry, RawCorpus, Row
from seq2attn.errors import DataError

_SEED = 20170612
_TRAIN_PAIRS, _VALIDATION_PAIRS, _TEST_PAIRS = 4000, 300, 500
_SHORTEST, _LONGEST = 3, 68
_SHORT_SHARE, _LONGEST_SHORT = 0.75, 14
_WORD = re.compile(r"[^\s,.]+|[,.]")

_Item = TypeVar("_Item")
_Phrase = tuple[list[str], list[str]]
"""The words of a phrase in both languages."""


@dataclass(frozen=True)
class _Word:
    source: str
    target: str
    gender: int = 0


@dataclass(frozen=True)
class _Lexicon:
    names: Sequence[_Word]
    nouns: Sequence[_Word]
    adjectives: Sequence[_Word]
    verbs: Sequence[_Word]
    adverbs: Sequence[_Word]
    prepositions: Sequence[_Word]
    conjunctions: Sequence[_Word]
    articles: Sequence[tuple[str, tuple[str, str]]]
    """In `xa`, and in `xb` for each gender."""


def entries() -> Iterator[CatalogEntry]:
    """The one entry, `synthetic`."""
    yield CatalogEntry(
        name="synthetic",
        title="Made-up language pair with reordering and agreement",
        source_language="xa",
        target_language="xb",
        origin="generated from a fixed seed; no network",
        licence="as this package",
        citation="none",
        size=f"{_TRAIN_PAIRS:,} + {_VALIDATION_PAIRS} + {_TEST_PAIRS} pairs of {_SHORTEST} to 75 words, 117 in all",
        tried=True,
    )


def load(entry: CatalogEntry, local: Path | None, report: Callable[[str], None]) -> RawCorpus:
    """The pairs, always the same ones.

    Raises: DataError if `local` is given, because no file is read.
    """
    if local is not None:
        raise DataError(f"{local}: {entry.name} is generated, not read from files; run the command without --from")
    report(f"Generating {entry.name} …")
    random = Random(_SEED)
    lexicon = _invent_lexicon(random)
    seen: set[str] = set()
    test = _draw_pairs(random, lexicon, _TEST_PAIRS, _any_length, seen)
    validation = _draw_pairs(random, lexicon, _VALIDATION_PAIRS, _any_length, seen)
    train = _draw_pairs(random, lexicon, _TRAIN_PAIRS, _mostly_short, seen)
    return RawCorpus({"train": train, "validation": validation, "test": test}, {"seed": _SEED})


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a sentence in either language."""
    return _WORD.findall(text)


def word_links(source: str, target: str) -> frozenset[tuple[int, int]]:
    """The true word alignment of a pair of this corpus: (source, target) indices into `split_words`, `xa` first.

    Every word and punctuation mark has exactly one link.

    Raises: DataError where `target` is not the translation of `source`.
    """
    words, written = split_words(source), split_words(target)
    order = _target_order(words)
    known = _translations()
    if len(order) != len(written) or any(
        written[place] not in known.get(words[from_source], ()) for place, from_source in enumerate(order)
    ):
        raise DataError(f"not a pair of the corpus synthetic: {source[:60]!r} and {target[:60]!r}")
    return frozenset((from_source, place) for place, from_source in enumerate(order))


def _target_order(words: Sequence[str]) -> list[int]:
    """For each target word the index of its source word: adjectives go behind their noun, adverbs behind their verb."""
    lexicon = _lexicon()
    adjectives, adverbs = ({word.source for word in group} for group in (lexicon.adjectives, lexicon.adverbs))
    order: list[int] = []
    waiting: list[int] = []
    for place, word in enumerate(words):
        if word in adjectives or word in adverbs:
            waiting.append(place)
        else:
            order += [place, *waiting]
            waiting = []
    return order + waiting


@cache
def _lexicon() -> _Lexicon:
    return _invent_lexicon(Random(_SEED))


@cache
def _translations() -> dict[str, tuple[str, ...]]:
    """Every target word that a source word can become; punctuation stays."""
    lexicon = _lexicon()
    groups = (lexicon.names, lexicon.nouns, lexicon.adjectives, lexicon.verbs, lexicon.adverbs)
    words = [word for group in (*groups, lexicon.prepositions, lexicon.conjunctions) for word in group]
    return {",": (",",), ".": (".",)} | {word.source: (word.target,) for word in words} | dict(lexicon.articles)


def _draw_pairs(
    random: Random, lexicon: _Lexicon, number: int, draw_length: Callable[[Random], int], seen: set[str]
) -> list[Row]:
    """`number` pairs with sources that are not in `seen`, to which they are added."""
    rows: list[Row] = []
    while len(rows) < number:
        source, target = _sentence(random, lexicon, draw_length(random))
        if source not in seen:
            seen.add(source)
            rows.append((source, target, None))
    return rows


def _any_length(random: Random) -> int:
    return _draw(random, range(_SHORTEST, _LONGEST + 1))


def _mostly_short(random: Random) -> int:
    if random.random() < _SHORT_SHARE:
        return _draw(random, range(_SHORTEST, _LONGEST_SHORT + 1))
    return _any_length(random)


def _draw(random: Random, items: Sequence[_Item]) -> _Item:
    # Only `random()` is guaranteed to give the same numbers in every version of Python; `choice` is not.
    return items[int(random.random() * len(items))]


def _sentence(random: Random, lexicon: _Lexicon, length: int) -> tuple[str, str]:
    """Joined clauses of `length` words or a few more."""
    source, target = _clause(random, lexicon, length)
    while len(source) < length:
        conjunction = _draw(random, lexicon.conjunctions)
        more_source, more_target = _clause(random, lexicon, length - len(source) - 1)
        source[-1] += ","
        target[-1] += ","
        source += [conjunction.source, *more_source]
        target += [conjunction.target, *more_target]
    return " ".join(source) + ".", " ".join(target) + "."


def _clause(random: Random, lexicon: _Lexicon, room: int) -> _Phrase:
    """Subject, verb and object, and at random an adverb and a place if they fit into `room` words."""
    subject_source, subject_target = _noun_phrase(random, lexicon, room - 2)
    verb = _draw(random, lexicon.verbs)
    verb_source, verb_target = [verb.source], [verb.target]
    if room > len(subject_source) + 4 and random.random() < 0.3:
        adverb = _draw(random, lexicon.adverbs)
        verb_source, verb_target = [adverb.source, verb.source], [verb.target, adverb.target]
    source, target = subject_source + verb_source, subject_target + verb_target
    object_source, object_target = _noun_phrase(random, lexicon, room - len(source))
    source, target = source + object_source, target + object_target
    if room > len(source) + 4 and random.random() < 0.4:
        preposition = _draw(random, lexicon.prepositions)
        place_source, place_target = _noun_phrase(random, lexicon, room - len(source) - 1)
        source, target = [*source, preposition.source, *place_source], [*target, preposition.target, *place_target]
    return source, target


def _noun_phrase(random: Random, lexicon: _Lexicon, room: int) -> _Phrase:
    """A name, or article and noun with up to two adjectives."""
    if room < 2 or random.random() < 0.3:
        name = _draw(random, lexicon.names)
        return [name.source], [name.target]
    noun = _draw(random, lexicon.nouns)
    article_source, article_targets = _draw(random, lexicon.articles)
    number = min(room - 2, _draw(random, (0, 0, 1, 1, 2)))
    adjectives = [_draw(random, lexicon.adjectives) for _ in range(number)]
    source = [article_source, *(adjective.source for adjective in adjectives), noun.source]
    target = [article_targets[noun.gender], noun.target, *(adjective.target for adjective in adjectives)]
    return source, target


def _invent_lexicon(random: Random) -> _Lexicon:
    source_words = _invent_words(random, "ptkmnslr", "aeiou")
    target_words = _invent_words(random, "bdgvzfjh", "aeiouy")

    def words(number: int) -> list[_Word]:
        return [_Word(next(source_words), next(target_words), gender=index % 2) for index in range(number)]

    return _Lexicon(
        names=[_Word(word.source.title(), word.target.title()) for word in words(12)],
        nouns=words(40),
        adjectives=words(20),
        verbs=words(24),
        adverbs=words(8),
        prepositions=words(6),
        conjunctions=words(4),
        articles=[(next(source_words), (next(target_words), next(target_words))) for _ in range(3)],
    )


def _invent_words(random: Random, consonants: str, vowels: str) -> Iterator[str]:
    """Endless distinct words of two or three syllables."""
    known: set[str] = set()
    while True:
        word = "".join(_draw(random, consonants) + _draw(random, vowels) for _ in range(_draw(random, (2, 2, 3))))
        if word not in known:
            known.add(word)
            yield word

"""Pairs made from other pairs: the clauses of one pair, and several pairs joined."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise, product
from typing import NamedTuple

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.config.schema import JoinConfig
from seq2attn.data.files import Pair
from seq2attn.data.store import Row

MAX_JOINED_WORDS = 200
"""Limit on the words of a joined source; a single sentence may be longer."""

BLOCK_SENTENCES = 24
"""Text without documents is joined within blocks of this many sentences that can be joined."""


class JoinedRow(NamedTuple):
    """A pair of one sentence or of several joined ones."""

    source: str
    target: str
    document: str
    """Its document or block; every sentence belongs to exactly one."""
    members: tuple[int, ...]
    """Indices of its sentences in the split, in their order."""


CountWords = Callable[[str, str], tuple[int, int]]
"""Returns the number of words of a source and of its target."""


def _clause_pattern(marks: str) -> re.Pattern[str]:
    """A clause and the mark that ends it. Closing quotes may follow the mark, then a space or the end of the text."""
    return re.compile(rf"""\s*(.+?(?:([{marks}])[{marks}]*(?:["'”’)\]]|\s?»)*(?=\s|$)|$))""")


_STRONG = _clause_pattern(".;:!?")
_ANY = _clause_pattern(".;:!?,")

# Translators interchange these three freely, but keep questions, exclamations and commas.
_SAME_PAUSE = str.maketrans(";:", "..")


def clause_pairs(source: str, target: str, count_words: CountWords) -> list[Pair]:
    """The clauses of a normalised pair, and each two neighbouring ones, without duplicates and without the whole pair.

    The pair is divided at strong marks if both sides have the same ones. Each part (or the whole pair, if it was not
    divided) is also divided at commas.
    """
    whole = (source, target)
    parts = _divide(whole, _STRONG, count_words)
    found = _with_neighbours(parts)
    for part in parts or [whole]:
        found += _with_neighbours(_divide(part, _ANY, count_words))
    return [pair for pair in dict.fromkeys(found) if pair != whole]


def divide_pair(pair: Pair, longest: int | None, count_words: CountWords) -> list[Pair]:
    """The pair in parts: divided at strong marks, and parts with more than `longest` source words also at commas.

    A pair or part stays whole if its sides do not have the same marks. `longest`: None: divide no part at commas.
    """
    parts = []
    for part in _divide(pair, _STRONG, count_words) or [pair]:
        short = longest is None or count_words(*part)[0] <= longest
        parts += [part] if short else _divide(part, _ANY, count_words) or [part]
    return parts


def _divide(pair: Pair, pattern: re.Pattern[str], count_words: CountWords) -> list[Pair]:
    """The parts of a pair; empty if its sides are not built alike.

    Sides are alike if they have the same number of parts and the same marks between them (`.`, `;` and `:` count as
    one), and no part has more than two words over twice the length of its counterpart. A part that does shows that the
    marks agree by chance, so no part is used. The last marks may differ, because verses often run on into the next.
    """
    (sources, source_marks), (targets, target_marks) = (_parts(text, pattern) for text in pair)
    if len(sources) < 2 or len(sources) != len(targets) or source_marks[:-1] != target_marks[:-1]:
        return []
    parts = list(zip(sources, targets, strict=True))
    for part in parts:
        shorter, longer = sorted(count_words(*part))
        if longer > 2 * shorter + 2:
            return []
    return parts


def _parts(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The parts of a text, and the mark that ends each ("" if the text ends without one)."""
    matches = [match.groups(default="") for match in pattern.finditer(text)]
    return [part for part, _ in matches], [mark.translate(_SAME_PAUSE) for _, mark in matches]


def _with_neighbours(parts: Sequence[Pair]) -> list[Pair]:
    """The parts, and each joined with the next: this adds sentences of medium length, which are otherwise rare."""
    twos = [(f"{first[0]} {second[0]}", f"{first[1]} {second[1]}") for first, second in pairwise(parts)]
    return [*parts, *twos]


def consecutive_groups(
    documents: Sequence[str | None], lengths: Sequence[int], size: int, longest: int = MAX_JOINED_WORDS
) -> list[range]:
    """The rows in groups of `size` consecutive rows of one document (Varis and Bojar 2021); each row is in one group.

    A group is smaller at the end of its document, or where the next row would make it longer than `longest`. Rows
    without a document (None) stay alone.

    Args:
        documents: the document of each row.
        lengths: the length of each row, in words.
        size: rows in a full group, 1 or more.
        longest: limit on the words in a group of several rows.
    """
    groups: list[range] = []
    words = 0
    for row, (document, length) in enumerate(zip(documents, lengths, strict=True)):
        words += length
        last = groups[-1] if groups else range(0)
        continues = 0 < len(last) < size and document is not None and document == documents[row - 1]
        if continues and words <= longest:
            groups[-1] = range(last.start, row + 1)
        else:
            groups.append(range(row, row + 1))
            words = length
    return groups


def join_texts(texts: Sequence[str], language: str) -> str:
    """The texts in one, with spaces between them if the language is written with spaces."""
    return ("" if is_unspaced(language) else " ").join(texts)


def join_split(
    rows: Iterable[Row], settings: JoinConfig, languages: Pair, split: str, training: bool
) -> Iterator[JoinedRow]:
    """The rows of a split in groups of every size: for each document the single rows, then the larger groups.

    Every sentence of up to `settings.max_sentence_words` is in one group of each size above 1, or in `settings.draws`
    of them if held out; longer ones stay single. A group is smaller at the end of its document or if it reaches
    `settings.max_words`; if only one sentence is left in it, it is dropped, because single sentences are included.

    Args:
        rows: cleaned pairs; those of a document are consecutive.
        settings: sizes, order and limits.
        languages: of source and target; sentences are joined with spaces if the language is written with spaces.
        split: part of the seed, so that splits are joined independently.
        training: write single sentences `settings.singles` times, and group sentences once.
    """
    counted = 0
    unspaced = is_unspaced(languages[0])
    measured = ((row, count_words(row[0], unspaced)) for row in rows)
    for number, (document, block) in enumerate(_blocks(measured, settings)):
        sources, targets = [row[0] for row, _ in block], [row[1] for row, _ in block]
        words = [length for _, length in block]
        name = f"block {number}" if document is None else document
        for members in _groups_of_block(words, settings, training, f"{settings.seed}/{split}/{number}"):
            yield JoinedRow(
                join_texts([sources[row] for row in members], languages[0]),
                join_texts([targets[row] for row in members], languages[1]),
                name,
                tuple(counted + row for row in members),
            )
        counted += len(block)


def _groups_of_block(words: Sequence[int], settings: JoinConfig, training: bool, seed: str) -> Iterator[list[int]]:
    """The rows of each group of a block; single sentences first. `words`: of each row. `seed`: of random order."""
    for row in range(len(words)):
        yield from [[row]] * (settings.singles if training else 1)
    joinable = [row for row in range(len(words)) if is_joinable(words[row], settings)]
    for size, draw in product(settings.sizes[1:], range(1 if training else settings.draws)):
        order = list(joinable)
        if settings.order == "random":
            random.Random(hashlib.sha256(f"{seed}/{size}/{draw}".encode()).digest()).shuffle(order)
        for part in _even_parts(order, size) if settings.min_document_sentences > 1 else [order]:
            lengths = [words[row] for row in part]
            for group in consecutive_groups([seed] * len(part), lengths, size, settings.max_words):
                if len(group) > 1:
                    yield [part[position] for position in group]


def _even_parts(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    """The rows in as few parts of at most `size` as possible, which differ by at most one row."""
    n_parts = math.ceil(len(rows) / size)
    ends = [len(rows) * part // n_parts for part in range(n_parts + 1)]
    return [rows[start:end] for start, end in pairwise(ends)]


def is_joinable(words: int, settings: JoinConfig) -> bool:
    """Whether a sentence of so many source words is short enough to be joined."""
    return settings.max_sentence_words is None or words <= settings.max_sentence_words


def _blocks(
    measured: Iterable[tuple[Row, int]], settings: JoinConfig
) -> Iterator[tuple[str | None, list[tuple[Row, int]]]]:
    """The rows of each document, with their words; without one, in blocks with `BLOCK_SENTENCES` joinable rows.

    A document with too few joinable rows for `settings` is taken together with the next ones, under its name.
    """
    small: list[tuple[Row, int]] = []
    name: str | None = None
    for document, rows in groupby(measured, key=lambda item: item[0][2]):
        if document is None:
            if small:
                yield name, small
                small = []
            yield from ((None, block) for block in _blocks_without_documents(rows, settings))
            continue
        name = name if small else document
        small += rows
        if sum(is_joinable(words, settings) for _, words in small) >= settings.min_document_sentences:
            yield name, small
            small = []
    if small:
        yield name, small


def _blocks_without_documents(rows: Iterable[tuple[Row, int]], settings: JoinConfig) -> Iterator[list[tuple[Row, int]]]:
    block: list[tuple[Row, int]] = []
    joinable = 0
    for row, words in rows:
        block.append((row, words))
        joinable += is_joinable(words, settings)
        if joinable == BLOCK_SENTENCES:
            yield block
            block, joinable = [], 0
    if block:
        yield block

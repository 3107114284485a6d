"""Word alignments that are known: of the made-up corpus exactly, of the Greek one by hand, of the user's from a file"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from seq2attn.config.languages import is_punctuation
from seq2attn.config.schema import DataConfig
from seq2attn.corpora import synthetic
from seq2attn.corpora.load import load_corpus
from seq2attn.corpora.packaged import greek
from seq2attn.data.cleaning import normalise
from seq2attn.data.files import read_pairs
from seq2attn.data.pharaoh import GoldLinks, read_links
from seq2attn.data.store import corpus_folder, data_folder
from seq2attn.evaluation.word_alignment import Links, flip

SYNTHETIC = "synthetic"
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class GoldPair:
    """A sentence pair with its words and their links."""

    source: str
    target: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    links: GoldLinks
    left_out: tuple[frozenset[int], frozenset[int]] = (_NONE, _NONE)
    """Source and target words that the gold standard says nothing about: punctuation, where nobody linked it."""

    def flipped(self) -> GoldPair:
        """The pair for the other direction of translation."""
        links = GoldLinks(flip(self.links.sure), flip(self.links.possible))
        left_out = self.left_out[1], self.left_out[0]
        return GoldPair(self.target, self.source, self.target_words, self.source_words, links, left_out)

    def counted(self, links: Links) -> Links:
        """The `links` between words that the gold standard does not leave out."""
        sources, targets = self.left_out
        return frozenset(link for link in links if link[0] not in sources and link[1] not in targets)


@dataclass(frozen=True)
class Gold:
    """Sentence pairs with a known word alignment. A new source of them is one more function that returns this."""

    name: str
    source_language: str | None
    """None: that of the first run."""
    pairs: tuple[GoldPair, ...]
    split_words: Callable[[str], list[str]]
    """How further text of the same kind is split into words, for aligners that learn from it."""

    def flipped(self) -> Gold:
        """The same for the other direction of translation."""
        return replace(self, pairs=tuple(pair.flipped() for pair in self.pairs))

    def first(self, number: int) -> Gold:
        """The first `number` pairs."""
        return replace(self, pairs=self.pairs[:number])


class GoldFiles(NamedTuple):
    """The user's own alignment: links in Pharaoh format, and the text, whose words are separated by spaces."""

    links: Path
    source: Path
    target: Path
    one_based: bool = False


def synthetic_gold(folder: str | None) -> Gold:
    """The test pairs of `synthetic` in the data folder `folder`, with exact links between words and punctuation."""
    rows = load_corpus(DataConfig(corpus=SYNTHETIC, folder=folder)).splits["test"]
    pairs = []
    for source, target in zip(rows["source"], rows["target"], strict=True):
        links = GoldLinks(synthetic.word_links(source, target), frozenset())
        words, written = synthetic.split_words(source), synthetic.split_words(target)
        pairs.append(GoldPair(source, target, tuple(words), tuple(written), links))
    return Gold(f"{SYNTHETIC}, test, exact links", "xa", tuple(pairs), synthetic.split_words)


def greek_gold(folder: str | None) -> Gold:
    """The test verses of the Greek New Testament in the data folder `folder`, with links between words made by hand.

    Raises: DataError where the file of links is missing or damaged.
    """
    rows = load_corpus(DataConfig(corpus=greek.NAME, folder=folder)).splits["test"]
    texts = list(zip(rows["source"], rows["target"], strict=True))
    words = [(greek.split_words(source), greek.split_words(target)) for source, target in texts]
    file = corpus_folder(data_folder(folder), greek.NAME) / greek.LINKS
    links = read_links(file, [(len(source), len(target)) for source, target in words])
    pairs = [
        GoldPair(*text, tuple(split[0]), tuple(split[1]), link, (_punctuation(split[0]), _punctuation(split[1])))
        for text, split, link in zip(texts, words, links, strict=True)
    ]
    return Gold(f"{greek.NAME}, test, links made by hand", "grc", tuple(pairs), greek.split_words)


def _punctuation(words: Sequence[str]) -> frozenset[int]:
    return frozenset(index for index, word in enumerate(words) if is_punctuation(word))


KNOWN: Mapping[str, Callable[[str | None], Gold]] = {SYNTHETIC: synthetic_gold, greek.NAME: greek_gold}
"""Corpora whose alignment is known."""


def gold_of_files(files: GoldFiles) -> Gold:
    """The alignment in the user's files; sentence pairs without a word on one side are left out.

    Raises: DataError naming file and line.
    """
    texts = [
        (normalise(source), normalise(target))
        for source, target in read_pairs([str(files.source), str(files.target)], "", "")
    ]
    words = [(tuple(source.split()), tuple(target.split())) for source, target in texts]
    lengths = [(len(source), len(target)) for source, target in words]
    links = read_links(files.links, lengths, files.one_based)
    pairs = [GoldPair(*text, *split, link) for text, split, link in zip(texts, words, links, strict=True) if all(split)]
    return Gold(str(files.links), None, tuple(pairs), str.split)

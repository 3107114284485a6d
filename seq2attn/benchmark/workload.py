"""Synthetic text for benchmarks, the same on every machine

Words of two made-up languages follow Zipf's law (Mandelbrot 1953: frequency ∝ 1 / (rank + 2.7)), frequent ones are
short, and sentences are as long as those of `bible-fr-en`: the words of a source follow a gamma distribution of mean
23.4 and standard deviation 10.2, a target has exp(N(0.15, 0.21)) times as many. Speed depends only on the lengths of
sentences and on the number of subwords, not on what a model learns from the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import datasets
import numpy as np
from numpy.typing import NDArray

from seq2attn.config.schema import SubwordsConfig, TrainConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.data.encoded import EncodedPairs, encode_split
from seq2attn.data.loader import BatchSampler
from seq2attn.data.store import Corpus
from seq2attn.data.subwords import Subwords

_SEED = 1
_WORDS = 20_000
_CONSONANTS, _VOWELS = "ptkmnslr", "aeiou"
_ZIPF_OFFSET = 2.7
_SOURCE_MEAN, _SOURCE_SHAPE = 23.4, 5.3
_LOG_RATIO_MEAN, _LOG_RATIO_DEVIATION = 0.15, 0.21
_SPLIT = "train"


def make_up_text(pairs: int) -> datasets.Dataset:
    """`pairs` sentence pairs in the columns "source" and "target", always the same."""
    random = np.random.default_rng(_SEED)
    spelling = Random(_SEED)
    source_words = np.rint(random.gamma(_SOURCE_SHAPE, _SOURCE_MEAN / _SOURCE_SHAPE, pairs))
    ratios = np.exp(random.normal(_LOG_RATIO_MEAN, _LOG_RATIO_DEVIATION, pairs))
    lengths = {"source": source_words, "target": np.rint(source_words * ratios)}
    sides = {side: _sentences(random, _lexicon(spelling), counts) for side, counts in lengths.items()}
    return datasets.Dataset.from_dict(sides)


def _lexicon(random: Random) -> NDArray[np.str_]:
    """Words by rank, those of rank 1 to 9 with one syllable, 10 to 99 with two, and so on."""
    words: dict[str, None] = {}
    while len(words) < _WORDS:
        syllables = len(str(len(words) + 1))
        words["".join(random.choice(_CONSONANTS) + random.choice(_VOWELS) for _ in range(syllables))] = None
    return np.array(list(words))


def _sentences(random: np.random.Generator, lexicon: NDArray[np.str_], lengths: NDArray[np.float64]) -> list[str]:
    frequencies = 1.0 / (np.arange(1, len(lexicon) + 1) + _ZIPF_OFFSET)
    counts = np.maximum(1, lengths).astype(np.int64)
    words = lexicon[random.choice(len(lexicon), counts.sum(), p=frequencies / frequencies.sum())]
    return [" ".join(sentence) for sentence in np.split(words, np.cumsum(counts)[:-1])]


@dataclass(frozen=True)
class Workload:
    """The text with subwords of its own, encoded."""

    corpus: Corpus
    subwords: Subwords
    pairs: EncodedPairs
    folder: Path
    """Where encoded text may be written."""

    @classmethod
    def prepare(cls, text: datasets.Dataset, config: SubwordsConfig, folder: Path) -> Workload:
        """Train subwords on `text` and encode it into `folder`.

        Raises: ConfigError where the text allows no vocabulary of `config.vocab_size`.
        """
        corpus = Corpus("made-up", "xa", "xb", {_SPLIT: text}, counts={}, digest=f"{_SEED} {len(text)}")
        subwords = Subwords.train(text, config)
        return cls(corpus, subwords, encode_split(corpus, _SPLIT, subwords, folder), folder)

    @property
    def tokens(self) -> int:
        """Subwords of both sides."""
        return int(self.pairs.source_lengths.sum() + self.pairs.target_lengths.sum())

    def encode_again(self) -> None:
        """Text to ids in a file, as before the first epoch of a training."""
        with TemporaryDirectory(dir=self.folder) as fresh:
            encode_split(self.corpus, _SPLIT, self.subwords, Path(fresh))

    def all_batches(self, config: TrainConfig) -> list[Batch]:
        """The batches of an epoch of training, short sentences first."""
        pairs = self.pairs
        sampler = BatchSampler(
            pairs.source_lengths, pairs.target_lengths, config.batch_tokens, config.seed, short_first_epochs=1
        )
        return [
            collate([pairs.source(row) for row in rows], [pairs.target(row) for row in rows])
            for rows in sampler.batches(0)
        ]

    def sample_batches(self, config: TrainConfig, count: int) -> list[Batch]:
        """`count` batches that stand for all: at even distances from the shortest to the longest."""
        batches = self.all_batches(config)
        return [batches[(2 * index + 1) * len(batches) // (2 * count)] for index in range(count)]

    def sample_sources(self, count: int) -> list[str]:
        """The first `count` sources; they stand in no order of length."""
        return list(self.corpus.splits[_SPLIT][:count]["source"])

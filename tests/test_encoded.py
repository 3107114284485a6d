from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from seq2attn.config.schema import SubwordsConfig
from seq2attn.data import encoded
from seq2attn.data.encoded import EncodedPairs, encode_split
from seq2attn.data.store import Corpus
from seq2attn.data.subwords import Subwords
from seq2attn.errors import DataError

# More pairs than two batches of the file, so the last batch is shorter.
NUMBERS = range(2 * encoded._PAIRS_PER_BATCH + 100)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    table = Dataset.from_dict({"source": [f"maison {n}" for n in NUMBERS], "target": [f"{n} houses" for n in NUMBERS]})
    splits = {"train": table, "validation": table.select(range(3)), "test": table.select([5])}
    return Corpus("own", "fr", "en", splits, counts={}, digest="digest of the text")


@pytest.fixture(scope="module")
def subwords(corpus: Corpus) -> Subwords:
    return Subwords.train(corpus.splits["train"], SubwordsConfig(vocab_size=300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_ids_equal_those_of_the_subwords(corpus: Corpus, subwords: Subwords, folder: Path) -> None:
    pairs = encode_split(corpus, "train", subwords, folder)
    assert len(pairs) == len(NUMBERS)
    sources = subwords.encode_source(corpus.splits["train"]["source"])
    targets = subwords.encode_target(corpus.splits["train"]["target"])
    assert pairs.source_lengths.tolist() == list(map(len, sources))
    assert pairs.target_lengths.tolist() == list(map(len, targets))
    assert pairs.source_lengths.dtype == np.int32
    for index in NUMBERS:
        assert pairs.source(index).tolist() == sources[index]
        assert pairs.target(index).tolist() == targets[index]


def test_ids_are_views_of_the_file(corpus: Corpus, subwords: Subwords, folder: Path) -> None:
    ids = encode_split(corpus, "train", subwords, folder).source(7)
    assert not ids.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_each_split_text_and_vocabulary_is_encoded_once(corpus: Corpus, subwords: Subwords, tmp_path: Path) -> None:
    def encode(corpus: Corpus, split: str, subwords: Subwords) -> set[str]:
        encode_split(corpus, split, subwords, tmp_path)
        return {path.name for path in tmp_path.iterdir()}

    first = encode(corpus, "validation", subwords)
    (path,) = tmp_path.glob("*/ids.arrow")
    before = path.stat().st_mtime_ns
    assert encode(corpus, "validation", subwords) == first
    assert path.stat().st_mtime_ns == before
    assert len(encode(corpus, "test", subwords)) == 2
    other_text = Corpus("own", "fr", "en", corpus.splits, counts={}, digest="another")
    assert len(encode(other_text, "test", subwords)) == 3
    other_subwords = Subwords.train(corpus.splits["train"], SubwordsConfig(vocab_size=299))
    assert len(encode(corpus, "test", other_subwords)) == 4


def test_a_damaged_file_says_what_to_delete(corpus: Corpus, subwords: Subwords, tmp_path: Path) -> None:
    encode_split(corpus, "test", subwords, tmp_path)
    (path,) = tmp_path.glob("*/ids.arrow")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{path.parent.name}: damaged cache; delete the folder"):
        EncodedPairs(path)

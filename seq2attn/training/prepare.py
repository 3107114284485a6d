"""Everything that training needs of the text: the corpus, its subwords, and the encoded splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seq2attn.config.schema import Config
from seq2attn.corpora.load import cache_folder, load_corpus, processes_of
from seq2attn.data.encoded import EncodedPairs, encode_split
from seq2attn.data.store import Corpus
from seq2attn.data.subwords import Subwords
from seq2attn.runs.folder import RunFolder


@dataclass(frozen=True)
class PreparedText:
    """A corpus, ready for training."""

    corpus: Corpus
    subwords: Subwords
    train: EncodedPairs
    validation: EncodedPairs


def prepare_text(config: Config, folder: RunFolder, resume: bool, start_from: Path | None = None) -> PreparedText:
    """The text of `config`; new subwords are trained and kept with the run, a resumed run uses its own.

    `start_from`: a run folder whose subwords are copied instead.

    Raises: ConfigError, DataError, FetchError.
    """
    corpus = load_corpus(config.data)
    if resume:
        subwords = Subwords.load(folder.path)
    elif start_from is not None:
        subwords = Subwords.load(start_from)
        subwords.save(folder.path)
    else:
        subwords = Subwords.train(corpus.splits["train"], config.subwords, random_sample=bool(corpus.shards))
        subwords.save(folder.path)
    cache, n_processes = cache_folder(config.data), processes_of(config.data)
    train, validation = (encode_split(corpus, split, subwords, cache, n_processes) for split in ("train", "validation"))
    return PreparedText(corpus, subwords, train, validation)

"""What the tools are compared on: two models, and batches of text that are the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import datasets
import numpy as np

from scripts.peers.serving import Assignment, DecodingBatch, TrainingBatch
from seq2attn.benchmark.workload import Workload, make_up_text
from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.config.schema import Config, DataConfig, SubwordsConfig, TrainConfig
from seq2attn.corpora.load import data_folder, load_corpus
from seq2attn.data.batch import Batch
from seq2attn.data.store import is_kept
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID, UNK_ID

_CORPUS = "bible-fr-en"
_MADE_UP_PAIRS = 10_000

SUBWORDS = SubwordsConfig(vocab_size=4000)


class Model(StrEnum):
    """The models that are compared."""

    rnn = "RNN"
    transformer = "transformer"


_MODELS: dict[Model, ModelConfig] = {
    Model.rnn: RnnConfig(attention="additive", d_model=256),
    Model.transformer: TransformerConfig(d_model=256, n_layers=3, n_heads=4, d_ff=1024),
}


@dataclass(frozen=True)
class Effort:
    """How much work a round is."""

    updates: int
    """Of training."""
    sentences: int
    """To translate."""
    batch_sentences: int
    """Of them in a batch."""
    seconds: float
    """About how long to measure each kind of work."""
    threads: int
    """CPU threads of every tool."""


def read_text(made_up: bool) -> tuple[str, datasets.Dataset]:
    """What the text is called, and its pairs: the corpus where it has been fetched, else made-up text."""
    config = DataConfig(corpus=_CORPUS)
    if not made_up and is_kept(data_folder(config), _CORPUS):
        return _CORPUS, load_corpus(config).splits["train"]
    return "made-up text", make_up_text(_MADE_UP_PAIRS)


def configure(model: Model) -> Config:
    """The configuration of `model`: batches of 2,000 tokens, 4,000 subwords, and the defaults of all else."""
    return Config(
        data=DataConfig(),
        subwords=SUBWORDS,
        model=_MODELS[model],
        train=TrainConfig(max_steps=1, batch_tokens=2000),
    )


def assign(workload: Workload, config: Config, effort: Effort) -> Assignment:
    """The work of all drivers for one model."""
    subwords = workload.subwords
    return Assignment(
        config=config.model_dump(mode="json"),
        pieces=subwords.pieces(range(subwords.source_size), "source"),
        pad_id=PAD_ID,
        unk_id=UNK_ID,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        training=[_training_batch(batch) for batch in workload.sample_batches(config.train, effort.updates)],
        ungrouped=_ungrouped_batches(workload, config.train, effort.updates),
        decoding=_decoding_batches(workload, effort),
        threads=effort.threads,
    )


def _training_batch(batch: Batch) -> TrainingBatch:
    return TrainingBatch(
        [row[row != PAD_ID].tolist() for row in batch.source_ids],
        [row[(row != PAD_ID) & (row != EOS_ID)].tolist() for row in batch.target_output],
    )


def _ungrouped_batches(workload: Workload, settings: TrainConfig, n_batches: int) -> list[TrainingBatch]:
    """Pairs in random order; a batch is full when its longest side, times its pairs, reaches the number of tokens."""
    pairs = workload.pairs
    batches: list[TrainingBatch] = []
    batch, longest = TrainingBatch([], []), 0
    for row in np.random.default_rng(settings.seed).permutation(len(pairs)):
        source, target = pairs.source(row).tolist(), pairs.target(row).tolist()
        batch.sources.append(source)
        batch.targets.append(target)
        longest = max(longest, len(source), len(target) + 1)
        if longest * len(batch.sources) >= settings.batch_tokens:
            batches.append(batch)
            batch, longest = TrainingBatch([], []), 0
        if len(batches) == n_batches:
            break
    return batches


def _decoding_batches(workload: Workload, effort: Effort) -> list[DecodingBatch]:
    """The first sentences of the text, similar lengths together; a batch has as many steps as its longest target."""
    pairs = workload.pairs
    rows = sorted(range(min(effort.sentences, len(pairs))), key=lambda row: int(pairs.source_lengths[row]))
    groups = [rows[first : first + effort.batch_sentences] for first in range(0, len(rows), effort.batch_sentences)]
    return [
        DecodingBatch([pairs.source(row).tolist() for row in group], int(pairs.target_lengths[group].max()) + 1)
        for group in groups
    ]

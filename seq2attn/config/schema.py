"""Every configuration key with its default and meaning, except those of models (`models`); defaults live nowhere else.

The docstring under a field is its documentation; `docs/configuration.md` is generated from it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from seq2attn.config.models import ModelConfig
from seq2attn.config.section import Count, Fraction, PositiveInt, Section


class JoinConfig(Section):
    """Sentences joined into longer inputs in training, validation and test alike, so that length alone varies."""

    sizes: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=2)]
    """Numbers of sentences per input: `1..6`, or a list. Every sentence occurs once in each size."""
    singles: Count = 1
    """Number of times that each single sentence occurs in training."""
    order: Literal["random", "document"] = "random"
    """Join random sentences of a document, or neighbours. Without documents, groups stay within 24 sentences."""
    min_document_sentences: PositiveInt = 1
    """Documents with fewer sentences to join are taken together with the next ones, and above 1 each is divided evenly:
    a size is then a limit, and no group is left with the last few sentences. Best no less than the largest size.
    """
    max_words: PositiveInt = 80
    """Limit on the words of a joined source; a group ends before it exceeds this."""
    max_sentence_words: PositiveInt | None = None
    """Join only sentences of up to this many source words. Validation and test have no longer ones; in training they
    stay single.
    """
    max_held_out_words: PositiveInt | None = None
    """Leave out held-out sentences of more source words; by default those of more than `max_sentence_words`."""
    clauses: bool = False
    """Join clauses: first divide sentences at the punctuation that both sides share, parts that are too long to be
    joined also at commas. Repeated clauses count once, and held-out ones that training has are left out.
    """
    draws: Count = 1
    """Number of times that the held-out sentences are grouped for each size above 1: more inputs of the same sentences.
    """
    min_word_count: PositiveInt = 1
    """Leave out held-out sentences with a word or punctuation mark that fewer training pairs contain, on either side:
    rare words are a difficulty of their own (Cho et al. 2014 leave out sentences with unknown words).
    """
    min_training_word_count: PositiveInt | None = None
    """Train only on sentences that are short enough to be joined and have no word or mark that fewer training pairs
    contain; by default on all.
    """
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the random groups; independent of the seed of training."""

    @field_validator("sizes", mode="before")
    @classmethod
    def _range(cls, value: object) -> object:
        if isinstance(value, str) and (ends := re.fullmatch(r"(\d{1,3})\.\.(\d{1,3})", value)):
            return list(range(int(ends[1]), int(ends[2]) + 1))
        return value

    @field_validator("sizes")
    @classmethod
    def _with_singles(cls, value: list[int]) -> list[int]:
        if 1 not in value or len(set(value)) < len(value):
            raise ValueError(f"expected 1 and larger sizes, each once, as in 1..6; found {value}")
        return sorted(value)


def _join_form(value: object) -> str:
    return "groups" if isinstance(value, dict | JoinConfig) else "number"


Join = Annotated[
    Annotated[Annotated[int, Field(ge=1, le=64)], Tag("number")] | Annotated[JoinConfig, Tag("groups")],
    Discriminator(_join_form),
]


def is_address(spec: str) -> bool:
    """Whether `spec` is an address such as `s3://bucket/folder`, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", spec) is not None


class DataConfig(Section):
    """The text to use, and how it is cleaned."""

    corpus: str | None = None
    """A name from `seq2attn data list`. Give this, or the three paths below."""
    train: str | list[str] | None = None
    """Training pairs: a TSV, JSONL or Parquet file, a prefix (`text/train` for `text/train.de` and `text/train.en`),
    or a list `[source file, target file]`; plain or `.gz`. Or a folder of such tables, the shards of a large corpus, or
    an `fsspec` address of one or of a folder (`s3://bucket/train/`).
    """
    validation: str | list[str] | None = None
    """Validation pairs, in the same forms."""
    test: str | list[str] | None = None
    """Test pairs, in the same forms."""
    source_language: str | None = None
    """Two-letter code of the source language; defaults to the corpus's."""
    target_language: str | None = None
    """Two-letter code of the target language; defaults to the corpus's."""
    folder: str | None = None
    """Where fetched corpora and encoded text are kept; by default `./data` if that folder exists, else the user's data
    folder (`~/.local/share/seq2attn` on Linux). The environment variable `SEQ2ATTN_DATA` overrides both.
    """
    max_source_words: PositiveInt | None = None
    """Training pairs with a longer source are dropped; validation and test pairs never are."""
    max_target_words: PositiveInt | None = None
    """The same for the target."""
    max_length_ratio: Annotated[float, Field(gt=1.0)] = 4.0
    """Training pairs are dropped if one side has more than 5 words and more than this many times the words of the
    other.
    """
    split_clauses: bool = False
    """Also train on the clauses of pairs whose two sides are punctuated alike: single clauses, and two in a row."""
    join: Join = 1
    """A number: also train on consecutive pairs of a document joined in twos, in threes and so on up to this many
    (Varis and Bojar 2021), if they are within the limits above and have at most 200 source words; 1 joins nothing. Or
    the keys `sizes` (`1..6`), `singles`, `order`, `max_words` and `seed`: training, validation and test then consist of
    sentences joined in groups of these sizes ([more](length.md)).
    """
    confirm: PositiveInt | None = None
    """Draw this many training pairs as one more held-out split, `confirm`, to look at once when nothing will be changed
    any more. Documents are drawn whole; every language pair of a corpus draws the same ones.
    """

    drop_duplicates: bool = False
    """Drop training pairs that repeat an earlier one, on both sides, after normalisation."""
    processes: Count | None = None
    """Processes that clean and encode the shards of a large corpus; by default one for each core."""

    @model_validator(mode="after")
    def _whole_pairs(self) -> DataConfig:
        if self.drop_duplicates and (self.join != 1 or self.confirm is not None):
            raise ValueError(
                "drop_duplicates cannot be combined with join or confirm, which need every pair in its place"
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.corpus is not None and self.train is not None:
            raise ValueError("give either corpus or train/validation/test, not both")
        return self

    @model_validator(mode="after")
    def _whole_sentences(self) -> DataConfig:
        if self.split_clauses and isinstance(self.join, JoinConfig):
            raise ValueError("split_clauses adds parts of sentences, which join.sizes would join with themselves")
        return self


class SubwordsConfig(Section):
    """SentencePiece, trained on the training split only."""

    vocab_size: Annotated[int, Field(ge=16, le=1_000_000)] = 4000
    """Number of subwords, including the four special ones."""
    kind: Literal["bpe", "unigram"] = "bpe"
    """Byte-pair encoding, or a unigram language model."""
    joint: bool = True
    """Share one vocabulary between both languages, instead of one for each."""
    byte_fallback: bool = True
    """Spell characters that the vocabulary lacks in bytes, so that none is lost; costs 256 subwords."""


class TrainConfig(Section):
    """How the model is trained. Give at least one of max_steps, max_epochs and max_minutes; training ends at the first
    one reached.
    """

    max_steps: PositiveInt | None = None
    """Budget in optimizer updates."""
    max_epochs: PositiveInt | None = None
    """Budget in passes over the training pairs."""
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None
    """Budget in minutes of training, validation included; the final validation comes on top. The learning-rate schedule
    is fitted to it.
    """
    batch_tokens: PositiveInt = 2000
    """Tokens in a batch, counted on its longer side, padding included."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are summed for one update."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    """Peak of the schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Updates over which the learning rate rises to its peak; at most a fifth of the budget."""
    decay: Literal["linear", "cosine", "inverse_sqrt", "none"] = "linear"
    """How the learning rate falls after warm-up: to zero at the end of the budget (linear, cosine), with the inverse
    square root of the step (Vaswani et al. 2017), or not at all.
    """
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """AdamW's weight decay, applied to matrices only."""
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.98
    """AdamW's second decay rate; the first is 0.9."""
    label_smoothing: Fraction = 0.1
    """Fraction of the target's probability that is spread over the vocabulary."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the factors of matrix products in training; sums, weights, optimizer and validation stay float32.
    `bfloat16` is for GPUs and CPUs with instructions for it; `auto` takes it where it is faster. A run keeps what
    `auto` stood for when it began.
    """
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether `torch.compile` joins the small operations of a model in training, those of an RNN except for its loop.
    It needs a C++ compiler, and about a minute at the start. `auto`: with CUDA, if `max_minutes` leaves time for it (10
    or more, or unset) and `deterministic` is off.
    """
    clip_norm: Annotated[float, Field(gt=0.0)] = 1.0
    """Largest norm of the gradient; a larger gradient is scaled down to it."""
    short_first_epochs: Annotated[int, Field(ge=0)] = 0
    """Number of epochs, from the first, that start with short sentences and end with long ones."""
    validate_every_steps: PositiveInt = 500
    """Updates between validations (loss, and BLEU on `validation_sentences`); a final validation ends the run."""
    validation_sentences: Annotated[int, Field(ge=0)] = 200
    """Validation sentences translated greedily for BLEU at each validation; 0 for none."""
    checkpoint_every_steps: PositiveInt = 500
    """Updates between checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Number of newest checkpoints to keep, in addition to the best ones."""
    average_checkpoints: PositiveInt = 4
    """Number of best checkpoints to average into the final model; the best single one is used if it scores better."""
    histograms: bool = False
    """Write histograms of all weights for TensorBoard at each validation."""
    best_by: Literal["loss", "bleu"] = "loss"
    """The validation metric that ranks checkpoints and decides early stopping."""
    max_failed_updates: PositiveInt = 10
    """The run stops after this many failed updates in a row. An update fails if its loss or gradient is not finite
    (then no weight changes), or if memory runs out and the batch has to be split.
    """
    patience: PositiveInt | None = None
    """The run stops after this many validations without a new best; if not set, only the budget ends it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the weights, the data order and dropout."""
    dropout_seed: Literal["run", "batch"] = "run"
    """What seeds dropout: the whole run once, or each batch by its epoch and number, so that an update is the same with
    any number of processes. Several processes always use `batch`.
    """
    deterministic: bool = False
    """Use only deterministic operations on a GPU; some are slower."""
    threads: Count | None = None
    """CPU threads; defaults to torch's choice."""

    @model_validator(mode="after")
    def _has_a_budget(self) -> TrainConfig:
        if self.max_steps is None and self.max_epochs is None and self.max_minutes is None:
            raise ValueError("give at least one of max_steps, max_epochs and max_minutes")
        return self

    @model_validator(mode="after")
    def _can_rank(self) -> TrainConfig:
        if self.best_by == "bleu" and self.validation_sentences == 0:
            raise ValueError("best_by: bleu needs validation_sentences above 0")
        return self


class DecodeConfig(Section):
    """How sentences are translated."""

    beam_size: Count = 5
    """Hypotheses kept at each step; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """Exponent of the length by which a hypothesis' log-probability is divided: 0 favours short ones, 1 is the mean
    per token.
    """
    max_length_ratio: Annotated[float, Field(gt=0.0)] = 2.0
    """A translation is cut off at this many times its source's subwords plus 10."""
    max_source_tokens: Annotated[int, Field(ge=2)] = 512
    """Longer lines are split between words and translated in parts of at most this many subwords, with a warning."""
    batch_tokens: PositiveInt = 12_000
    """Source tokens times beam size in a batch of sentences."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the factors of large matrix products in translation; `auto` takes the faster one of each machine."""


class Config(Section):
    """A complete configuration."""

    name: str | None = None
    """Name of the system in tables and figures; defaults to the file's name."""
    data: DataConfig
    """Text."""
    subwords: SubwordsConfig = SubwordsConfig()
    """Subwords."""
    model: ModelConfig
    """Model."""
    train: TrainConfig
    """Training."""
    decode: DecodeConfig = DecodeConfig()
    """Decoding."""

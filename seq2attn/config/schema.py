"""Every configuration key, its default and its meaning: the only home of defaults.

The docstring under a field is its documentation (`docs/configuration.md` is generated from here).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
# Sizes have a ceiling far above any use, so that a slip of the pen is an error and not a memory that is full.
Width = Annotated[int, Field(gt=0, le=65_536)]
Count = Annotated[int, Field(gt=0, le=1024)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Section(BaseModel):
    """Frozen, without unknown keys, NaN or infinities; the docstring under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any(one == "\0" or "\ud800" <= one <= "\udfff" for one in text):
                raise ValueError("holds NUL or half of a surrogate pair, which no file can hold")
        return value


class DataConfig(_Section):
    """Which text is used, and how it is cleaned."""

    corpus: str | None = None
    """A name from `seq2attn data list`. Give this, or the three paths below."""
    train: str | list[str] | None = None
    """Training pairs: a TSV, JSONL or Parquet file, a prefix (`text/train` for `text/train.de` and `text/train.en`),
    or a list `[source file, target file]`; plain or `.gz`.
    """
    validation: str | list[str] | None = None
    """Validation pairs, in the same forms."""
    test: str | list[str] | None = None
    """Test pairs, in the same forms."""
    source_language: str | None = None
    """Two-letter code of the source language; taken from the corpus where it is not given."""
    target_language: str | None = None
    """Two-letter code of the target language; taken from the corpus where it is not given."""
    folder: str | None = None
    """Where fetched corpora and encoded text are kept; by default `./data` if that folder exists, else the user's data
    folder (`~/.local/share/seq2attn` on Linux). The environment variable `SEQ2ATTN_DATA` overrides both.
    """
    max_source_words: PositiveInt | None = None
    """Training pairs with a longer source are left out; validation and test are never cut."""
    max_target_words: PositiveInt | None = None
    """The same for the target."""
    max_length_ratio: Annotated[float, Field(gt=1.0)] = 4.0
    """Training pairs whose longer side has more than this many times the words of the other are left out (sides of up
    to 5 words are spared).
    """
    split_clauses: bool = False
    """Add to the training pairs the clauses of those whose two sides are punctuated alike, singly and in twos."""
    join: Annotated[int, Field(ge=1, le=64)] = 1
    """Add to the training pairs consecutive ones of a document, joined by twos, by threes and so on up to this many
    (Varis and Bojar 2021), where they obey the limits above and have at most 200 source words; 1 for none.
    """

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.corpus is not None and self.train is not None:
            raise ValueError("give either corpus or train/validation/test, not both")
        return self


class SubwordsConfig(_Section):
    """SentencePiece, trained on the training split alone."""

    vocab_size: Annotated[int, Field(ge=16, le=1_000_000)] = 4000
    """Number of subwords, the four special ones included."""
    kind: Literal["bpe", "unigram"] = "bpe"
    """Byte-pair encoding, or the unigram language model."""
    joint: bool = True
    """One vocabulary for both languages, or one for each."""
    byte_fallback: bool = True
    """Characters that the vocabulary lacks are spelled in bytes, so that none is lost; costs 256 subwords."""


class _ModelConfig(_Section):
    """What all models have in common."""

    d_model: Width = 256
    """Width of embeddings, encoder states and decoder states."""
    n_layers: Count = 1
    """Layers of the encoder, and of the decoder."""
    dropout: Share = 0.1
    """Share of activations set to zero while training."""
    tie_embeddings: bool = True
    """Target embedding and output projection share their weights; with joint subwords the source embedding shares them
    too.
    """


class RnnConfig(_ModelConfig):
    """A recurrent encoder-decoder; `attention: none` is the fixed context vector."""

    kind: Literal["rnn"] = "rnn"
    """The family of models."""
    attention: Literal["none", "additive", "dot", "general", "scaled_dot"] = "additive"
    """How the decoder sees the source: one fixed vector (`none`, Cho et al. 2014), additive (Bahdanau et al. 2015), or
    a multiplicative score (Luong et al. 2015; `scaled_dot` divides by the root of the width).
    """
    cell: Literal["gru", "lstm"] = "lstm"
    """The recurrent cell."""
    input_feeding: bool = False
    """Multiplicative scores: feed the last attentional vector to the cell (Luong et al. 2015, section 3.3). Fixed
    context and additive attention feed their context to the cell in any case.
    """
    summary: Literal["last", "mean"] = "last"
    """The fixed vector: the last state of each direction, or the mean of all states."""

    @model_validator(mode="after")
    def _two_directions(self) -> RnnConfig:
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, half for each direction of the encoder, and is {self.d_model}")
        return self


class TransformerConfig(_ModelConfig):
    """A transformer (Vaswani et al. 2017)."""

    kind: Literal["transformer"] = "transformer"
    """The family of models."""
    attention: Literal["scaled_dot"] = "scaled_dot"
    """The score; a transformer has this one."""
    n_heads: Count = 4
    """Heads of every attention; must divide `d_model`."""
    d_ff: Width | None = None
    """Width of the feed-forward layers; four times `d_model` where it is not given."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalisation before each sub-layer, or after it as in the paper."""
    positions: Literal["none", "sinusoidal", "learned", "rotary", "alibi"] = "sinusoidal"
    """How the order of the words is given to the model: not at all, in the embeddings (`sinusoidal`, `learned`), or in
    self-attention as distances (`rotary`, Su et al. 2021; `alibi`, Press et al. 2022).
    """
    max_positions: Annotated[int, Field(gt=0, le=1_000_000)] = 1024
    """Number of positions that `positions: learned` has; longer input is an error."""

    @model_validator(mode="after")
    def _whole_heads(self) -> TransformerConfig:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"d_model must be even for sinusoidal positions and is {self.d_model}")
        if self.positions == "rotary" and self.d_model // self.n_heads % 2:
            raise ValueError(
                f"d_model / n_heads must be even for rotary positions and is {self.d_model // self.n_heads}"
            )
        return self


ModelConfig = Annotated[RnnConfig | TransformerConfig, Field(discriminator="kind")]

MODEL_KINDS: Mapping[str, type[BaseModel]] = {
    config.model_fields["kind"].default: config for config in get_args(get_args(ModelConfig)[0])
}
"""The configuration of each kind of model, by what stands under `model.kind`."""


class TrainConfig(_Section):
    """How the model is trained. Give at least one of max_steps, max_epochs and max_minutes; the first reached ends the
    run.
    """

    max_steps: PositiveInt | None = None
    """Budget in optimizer updates."""
    max_epochs: PositiveInt | None = None
    """Budget in passes over the training pairs."""
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None
    """Budget in minutes of training, validation included; the last validation comes on top. The schedule follows it, so
    that the run ends annealed.
    """
    batch_tokens: PositiveInt = 2000
    """Tokens in a batch, counted on its longer side, padding included."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are added up for one update."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    """Peak of the schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Updates over which the learning rate rises to its peak; never more than a fifth of the budget."""
    decay: Literal["linear", "cosine", "inverse_sqrt", "none"] = "linear"
    """How the learning rate falls after warm-up: to zero at the end of the budget (linear, cosine), with the root of
    the step (Vaswani et al. 2017), or not at all.
    """
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """AdamW's weight decay, on matrices only."""
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.98
    """AdamW's second decay rate; the first is 0.9."""
    label_smoothing: Share = 0.1
    """Share of the target's probability that is spread over the vocabulary."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers in which the model's matrix products are computed in training; weights, optimizer, loss and whatever a
    trained model does stay float32. `bfloat16` is for GPUs that have it.
    """
    clip_norm: Annotated[float, Field(gt=0.0)] = 1.0
    """Largest norm of the gradient; longer ones are scaled down to it."""
    short_first_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs, from the first, whose batches come in order of length, short sentences first."""
    validate_every_steps: PositiveInt = 500
    """Updates between two validations (loss, and BLEU on `validation_sentences`); one more ends the run."""
    validation_sentences: Annotated[int, Field(ge=0)] = 200
    """Validation sentences translated greedily for BLEU at each validation; 0 for none."""
    checkpoint_every_steps: PositiveInt = 500
    """Updates between two checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Newest checkpoints that are kept, beside the best ones."""
    average_checkpoints: PositiveInt = 4
    """Best checkpoints whose average is tried as the final model; the best single one is used where it is better."""
    histograms: bool = False
    """Write histograms of all weights for TensorBoard at each validation."""
    best_by: Literal["loss", "bleu"] = "loss"
    """The validation figure that ranks checkpoints and stops early."""
    max_failed_updates: PositiveInt = 10
    """Updates in a row that may fail (a loss or gradient that is not finite, or too little memory for a batch until it
    is split); then the run ends. Such a loss changes no weight.
    """
    patience: PositiveInt | None = None
    """Validations without a new best after which the run ends; none: the budget alone ends it."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the weights, the data order and dropout."""
    deterministic: bool = False
    """On a GPU too, take only operations that give the same bits every time, some of which are slower."""
    threads: Count | None = None
    """CPU threads; torch's own choice where it is not given."""

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


class DecodeConfig(_Section):
    """How sentences are translated."""

    beam_size: Count = 5
    """Hypotheses kept at each position; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0
    """Exponent of the length by which a hypothesis' log-probability is divided: 0 favours short ones, 1 is the mean
    per token.
    """
    max_length_ratio: Annotated[float, Field(gt=0.0)] = 2.0
    """A translation ends at this many times its source's subwords plus 10, if it does not end itself."""
    max_source_tokens: Annotated[int, Field(ge=2)] = 512
    """Longer lines are translated in parts of at most so many subwords, divided between words, with a warning."""
    batch_tokens: PositiveInt = 12_000
    """Source tokens times beam in a batch of sentences."""


class Config(_Section):
    """A whole configuration."""

    name: str | None = None
    """What the system is called in tables and figures; the file's name where it is not given."""
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

"""The settings of each kind of model, with their defaults and meaning; `schema` has all others.

The docstring under a field is its documentation; `docs/configuration.md` is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from seq2attn.config.section import Count, Fraction, PositiveInt, Section, Width


class _ModelConfig(Section):
    """Settings of every model."""

    d_model: Width = 256
    """Width of embeddings, encoder states and decoder states."""
    n_layers: Count = 1
    """Layers of the encoder, and of the decoder."""
    dropout: Fraction = 0.1
    """Fraction of activations set to zero in training."""
    tie_embeddings: bool = True
    """Share weights between the target embedding and the output projection and, with joint subwords, the source
    embedding.
    """


class RnnConfig(_ModelConfig):
    """A recurrent encoder-decoder; `attention: none` is the fixed context vector."""

    kind: Literal["rnn"] = "rnn"
    """The family of models."""
    attention: Literal["none", "additive", "dot", "general", "scaled_dot"] = "additive"
    """How the decoder sees the source: one fixed vector (`none`, Cho et al. 2014), additive (Bahdanau et al. 2015), or
    a multiplicative score (Luong et al. 2015; `scaled_dot` divides by the square root of the width).
    """
    cell: Literal["gru", "lstm"] = "lstm"
    """The recurrent cell."""
    input_feeding: bool = False
    """With a multiplicative score, feed the last attentional vector to the cell (Luong et al. 2015, section 3.3). Fixed
    context and additive attention always feed their context to the cell.
    """
    summary: Literal["last", "mean"] = "last"
    """The fixed vector: the last state of each direction, or the mean of all states."""
    context_gate: bool = True
    """With `attention: none`, scale the fixed vector by a gate before the readout; the papers have none."""

    @model_validator(mode="after")
    def _two_directions(self) -> RnnConfig:
        if self.d_model % 2:
            raise ValueError(f"d_model must be even (half for each direction of the encoder), found {self.d_model}")
        return self


class KeptHeads(Section):
    """The heads that each layer of a pruned transformer keeps: a list for each layer, heads counted from 1. `seq2attn
    prune` writes them.
    """

    encoder: list[list[PositiveInt]]
    """Of the encoder's self-attention."""
    decoder: list[list[PositiveInt]]
    """Of the decoder's causal self-attention."""
    cross: list[list[PositiveInt]]
    """Of the decoder's attention to the source."""


class TransformerConfig(_ModelConfig):
    """A transformer (Vaswani et al. 2017)."""

    kind: Literal["transformer"] = "transformer"
    """The family of models."""
    attention: Literal["scaled_dot", "dot"] = "scaled_dot"
    """The attention score: products of queries and keys divided by the square root of a head's width (`scaled_dot`,
    Vaswani et al. 2017, eq. 1), or not (`dot`, to see what the scale is for).
    """
    n_heads: Count = 4
    """Attention heads; must divide `d_model`."""
    kept_heads: KeptHeads | None = None
    """The heads that are left after pruning, of `n_heads` in each attention; each keeps its width, `d_model / n_heads`.
    At least one in every attention; by default all.
    """
    d_ff: Width | None = None
    """Width of the feed-forward layers; defaults to four times `d_model`."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalisation before each sub-layer, or after it as in the paper."""
    positions: Literal["none", "sinusoidal", "learned", "rotary", "alibi"] = "sinusoidal"
    """How the model knows the order of the words: not at all, from the embeddings (`sinusoidal`, `learned`), or from
    distances in self-attention (`rotary`, Su et al. 2021; `alibi`, Press et al. 2022).
    """
    max_positions: Annotated[int, Field(gt=0, le=1_000_000)] = 1024
    """Number of positions with `positions: learned`; longer input is an error."""
    self_attention: Literal["full", "window", "linear"] = "full"
    """What each position of the encoder sees of the source: all of it, a window around itself (Beltagy et al. 2020), or
    all of it by linear attention, without a softmax (Katharopoulos et al. 2020). The decoder always sees all.
    """
    window: Count = 16
    """Positions on either side, with `self_attention: window`."""

    @model_validator(mode="after")
    def _width_fits_heads_and_positions(self) -> TransformerConfig:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"d_model must be even for sinusoidal positions, found {self.d_model}")
        if self.positions == "rotary" and self.d_model // self.n_heads % 2:
            raise ValueError(
                f"d_model / n_heads must be even for rotary positions, found {self.d_model // self.n_heads}"
            )
        return self

    @model_validator(mode="after")
    def _linear_attention_has_no_scores(self) -> TransformerConfig:
        if self.self_attention == "linear" and self.attention != "scaled_dot":
            raise ValueError(f"self_attention: linear has no scores; leave out attention: {self.attention}")
        if self.self_attention == "linear" and self.positions in ("rotary", "alibi"):
            raise ValueError(
                f"self_attention: linear has no scores of pairs, which positions: {self.positions} would change; use "
                "positions: sinusoidal, learned or none"
            )
        return self

    @model_validator(mode="after")
    def _kept_heads_exist(self) -> TransformerConfig:
        for kind, layers in [] if self.kept_heads is None else self.kept_heads:
            if len(layers) != self.n_layers:
                raise ValueError(f"kept_heads.{kind} must have a list for each of {self.n_layers} layers")
            for heads in layers:
                if not heads or heads != sorted(set(heads)) or heads[-1] > self.n_heads:
                    raise ValueError(
                        f"kept_heads.{kind}: expected ascending heads from 1 to {self.n_heads}, at least one in each "
                        f"layer, found {heads}"
                    )
        return self

    @model_serializer(mode="wrap")
    def _as_in_earlier_versions(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without newer settings where they change nothing, so that the settings of such runs stay the same."""
        settings: dict[str, Any] = write(self)
        unused = {
            "kept_heads": self.kept_heads is None,
            "self_attention": self.self_attention == "full",
            "window": self.self_attention != "window",
        }
        return {name: value for name, value in settings.items() if not unused.get(name, False)}

    @property
    def scales_scores(self) -> bool:
        """Whether products of queries and keys are divided by the square root of a head's width."""
        return self.attention == "scaled_dot"

    @property
    def d_head(self) -> int:
        """Width of each head."""
        return self.d_model // self.n_heads

    def heads(self, kind: Literal["encoder", "decoder", "cross"]) -> list[list[int]]:
        """The heads of each layer's attention of this kind, counted from 1 as before pruning."""
        if self.kept_heads is None:
            return [list(range(1, self.n_heads + 1)) for _ in range(self.n_layers)]
        layers: list[list[int]] = getattr(self.kept_heads, kind)
        return layers


ModelConfig = Annotated[RnnConfig | TransformerConfig, Field(discriminator="kind")]

MODEL_KINDS: Mapping[str, type[BaseModel]] = {
    config.model_fields["kind"].default: config for config in get_args(get_args(ModelConfig)[0])
}
"""The configuration class of each `model.kind`."""

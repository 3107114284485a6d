"""Floating-point operations that a model needs, from its configuration

A multiplication with the addition that follows it counts as two operations. The count includes products of matrices and
vectors over real tokens, and over pairs of tokens that may attend to each other. It excludes padding, masked positions,
element-wise operations, softmax, the optimizer, and anything that an implementation computes twice. So model FLOP/s
measure the useful part of the machine's rate and do not increase with waste.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig

_GATES = {"gru": 3, "lstm": 4}
_STATE_PARTS = {"gru": 1, "lstm": 2}

# A training step is one forward pass, and in the backward pass two products of the size of each of its own: the
# gradient of either factor.
_PASSES_OF_TRAINING = 3


@dataclass(frozen=True)
class Sizes:
    """The amount of text that a model processes: sums over sentence pairs."""

    sentences: int
    source_tokens: int
    """EOS included."""
    target_tokens: int
    """Positions of the decoder, EOS included where it is produced."""
    source_pairs: int
    """Σ source length²: every source token sees every other; or those in its window."""
    target_pairs: int
    """Σ target length · (target length + 1) / 2: every target token sees those up to itself."""
    cross_pairs: int
    """Σ target length · source length."""

    @classmethod
    def of(cls, lengths: Iterable[tuple[int, int]], hypotheses: int = 1, window: int | None = None) -> Sizes:
        """Sums over `lengths`, the tokens of each source and target.

        Each is decoded as `hypotheses` such targets. A source token sees those at most `window` away; None: all.
        """
        pairs = list(lengths)
        return cls(
            sentences=len(pairs),
            source_tokens=sum(source for source, _ in pairs),
            target_tokens=hypotheses * sum(target for _, target in pairs),
            source_pairs=sum(_pairs_within(source, window) for source, _ in pairs),
            target_pairs=hypotheses * sum(target * (target + 1) // 2 for _, target in pairs),
            cross_pairs=hypotheses * sum(source * target for source, target in pairs),
        )


def window_of(config: ModelConfig) -> int | None:
    """How far the source tokens of such a model see, for `Sizes.of`; None: everywhere."""
    if isinstance(config, TransformerConfig) and config.self_attention == "window":
        return config.window
    return None


def _pairs_within(length: int, window: int | None) -> int:
    """Pairs of a token and one that it sees, itself included."""
    reach = length - 1 if window is None else min(window, length - 1)
    return length * (2 * reach + 1) - reach * (reach + 1)


def encoding_flops(config: ModelConfig, sizes: Sizes) -> int:
    """Floating-point operations from source ids to `Memory`, the keys and values of the attention included."""
    if isinstance(config, RnnConfig):
        return 2 * _rnn_encoder(config, sizes)
    return 2 * _transformer_encoder(config, sizes)


def decoding_flops(config: ModelConfig, vocab_size: int, sizes: Sizes) -> int:
    """Floating-point operations from `Memory` to the logits of every target token."""
    decoder = _rnn_decoder(config, sizes) if isinstance(config, RnnConfig) else _transformer_decoder(config, sizes)
    return 2 * (decoder + sizes.target_tokens * config.d_model * vocab_size)


def training_flops(config: ModelConfig, vocab_size: int, sizes: Sizes) -> int:
    """Floating-point operations of one training step, forward and backward."""
    return _PASSES_OF_TRAINING * (encoding_flops(config, sizes) + decoding_flops(config, vocab_size, sizes))


def _rnn_encoder(config: RnnConfig, sizes: Sizes) -> int:
    """Multiplications. Each direction has half the width: its gates read the layer below and its own state."""
    d, half = config.d_model, config.d_model // 2
    per_token = config.n_layers * 2 * _GATES[config.cell] * half * (d + half)
    if config.summary == "mean":
        per_token += d
    if config.attention in ("additive", "general", "scaled_dot"):
        per_token += d * d  # keys
    return per_token * sizes.source_tokens


def _rnn_decoder(config: RnnConfig, sizes: Sizes) -> int:
    d = config.d_model
    feeds_cell = config.attention in ("none", "additive")
    cell_inputs = 1 + (feeds_cell or config.input_feeding)
    cells = _GATES[config.cell] * d * d * (cell_inputs + 1 + (config.n_layers - 1) * 2)
    per_token = cells + 2 * d * d  # readout of state and context
    if config.attention == "additive" or (config.attention == "none" and config.context_gate):
        per_token += d * d  # the queries of additive attention, or the gate of a fixed vector
    per_pair = 0 if config.attention == "none" else 2 * d  # score, and the weighted mean
    first_state = _STATE_PARTS[config.cell] * config.n_layers * d * d
    return per_token * sizes.target_tokens + per_pair * sizes.cross_pairs + first_state * sizes.sentences


def _transformer_encoder(config: TransformerConfig, sizes: Sizes) -> int:
    of_self, of_cross = _width(config, "encoder"), _width(config, "cross")
    # Queries, keys, values and output of the self-attention; then what the decoder's layers will look at.
    per_token = (4 * of_self + 2 * of_cross) * config.d_model + config.n_layers * _feed_forward(config)
    if config.self_attention == "linear":
        # φ(k) vᵀ, and the products of φ(q) with its sum and with that of φ(k).
        return (per_token + of_self * (2 * config.d_head + 1)) * sizes.source_tokens
    return per_token * sizes.source_tokens + 2 * of_self * sizes.source_pairs


def _transformer_decoder(config: TransformerConfig, sizes: Sizes) -> int:
    of_self, of_cross = _width(config, "decoder"), _width(config, "cross")
    # Self-attention as above; of the cross-attention, queries and output.
    per_token = (4 * of_self + 2 * of_cross) * config.d_model + config.n_layers * _feed_forward(config)
    return per_token * sizes.target_tokens + 2 * of_self * sizes.target_pairs + 2 * of_cross * sizes.cross_pairs


def _width(config: TransformerConfig, kind: Literal["encoder", "decoder", "cross"]) -> int:
    """The width of all heads of all layers: `n_layers` times `d_model`, or less after pruning."""
    return config.d_head * sum(map(len, config.heads(kind)))


def _feed_forward(config: TransformerConfig) -> int:
    return 2 * config.d_model * (config.d_ff or 4 * config.d_model)

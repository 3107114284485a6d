"""A trained transformer as a CTranslate2 model, for faster translation

CTranslate2 describes a model by a specification, a tree of named weights, which its own classes check and write. They
expect the projections of queries, keys and values as one matrix (keys and values in cross-attention), positions as a
table, and each normalisation with its sub-layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from seq2attn.config.models import TransformerConfig
from seq2attn.data.cache import build_once
from seq2attn.data.subwords import BOS_ID, EOS_ID, UNK_ID, Subwords
from seq2attn.errors import MissingExtraError, RunError
from seq2attn.export.shared import output_bias, position_table, query_factor, require_new
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.transformer import DecoderLayer, EncoderLayer, FeedForward, TransformerSeq2Seq
from seq2attn.runs.folder import TrainedRun

# Positions of a model that has no last one; CTranslate2 refuses sentences that are longer than its table.
_ENDLESS_POSITIONS = 2048


def export_ctranslate2(run: TrainedRun, folder: Path) -> None:
    """Write the model of `run` with its vocabularies and subwords into the new folder `folder`, in float32.

    Raises: RunError where the model is not a transformer or has a part that CTranslate2 lacks, or the folder exists;
    MissingExtraError without CTranslate2; DiskError where the folder cannot be written.
    """
    config, model = run.config.model, run.model
    if not isinstance(config, TransformerConfig) or not isinstance(model, TransformerSeq2Seq):
        raise RunError(
            f"{run.folder.path}: model.kind is {config.kind}, and CTranslate2 has transformers only; "
            "export a run with model.kind: transformer"
        )
    if config.positions == "alibi":
        raise RunError(
            f"{run.folder.path}: model.positions is alibi, and CTranslate2 has no such encoder; export a run with "
            "model.positions: rotary, sinusoidal, learned or none"
        )
    if config.self_attention != "full":
        raise RunError(
            f"{run.folder.path}: model.self_attention is {config.self_attention}, and CTranslate2 has no such encoder; "
            "export a run with model.self_attention: full"
        )
    if config.kept_heads is not None:
        raise RunError(
            f"{run.folder.path}: its heads were pruned, and CTranslate2 needs all {config.n_heads} in every layer; "
            "export the run that it was pruned from"
        )
    require_new(folder)
    specification = _specify(model, config, run.subwords)

    def write(draft: Path) -> None:
        specification.save(str(draft))
        run.subwords.save(draft)

    build_once(folder, write)


@torch.no_grad()
def _specify(model: TransformerSeq2Seq, config: TransformerConfig, subwords: Subwords) -> Any:
    """The specification of `model`, checked, with shared weights stored once."""
    try:
        from ctranslate2.specs import Activation, TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec
    except ImportError as error:
        raise MissingExtraError("ctranslate2 is not installed; pip install 'seq2attn[export]' brings it") from error
    specification = TransformerSpec(
        *(
            stack(
                config.n_layers,
                config.n_heads,
                pre_norm=config.norm == "pre",
                activation=Activation.RELU,
                rotary_dim=config.d_head if config.positions == "rotary" else None,
            )
            for stack in (TransformerEncoderSpec, TransformerDecoderSpec)
        )
    )
    positions = position_table(model, model.max_target_len or _ENDLESS_POSITIONS)
    encoder, decoder = specification.encoder, specification.decoder
    encoder.embeddings[0].weight = model.embeddings.source.weight
    decoder.embeddings.weight = model.embeddings.target.weight
    for stack, norm in ((encoder, model.encoder_norm), (decoder, model.decoder_norm)):
        stack.scale_embeddings = True  # by √d_model
        if hasattr(stack, "position_encodings"):  # a decoder with rotary positions has none
            stack.position_encodings.encodings = positions
        if isinstance(norm, nn.LayerNorm):
            _set_norm(stack.layer_norm, norm)
    for of_layer, layer in zip(encoder.layer, model.encoder, strict=True):
        assert isinstance(layer, EncoderLayer)
        _set_self_attention(of_layer.self_attention, layer.self_attention, layer.around_self.norm)
        _set_feed_forward(of_layer.ffn, layer.feed_forward, layer.around_feed_forward.norm)
    for of_layer, layer in zip(decoder.layer, model.decoder, strict=True):
        assert isinstance(layer, DecoderLayer)
        _set_self_attention(of_layer.self_attention, layer.self_attention, layer.around_self.norm)
        _set_cross_attention(of_layer.attention, layer.cross_attention, layer.around_cross.norm)
        _set_feed_forward(of_layer.ffn, layer.feed_forward, layer.around_feed_forward.norm)
    decoder.projection.weight = model.output_weight
    decoder.projection.bias = output_bias(model)
    _set_vocabularies(specification, subwords)
    specification.config.layer_norm_epsilon = next(
        module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)
    )
    specification.validate()
    specification.optimize()
    return specification


def _set_self_attention(specification: Any, attention: MultiHeadAttention, norm: nn.LayerNorm) -> None:
    query, key_value = attention.query_projection, attention.key_value_projection
    factor = query_factor(attention)
    specification.linear[0].weight = torch.cat([query.weight * factor, key_value.weight])
    specification.linear[0].bias = torch.cat([query.bias * factor, key_value.bias])
    _set_linear(specification.linear[1], attention.output_projection)
    _set_norm(specification.layer_norm, norm)


def _set_cross_attention(specification: Any, attention: MultiHeadAttention, norm: nn.LayerNorm) -> None:
    query, factor = attention.query_projection, query_factor(attention)
    specification.linear[0].weight, specification.linear[0].bias = query.weight * factor, query.bias * factor
    _set_linear(specification.linear[1], attention.key_value_projection)
    _set_linear(specification.linear[2], attention.output_projection)
    _set_norm(specification.layer_norm, norm)


def _set_feed_forward(specification: Any, feed_forward: FeedForward, norm: nn.LayerNorm) -> None:
    _set_linear(specification.linear_0, feed_forward.expand)
    _set_linear(specification.linear_1, feed_forward.contract)
    _set_norm(specification.layer_norm, norm)


def _set_linear(specification: Any, linear: nn.Linear) -> None:
    specification.weight, specification.bias = linear.weight, linear.bias


def _set_norm(specification: Any, norm: nn.LayerNorm) -> None:
    specification.gamma, specification.beta = norm.weight, norm.bias


def _set_vocabularies(specification: Any, subwords: Subwords) -> None:
    """The subwords of both sides, which of them are special, and that a source ends with EOS."""
    specification.register_source_vocabulary(subwords.pieces(range(subwords.source_size), "source"))
    specification.register_target_vocabulary(subwords.pieces(range(subwords.target_size), "target"))
    settings = specification.config
    settings.unk_token, settings.bos_token, settings.eos_token = subwords.pieces([UNK_ID, BOS_ID, EOS_ID], "target")
    settings.decoder_start_token = settings.bos_token
    settings.add_source_eos = True

"""A trained transformer as a model of Hugging Face's transformers, which `AutoModelForSeq2SeqLM` loads

Two of its classes compute what ours do: Marian with post-norm, Pegasus with pre-norm. Both know the sines of positions
in the first half of the width and the cosines in the second, where ours alternate; so the width of all weights is
reordered, which changes no result. The tokenizer is Marian's for both: it runs the run's SentencePiece model itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from seq2attn.config.models import TransformerConfig
from seq2attn.data.cache import build_once
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Side
from seq2attn.errors import RunError
from seq2attn.export.hub import hub_card
from seq2attn.export.shared import output_bias, position_table, query_factor, require_new
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.transformer import DecoderLayer, EncoderLayer, FeedForward, Residual, TransformerSeq2Seq
from seq2attn.runs.folder import TrainedRun

_POSITIONS = 1024
"""Positions of a model that has no last one."""
_MAX_LENGTH = 512
"""Tokens at which a translation is cut off, unless the caller sets another number."""
_CLASSES = {"post": ("marian", "MarianMTModel"), "pre": ("pegasus", "PegasusForConditionalGeneration")}


def export_transformers(run: TrainedRun, folder: Path, address: str | None = None) -> None:
    """Write the model of `run` with tokenizer and model card into the new folder `folder`, in float32.

    `address`: where the card says that the model is; by default `folder`.

    Raises: RunError where no class computes what the model does, or the folder exists; DiskError where it cannot be
    written.
    """
    config, model = _checked(run)
    require_new(folder)

    def write(draft: Path) -> None:
        # Bytes, because `save_file` would make a file that only its owner can read.
        weights = save(_weights(model, config, run.subwords.joint), metadata={"format": "pt"})
        (draft / "model.safetensors").write_bytes(weights)
        _write_json(draft / "config.json", _settings(run, config))
        _write_json(draft / "generation_config.json", _generation(run))
        _write_tokenizer(run, draft, _n_positions(config))
        (draft / "README.md").write_text(hub_card(run, address or str(folder)), encoding="utf-8")

    build_once(folder, write)


def _checked(run: TrainedRun) -> tuple[TransformerConfig, TransformerSeq2Seq]:
    """The settings and the model of `run`.

    Raises: RunError where no class computes what the model does.
    """
    config, model = run.config.model, run.model
    if not isinstance(config, TransformerConfig) or not isinstance(model, TransformerSeq2Seq):
        raise _refusal(run, f"model.kind is {config.kind}", "no such model", "model.kind: transformer")
    if config.positions in ("rotary", "alibi"):
        what = "no such encoder-decoder"
        raise _refusal(run, f"model.positions is {config.positions}", what, "model.positions: sinusoidal")
    if config.self_attention != "full":
        found = f"model.self_attention is {config.self_attention}"
        raise _refusal(run, found, "no such encoder", "model.self_attention: full")
    if config.kept_heads is not None:
        what = f"needs all {config.n_heads} in every layer"
        raise _refusal(run, "its heads were pruned", what, "all heads")
    if config.norm == "post" and config.positions != "sinusoidal":
        positions = f"model.positions is {config.positions} with model.norm: post"
        raise _refusal(run, positions, "this with pre-norm only", "model.positions: sinusoidal or model.norm: pre")
    if config.norm == "pre" and not (config.tie_embeddings and run.subwords.joint):
        what = "separate embeddings with post-norm only"
        better = "subwords.joint and model.tie_embeddings true, or model.norm: post"
        raise _refusal(run, "it has several embeddings with model.norm: pre", what, better)
    return config, model


def _refusal(run: TrainedRun, found: str, what: str, better: str) -> RunError:
    has = what if what.startswith("needs") else f"has {what}"
    return RunError(
        f"{run.folder.path}: {found}, and Hugging Face's transformers {has}; export a run with {better}, "
        "or use --to onnx"
    )


def _n_positions(config: TransformerConfig) -> int:
    return config.max_positions if config.positions == "learned" else _POSITIONS


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _settings(run: TrainedRun, config: TransformerConfig) -> dict[str, Any]:
    """The content of `config.json`."""
    model_type, architecture = _CLASSES[config.norm]
    both = {
        "layers": config.n_layers,
        "attention_heads": config.n_heads,
        "ffn_dim": config.d_ff or 4 * config.d_model,
        "layerdrop": 0.0,
    }
    return {
        "model_type": model_type,
        "architectures": [architecture],
        "torch_dtype": "float32",
        "is_encoder_decoder": True,
        "d_model": config.d_model,
        **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in both.items()},
        "vocab_size": run.subwords.source_size,
        "decoder_vocab_size": run.subwords.target_size,
        "share_encoder_decoder_embeddings": config.tie_embeddings and run.subwords.joint,
        "tie_word_embeddings": config.tie_embeddings,
        "max_position_embeddings": _n_positions(config),
        "activation_function": "relu",
        "scale_embedding": True,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        **_special_ids(),
    }


def _special_ids() -> dict[str, int | None]:
    return {
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "decoder_start_token_id": BOS_ID,
        "forced_eos_token_id": None,
    }


def _generation(run: TrainedRun) -> dict[str, Any]:
    """The content of `generation_config.json`: the search of the run."""
    decode = run.config.decode
    longest = run.model.max_target_len or _MAX_LENGTH
    search = {"num_beams": decode.beam_size, "length_penalty": decode.length_penalty, "early_stopping": False}
    return {**_special_ids(), **search, "max_length": min(longest, _MAX_LENGTH)}


def _write_tokenizer(run: TrainedRun, folder: Path, longest: int) -> None:
    """The files of Marian's tokenizer: SentencePiece models, vocabularies, and settings."""
    subwords = run.subwords
    unk, bos, eos, pad = subwords.pieces([UNK_ID, BOS_ID, EOS_ID, PAD_ID], "target")
    sides: tuple[tuple[Side, int, str], ...] = (
        ("source", subwords.source_size, "vocab.json"),
        ("target", subwords.target_size, "target_vocab.json"),
    )
    for side, size, name in sides[: 1 if subwords.joint else 2]:
        _write_json(folder / name, {piece: index for index, piece in enumerate(subwords.pieces(range(size), side))})
    for (side, _, _), content in zip(sides, (subwords.models[0], subwords.models[-1]), strict=True):
        (folder / f"{side}.spm").write_bytes(content)
    env = run.folder.read_env()
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": env.get("source_language"),
        "target_lang": env.get("target_language"),
        "unk_token": unk,
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": pad,
        "separate_vocabs": not subwords.joint,
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", settings)


@torch.no_grad()
def _weights(model: TransformerSeq2Seq, config: TransformerConfig, joint: bool) -> dict[str, Tensor]:
    """The weights by the names of Marian and Pegasus, each stored once."""
    order = torch.arange(config.d_model)
    if config.positions == "sinusoidal":  # sines first, then cosines
        order = torch.cat((order[0::2], order[1::2]))
    positions = position_table(model, _n_positions(config))[:, order]
    weights = {
        "final_logits_bias": output_bias(model)[None],
        "model.encoder.embed_positions.weight": positions,
        "model.decoder.embed_positions.weight": positions,
        **_embeddings(model, config.tie_embeddings, joint, order),
    }
    for side, norm in (("encoder", model.encoder_norm), ("decoder", model.decoder_norm)):
        if isinstance(norm, nn.LayerNorm):
            weights |= _norm(f"model.{side}.layer_norm", norm, order)
    for index, layer in enumerate(model.encoder):
        assert isinstance(layer, EncoderLayer)
        weights |= _encoder_layer(f"model.encoder.layers.{index}", layer, order)
    for index, layer in enumerate(model.decoder):
        assert isinstance(layer, DecoderLayer)
        weights |= _decoder_layer(f"model.decoder.layers.{index}", layer, order)
    return {name: tensor.detach().clone().contiguous() for name, tensor in weights.items()}


def _embeddings(model: TransformerSeq2Seq, tied: bool, joint: bool, order: Tensor) -> dict[str, Tensor]:
    source, target = (side.weight[:, order] for side in (model.embeddings.source, model.embeddings.target))
    if tied and joint:
        return {"model.shared.weight": source}
    apart = {"model.encoder.embed_tokens.weight": source, "model.decoder.embed_tokens.weight": target}
    return apart if tied else {**apart, "lm_head.weight": model.output_weight[:, order]}


def _encoder_layer(name: str, layer: EncoderLayer, order: Tensor) -> dict[str, Tensor]:
    return {
        **_attention(f"{name}.self_attn", layer.self_attention, layer.around_self, order),
        **_feed_forward(name, layer.feed_forward, layer.around_feed_forward, order),
    }


def _decoder_layer(name: str, layer: DecoderLayer, order: Tensor) -> dict[str, Tensor]:
    return {
        **_attention(f"{name}.self_attn", layer.self_attention, layer.around_self, order),
        **_attention(f"{name}.encoder_attn", layer.cross_attention, layer.around_cross, order),
        **_feed_forward(name, layer.feed_forward, layer.around_feed_forward, order),
    }


def _attention(name: str, attention: MultiHeadAttention, around: Residual, order: Tensor) -> dict[str, Tensor]:
    """Projections that read the width are reordered in their columns, the one that writes it in its rows."""
    keys_values, factor = attention.key_value_projection, query_factor(attention)
    (w_key, w_value), (b_key, b_value) = keys_values.weight.chunk(2), keys_values.bias.chunk(2)
    return {
        f"{name}.q_proj.weight": attention.query_projection.weight[:, order] * factor,
        f"{name}.q_proj.bias": attention.query_projection.bias * factor,
        f"{name}.k_proj.weight": w_key[:, order],
        f"{name}.k_proj.bias": b_key,
        f"{name}.v_proj.weight": w_value[:, order],
        f"{name}.v_proj.bias": b_value,
        f"{name}.out_proj.weight": attention.output_projection.weight[order],
        f"{name}.out_proj.bias": attention.output_projection.bias[order],
        **_norm(f"{name}_layer_norm", around.norm, order),
    }


def _feed_forward(name: str, feed_forward: FeedForward, around: Residual, order: Tensor) -> dict[str, Tensor]:
    return {
        f"{name}.fc1.weight": feed_forward.expand.weight[:, order],
        f"{name}.fc1.bias": feed_forward.expand.bias,
        f"{name}.fc2.weight": feed_forward.contract.weight[order],
        f"{name}.fc2.bias": feed_forward.contract.bias[order],
        **_norm(f"{name}.final_layer_norm", around.norm, order),
    }


def _norm(name: str, norm: nn.LayerNorm, order: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": norm.weight[order], f"{name}.bias": norm.bias[order]}

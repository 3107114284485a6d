"""The small models that studies train on the made-up corpus"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seq2attn.config.load import parse_config
from seq2attn.config.schema import Config
from seq2attn.studies.alignment.gold import SYNTHETIC

Settings = Mapping[str, Any]
SMOKE_DATA: Settings = {"max_source_words": 14}
_WIDTHS = {"smoke": 64, "quick": 96}
_MODELS: Mapping[str, Settings] = {
    "rnn": {"kind": "rnn", "attention": "additive", "cell": "gru", "dropout": 0.0},
    "transformer": {"kind": "transformer", "n_layers": 2, "n_heads": 4, "dropout": 0.0},
}
_LEARNING_RATES = {"rnn": 4e-3, "transformer": 2e-3}
_TRAINING: Mapping[str, Settings] = {
    "smoke": {
        **{"max_steps": 160, "batch_tokens": 800, "warmup_steps": 30, "validation_sentences": 0},
        **{"validate_every_steps": 160, "checkpoint_every_steps": 80, "keep_checkpoints": 2},
    },
    "quick": {
        **{"max_steps": 1200, "batch_tokens": 1000, "warmup_steps": 100, "validation_sentences": 60},
        **{"validate_every_steps": 200, "checkpoint_every_steps": 100, "keep_checkpoints": 12},
    },
}


def small_model(
    kind: str,
    preset: str,
    name: str,
    model: Settings | None = None,
    train: Settings | None = None,
    data: Settings | None = None,
    is_reversed: bool = False,
    subwords: Settings | None = None,
) -> Config:
    """An RNN with attention or a transformer on `synthetic`, with a budget of updates, so that all machines agree.

    Args:
        kind: `rnn` or `transformer`.
        preset: `smoke` or `quick`.
        name: of the run in tables and figures.
        model: settings that differ.
        train: settings that differ.
        data: settings that differ.
        is_reversed: whether it translates from `xb` to `xa`.
        subwords: settings that differ.
    """
    languages = {"source_language": "xb", "target_language": "xa"} if is_reversed else {}
    tree = {
        "name": name,
        "data": {"corpus": SYNTHETIC, **languages, **(SMOKE_DATA if preset == "smoke" else {}), **(data or {})},
        "subwords": {"vocab_size": 400, "byte_fallback": False, **(subwords or {})},
        "model": {**_MODELS[kind], "d_model": _WIDTHS[preset], **(model or {})},
        "train": {**_TRAINING[preset], "learning_rate": _LEARNING_RATES[kind], **(train or {})},
        "decode": {"beam_size": 2},
    }
    return parse_config(tree, f"the study's model {name}")

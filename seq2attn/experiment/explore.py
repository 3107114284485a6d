"""The attention of several runs on one sentence"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from seq2attn.attention.drops import measure_drops
from seq2attn.attention.maps import KINDS, Exploration, ExploredSystem
from seq2attn.attention.read import read_attention
from seq2attn.config.models import TransformerConfig
from seq2attn.data.cleaning import normalise
from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.translate import Translator
from seq2attn.errors import DataError
from seq2attn.runs.folder import TrainedRun, load_runs

Units = Literal["words", "subwords"]


def explore(
    paths: Sequence[Path], source: str, target: str | None, device: torch.device, effects: Units | None = None
) -> Exploration:
    """The attention of each run between `source` and `target`, by default its own translation.

    With `effects`, also what each look at these units of the source is worth (`measure_drops`).

    Raises: RunError where a path is not a run; DataError where the source or the target has no word.
    """
    check_words(source, target)
    return explore_runs(load_runs(paths, device), source, target, effects)


def check_words(source: str, target: str | None) -> None:
    """Raises: DataError where one of the texts has no word."""
    for option, text in (("--source", source), ("--target", target)):
        if text is not None and not normalise(text):
            raise DataError(f"{option}: contains no word; give a sentence")


def explore_runs(
    runs: Mapping[str, TrainedRun], source: str, target: str | None = None, effects: Units | None = None
) -> Exploration:
    """The same for loaded runs, by name; both texts must contain a word."""
    systems = [_explore(name, run, source, target, effects) for name, run in runs.items()]
    return Exploration(normalise(source), tuple(systems))


def _explore(name: str, run: TrainedRun, source: str, target: str | None, effects: Units | None) -> ExploredSystem:
    (source_ids,) = run.subwords.encode_source([source])
    if target is None:
        # The ids of the search: segmenting the text again could give other subwords and so other weights.
        ((best, *_),) = Translator(run.model, run.subwords, run.config.decode).search([source_ids])
        written = [*best.token_ids, EOS_ID] if best.finished else best.token_ids
        (translation,) = run.subwords.decode_target([best.token_ids])
    else:
        (target_ids,) = run.subwords.encode_target([target])
        written, translation = [*target_ids, EOS_ID], normalise(target)
    (attention,) = read_attention(run.model, run.subwords, [source_ids], [written])
    model = run.config.model
    if isinstance(model, TransformerConfig) and model.kept_heads is not None:
        attention = replace(attention, numbers={kind: model.heads(kind) for kind in KINDS})
    if effects is not None and attention.weights:
        word_of = attention.source.word_of[:-1] if effects == "words" else range(len(source_ids) - 1)
        n_heads = [len(layer) for layer in attention.weights["cross"]]
        drops = measure_drops(run.model, source_ids, written, word_of, n_heads)
        attention = replace(attention, drops=drops)
    return ExploredSystem(name, str(run.folder.path), translation, target is not None, attention)

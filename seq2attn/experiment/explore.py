"""The attention of several runs on one sentence"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from seq2attn.attention.maps import Exploration, ExploredSystem
from seq2attn.attention.read import read_attention
from seq2attn.data.cleaning import normalise
from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.translate import Translator
from seq2attn.errors import DataError
from seq2attn.runs.folder import TrainedRun, load_runs


def explore(paths: Sequence[Path], source: str, target: str | None, device: torch.device) -> Exploration:
    """The attention of each run between `source` and `target`, by default its own translation.

    Raises: RunError where a path is not a run; DataError where the source or the target has no word.
    """
    check_words(source, target)
    return explore_runs(load_runs(paths, device), source, target)


def check_words(source: str, target: str | None) -> None:
    """Raises: DataError where one of the texts has no word."""
    for option, text in (("--source", source), ("--target", target)):
        if text is not None and not normalise(text):
            raise DataError(f"{option}: contains no word; give a sentence")


def explore_runs(runs: Mapping[str, TrainedRun], source: str, target: str | None = None) -> Exploration:
    """The same for loaded runs, by name; both texts must contain a word."""
    return Exploration(normalise(source), tuple(_explore(name, run, source, target) for name, run in runs.items()))


def _explore(name: str, run: TrainedRun, source: str, target: str | None) -> ExploredSystem:
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
    return ExploredSystem(name, str(run.folder.path), translation, target is not None, attention)

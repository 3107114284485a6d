"""Runs beside each other: which settings differ, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from seq2attn.config.settings import DifferingSetting, differing_settings
from seq2attn.errors import RunError
from seq2attn.runs.listing import RunAccount, read_account


@dataclass(frozen=True)
class Comparison:
    """Several runs, the first of which the others are held against."""

    runs: tuple[RunAccount, ...]
    settings: tuple[DifferingSetting, ...]
    """Those that are not the same in all runs."""
    notes: tuple[str, ...]
    """What the figures must be read with."""

    def to_json(self) -> str:
        """Everything as indented JSON."""
        return TypeAdapter(Comparison).dump_json(self, indent=2).decode()


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """The runs in `paths` beside each other, in their order.

    Raises: RunError where there are fewer than two, or one is none; ConfigError, CheckpointError where one is damaged.
    """
    if len(paths) < 2:
        raise RunError(f"{paths[0]}: one run; expected two or more to compare (`seq2attn runs` lists them)")
    runs = tuple(map(read_account, paths))
    return Comparison(runs, tuple(differing_settings([run.settings for run in runs])), tuple(_notes(runs)))


def _notes(runs: Sequence[RunAccount]) -> list[str]:
    notes = [
        f"{run.path}: not finished; loss and BLEU are those of its last validation"
        for run in runs
        if run.state != "finished"
    ]
    if len({run.corpus_digest for run in runs}) > 1:
        notes.append("not trained on the same text: loss and BLEU cannot be compared")
    if len({run.machine for run in runs}) > 1:
        notes.append("not trained on the same machine: tokens/s and minutes say little")
    scores = [run.test_score for run in runs if run.test_score is not None]
    if len({(score.beam_size, score.signature, score.sentences) for score in scores}) > 1:
        notes.append("not evaluated alike on the test sentences: their BLEU cannot be compared")
    return notes

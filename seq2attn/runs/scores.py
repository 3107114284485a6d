"""The scores of a finished run, `scores.json` in its folder"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from seq2attn.data.cache import write_whole
from seq2attn.errors import disk_errors
from seq2attn.evaluation.resampling import Resample
from seq2attn.runs.folder import RunFolder


class _Subject(NamedTuple):
    """Identifies a score; a run keeps the newest for each subject."""

    metric: str
    split: str
    beam_size: int


@dataclass(frozen=True)
class KeptScore:
    """One score of one run on all sentences of a split."""

    metric: str
    split: str
    beam_size: int
    sentences: int
    value: float
    low: float | None
    """Lower end of the 95 % interval; None, like `high`, without an interval."""
    high: float | None
    signature: str
    """SacreBLEU's signature."""
    command: str
    """The command that computed it."""
    resample: Resample = "sentences"
    """What the resamples behind the interval draw."""

    @property
    def subject(self) -> _Subject:
        """Metric, split and beam size."""
        return _Subject(self.metric, self.split, self.beam_size)


_SCORES = TypeAdapter(list[KeptScore])


def read_scores(folder: RunFolder) -> list[KeptScore]:
    """The saved scores, oldest subject first; empty before the first evaluation."""
    try:
        return _SCORES.validate_json(folder.scores_file.read_bytes())
    except (OSError, ValidationError):
        return []


def keep_scores(folder: RunFolder, scores: Iterable[KeptScore]) -> None:
    """Save `scores`, replacing older ones of the same subjects.

    Raises: DiskError where they cannot be written.
    """
    before = read_scores(folder)
    kept = {score.subject: score for score in (*before, *scores)}
    if list(kept.values()) != before:
        with disk_errors(folder.path):
            text = json.dumps([asdict(score) for score in kept.values()], indent=1, ensure_ascii=False)
            write_whole(folder.scores_file, f"{text}\n".encode())

"""What the page tells beside the scores: runs, attention, digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seq2attn.attention.maps import Exploration
from seq2attn.evaluation.summary import Summary
from seq2attn.report.content import ReportDetails


@dataclass(frozen=True)
class RunRecord:
    """What one run left in its folder."""

    name: str
    system: str
    """The system that it is an output of."""
    settings: Mapping[str, object]
    """Every setting by its dotted key."""
    metrics: Sequence[Mapping[str, float]]
    """The lines of `metrics.jsonl`."""
    digests: Mapping[str, str]
    """SHA-256 of what it translates with, by what that is."""


@dataclass(frozen=True)
class PageContent:
    """Everything on the page; what is not given is left out."""

    summary: Summary
    details: ReportDetails = field(default_factory=ReportDetails)
    runs: Sequence[RunRecord] = ()
    explorations: Sequence[Exploration] = ()
    source_language: str = ""
    target_language: str = ""
    corpus_digest: str = ""
    """SHA-256 of the text."""

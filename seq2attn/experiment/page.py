"""What the page of a report needs to know of the runs behind an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from seq2attn.attention.maps import Exploration, SentenceAttention
from seq2attn.config.settings import flat_settings
from seq2attn.experiment.evaluate import Evaluation
from seq2attn.experiment.explore import explore_runs
from seq2attn.report.content import ReportDetails
from seq2attn.report.page_content import PageContent, RunRecord
from seq2attn.runs.folder import TrainedRun

# A sentence to take in at a glance, and one of the usual length, whose map a screen still holds.
_LOOKED_AT = (range(6, 13), range(18, 26))


def page_content(evaluation: Evaluation, details: ReportDetails) -> PageContent:
    """Everything on the page of `evaluation`; the attention is that of sentences chosen by length alone."""
    corpus = evaluation.text.corpus
    return PageContent(
        summary=evaluation.summary,
        details=details,
        runs=_records(evaluation),
        explorations=_explorations(evaluation),
        source_language=corpus.source_language,
        target_language=corpus.target_language,
        corpus_digest=corpus.digest,
    )


def _records(evaluation: Evaluation) -> list[RunRecord]:
    systems = {run: system for system, members in evaluation.models.items() for run in members}
    return [_record(name, run, systems[name]) for name, run in evaluation.runs.items()]


def _record(name: str, run: TrainedRun, system: str) -> RunRecord:
    digests = {"weights": run.about["files"]["model.safetensors"], "subwords": run.subwords.digest}
    return RunRecord(name, system, flat_settings(run.config), run.folder.read_metrics(), digests)


def _explorations(evaluation: Evaluation) -> list[Exploration]:
    runs = {system: evaluation.runs[run] for system, run in evaluation.first_runs.items()}
    found = []
    for lengths in _LOOKED_AT:
        of_length = zip(evaluation.text.sources, evaluation.lengths, strict=True)
        sources = (source for source, length in of_length if length in lengths and _fits(source, runs))
        if (source := next(sources, None)) is not None:
            found.append(_without_self_attention(explore_runs(runs, source)))
    return found


def _fits(source: str, runs: Mapping[str, TrainedRun]) -> bool:
    """Whether every run can take `source` whole, not in parts as translation does with what is too long."""
    for run in runs.values():
        (ids,) = run.subwords.encode_source([source])
        most = run.config.decode.max_source_tokens
        if len(ids) > min(most, run.model.max_target_len or most):
            return False
    return True


def _without_self_attention(exploration: Exploration) -> Exploration:
    """The looks from the translation to the source alone: what the page is about, and a third of its size."""
    systems = [replace(system, attention=_cross_alone(system.attention)) for system in exploration.systems]
    return replace(exploration, systems=tuple(systems))


def _cross_alone(attention: SentenceAttention) -> SentenceAttention:
    return replace(attention, weights={kind: one for kind, one in attention.weights.items() if kind == "cross"})

"""The files of an evaluation of runs: scores, figure, reports, translations"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from seq2attn.attention.maps import Exploration, SentenceAttention
from seq2attn.config.settings import flat_settings
from seq2attn.corpora.catalog import count_pairs, describe_origin
from seq2attn.errors import disk_errors
from seq2attn.experiment.evaluate import Evaluation
from seq2attn.experiment.explore import explore_runs
from seq2attn.report.content import Example, ReportContent, ReportDetails, RunRecord
from seq2attn.report.html import write_page
from seq2attn.report.outputs import write_report, write_scores
from seq2attn.runs.folder import TrainedRun

_SHORT = range(6, 13)
_LONG = range(40, 60)
_EXAMPLES_EACH = 3


def write_outputs(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Write everything into `folder`; returns the paths by name."""
    with disk_errors(folder):
        return _write(evaluation, folder)


def _write(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    paths = write_scores(evaluation.summary, folder)
    content = report_content(evaluation, _details(evaluation))
    paths["report"] = write_report(content, paths["figure"], folder)
    paths["report as a page"] = write_page(content, folder)
    paths["translations"] = _write_translations(evaluation, folder / "translations")
    return paths


def _write_translations(evaluation: Evaluation, folder: Path) -> Path:
    """Write source, reference and each run's translations as plain text, a sentence a line."""
    folder.mkdir(exist_ok=True)
    texts = {"source": evaluation.text.sources, "reference": evaluation.text.references}
    for number, (name, lines) in enumerate(evaluation.translations.items(), start=1):
        words = re.findall(r"\w+", name.lower())
        texts["_".join([str(number), *words])] = lines
    for file, lines in texts.items():
        (folder / f"{file}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def _details(evaluation: Evaluation) -> ReportDetails:
    corpus = evaluation.text.corpus
    return ReportDetails(describe_origin(corpus.name), count_pairs(corpus.counts), _examples(evaluation))


def _examples(evaluation: Evaluation) -> list[Example]:
    """The first few short and the first few long sentences, chosen by length alone."""
    chosen: list[int] = []
    for lengths in (_SHORT, _LONG):
        chosen += [row for row, length in enumerate(evaluation.lengths) if length in lengths][:_EXAMPLES_EACH]
    text = evaluation.text
    return [
        Example(
            evaluation.lengths[row],
            text.sources[row],
            text.references[row],
            {system: evaluation.translations[run][row] for system, run in evaluation.first_runs.items()},
        )
        for row in chosen
    ]


# A short sentence, and one of typical length whose map still fits on a screen.
_LOOKED_AT = (range(6, 13), range(18, 26))


def report_content(evaluation: Evaluation, details: ReportDetails) -> ReportContent:
    """Everything in the report on `evaluation`; the sentences for attention are chosen by length only."""
    corpus = evaluation.text.corpus
    return ReportContent(
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
    """Whether `source` fits every run, so that translation does not split it."""
    for run in runs.values():
        (ids,) = run.subwords.encode_source([source])
        most = run.config.decode.max_source_tokens
        if len(ids) > min(most, run.model.max_target_len or most):
            return False
    return True


def _without_self_attention(exploration: Exploration) -> Exploration:
    """The exploration with only the cross-attention, which is a third of the size."""
    systems = [replace(system, attention=_cross_alone(system.attention)) for system in exploration.systems]
    return replace(exploration, systems=tuple(systems))


def _cross_alone(attention: SentenceAttention) -> SentenceAttention:
    return replace(attention, weights={"cross": attention.weights["cross"]} if "cross" in attention.weights else {})

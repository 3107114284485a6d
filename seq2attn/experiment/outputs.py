"""What an evaluation leaves in a folder: figure, tables, JSON, reports and the translations themselves."""

from __future__ import annotations

import re
from pathlib import Path

from seq2attn.data.card import count_pairs, describe_origin
from seq2attn.errors import told_as_run_error
from seq2attn.evaluation.outputs import write_scores
from seq2attn.experiment.evaluate import Evaluation
from seq2attn.experiment.page import page_content
from seq2attn.report.content import Example, ReportDetails, write_report
from seq2attn.report.html import write_page

_SHORT = range(6, 13)
_LONG = range(40, 60)
_EXAMPLES_EACH = 3


def write_outputs(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    """Write everything into `folder`; the paths by what they are."""
    with told_as_run_error(folder):
        return _write(evaluation, folder)


def _write(evaluation: Evaluation, folder: Path) -> dict[str, Path]:
    paths = write_scores(evaluation.summary, folder)
    details = _details(evaluation)
    paths["report"] = write_report(evaluation.summary, paths["figure"], folder, details)
    paths["report as a page"] = write_page(page_content(evaluation, details), folder)
    paths["translations"] = _write_translations(evaluation, folder / "translations")
    return paths


def _write_translations(evaluation: Evaluation, folder: Path) -> Path:
    """Source, reference and each system's translations as plain text, line by line, for any other tool."""
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

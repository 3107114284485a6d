"""Scores of runs on joined sentences: the same text as longer inputs"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seq2attn.corpora.splits import HOW_TO_NAME_DOCUMENTS
from seq2attn.data.derived import MAX_JOINED_WORDS, consecutive_groups, join_texts
from seq2attn.errors import DataError, disk_errors
from seq2attn.evaluation.joined import JOINED_BINS, JoinedOutputs, JoinedSummary, Segments, measure_joined
from seq2attn.evaluation.lengths import Binning, length_unit, sentence_lengths
from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.resampling import N_RESAMPLES, SEED
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.experiment.evaluate import Evaluation, EvaluationSettings
from seq2attn.experiment.translations import SplitText, TranslationProgress, translations_of
from seq2attn.report.joined import draw_joined, joined_blocks
from seq2attn.report.markdown import to_markdown


@dataclass(frozen=True)
class _JoinedText:
    """The split at one join size."""

    size: int
    text: SplitText
    groups: tuple[range, ...]
    """The sentences of the split in each segment."""

    def join(self, translations: Sequence[str]) -> list[str]:
        """The translations of single sentences, segment by segment."""
        language = self.text.corpus.target_language
        return [join_texts(translations[group.start : group.stop], language) for group in self.groups]


def evaluate_joined(
    evaluation: Evaluation,
    sizes: Sequence[int],
    settings: EvaluationSettings,
    progress: TranslationProgress,
    bins: Binning = JOINED_BINS,
) -> JoinedSummary:
    """Scores of the evaluated runs on the same sentences joined, for each of the join `sizes`.

    Raises: DataError where the text has no document names.
    """
    corpus = evaluation.text.corpus
    texts = [_joined_text(evaluation.text, size) for size in sizes]
    names = [document or "" for document in corpus.splits[evaluation.text.split]["document"]]
    numbers = np.unique(names, return_inverse=True)[1]
    unit = length_unit(corpus.source_language)
    segments = Segments(
        tuple(text.size for text in texts for _ in text.groups),
        np.concatenate([sentence_lengths(text.text.sources, unit) for text in texts]),
        np.concatenate([numbers[[group.start for group in text.groups]] for text in texts]),
    )
    bleu = Bleu(tokenizer_for(corpus.target_language))
    systems = [
        _outputs(evaluation, name, members, texts, bleu, settings.beam_size, progress)
        for name, members in evaluation.models.items()
    ]
    return JoinedSummary(
        corpus=corpus.name,
        split=evaluation.text.split,
        machine=evaluation.summary.machine,
        command=settings.command,
        signature=bleu.signature(1, N_RESAMPLES, SEED),
        length_unit=unit,
        longest=MAX_JOINED_WORDS,
        systems=measure_joined(systems, segments, bins.fit(segments.lengths)),
    )


def write_joined(summary: JoinedSummary, folder: Path) -> dict[str, Path]:
    """Write JSON, figure and table into `folder`; returns their paths by name.

    Raises: DiskError where they cannot be written.
    """
    paths = {"joined": folder / "joined.json", "joined table": folder / "joined.md"}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths["joined"].write_text(summary.to_json(), encoding="utf-8")
        paths["joined figure"], _ = draw_joined(summary, folder / "joined")
        blocks = joined_blocks(summary, paths["joined figure"].name)
        paths["joined table"].write_text(to_markdown(blocks), encoding="utf-8")
    return paths


def _joined_text(text: SplitText, size: int) -> _JoinedText:
    corpus = text.corpus
    if "members" in corpus.splits[text.split].column_names:
        raise DataError("--join: data.join of these runs joins the sentences already; evaluate them without --join")
    documents = corpus.splits[text.split]["document"]
    if all(document is None for document in documents):
        raise DataError(
            f"--join: the {text.split} text of {corpus.name} has no document names; {HOW_TO_NAME_DOCUMENTS}"
        )
    lengths = sentence_lengths(text.sources, length_unit(corpus.source_language)).tolist()
    groups = tuple(consecutive_groups(documents, lengths, size))
    sources, references = (
        tuple(join_texts(side[group.start : group.stop], language) for group in groups)
        for side, language in ((text.sources, corpus.source_language), (text.references, corpus.target_language))
    )
    digest = hashlib.sha256("\n".join(sources).encode()).hexdigest()
    return _JoinedText(size, SplitText(corpus, f"{text.split}.join{size}", sources, references, digest), groups)


def _outputs(
    evaluation: Evaluation,
    name: str,
    members: Sequence[str],
    texts: Sequence[_JoinedText],
    bleu: Bleu,
    beam_size: int | None,
    progress: TranslationProgress,
) -> JoinedOutputs:
    """The statistics of the translations by the runs `members`, seeds of one model, of the segments of all sizes."""
    joined, alone = [], []
    for text in texts:
        singly = [text.join(evaluation.translations[run]) for run in members]
        as_one: Sequence[Sequence[str]] = singly
        if text.size > 1:
            as_one = [
                translations_of(evaluation.runs[run], f"{run}, by {text.size}", beam_size, text.text, progress).texts
                for run in members
            ]
        joined.append(bleu.statistics(as_one, [text.text.references]))
        alone.append(bleu.statistics(singly, [text.text.references]))
    cap = evaluation.runs[members[0]].config.data.max_source_words
    return JoinedOutputs(name, cap, np.concatenate(joined, axis=1), np.concatenate(alone, axis=1))

"""Scores by sentence length of any system's translations in files, without torch"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2attn.data.files import Role, read_sentences
from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation.lengths import LengthOf, Lengths, LengthUnit, sentence_lengths
from seq2attn.evaluation.measure import MeasureSettings, SystemOutputs, measure
from seq2attn.results.summary import EvaluatedText, Summary, SystemFacts


@dataclass(frozen=True)
class ScoredFiles:
    """The files of one test set: source, references and translations."""

    source: Path | None
    """Needed only where buckets are by its length."""
    references: tuple[Path, ...]
    systems: tuple[tuple[str | None, Path], ...]
    """Translations; files with the same name are outputs of one system, files without a name are systems."""


@dataclass(frozen=True)
class LengthSettings:
    """How the length of a sentence is counted."""

    of: LengthOf
    unit: LengthUnit
    subwords_model: Path | None = None
    """The SentencePiece model for lengths in subwords."""


@dataclass(frozen=True)
class ScoredTexts:
    """One test set and its translations; sentence N is the same in all of them."""

    name: str
    references: Sequence[Sequence[str]]
    lengths: Lengths
    systems: Mapping[str, Sequence[tuple[str, Sequence[str]]]]
    """By name, the file or other origin of each output of the system, and its sentences."""


def score_files(files: ScoredFiles, lengths: LengthSettings, how: MeasureSettings, command: str) -> Summary:
    """Score the translations against the references, by the length of the source or of the first reference.

    Raises: DataError where a file cannot be read, or files differ in their number of lines.
    """
    first, *others = files.references
    references = [list(read_sentences(first, "reference"))]
    references += [_aligned(path, "reference", references[0], first) for path in others]
    counted = _lengths(files, lengths, references[0])
    outputs = [_aligned(path, "hypothesis", references[0], first) for _, path in files.systems]
    systems = {
        name: [(str(files.systems[place][1]), outputs[place]) for place in places]
        for name, places in _groups(files.systems).items()
    }
    return score_texts(ScoredTexts(first.name, references, counted, systems), lengths, how, command)


def score_texts(texts: ScoredTexts, lengths: LengthSettings, how: MeasureSettings, command: str) -> Summary:
    """Score translations that are in memory, each as long as the references."""
    systems = [SystemOutputs(name, tuple(text for _, text in outputs)) for name, outputs in texts.systems.items()]
    return Summary.of(
        measure(systems, texts.references, texts.lengths, how),
        how,
        EvaluatedText(texts.name, "", lengths.of, lengths.unit, len(texts.references)),
        [SystemFacts([origin for origin, _ in outputs]) for outputs in texts.systems.values()],
        machine=platform.platform(),
        command=command,
    )


def _lengths(files: ScoredFiles, lengths: LengthSettings, reference: Sequence[str]) -> Lengths:
    """The length of each sentence; the source itself is not kept in memory."""
    if lengths.of == "reference":
        return sentence_lengths(reference, lengths.unit, lengths.subwords_model)
    if files.source is None:
        raise ConfigError("lengths of the source: give its file, --source FILE, or --length-of reference")
    counted = sentence_lengths(read_sentences(files.source, "source"), lengths.unit, lengths.subwords_model)
    _check_lines(files.source, len(counted), files.references[0], len(reference))
    return counted


def _aligned(path: Path, role: Role, reference: Sequence[str], reference_path: Path) -> list[str]:
    sentences = list(read_sentences(path, role))
    _check_lines(path, len(sentences), reference_path, len(reference))
    return sentences


def _check_lines(path: Path, n_lines: int, reference: Path, expected: int) -> None:
    if n_lines != expected:
        raise DataError(
            f"{path}: {n_lines:,} line(s) where {reference} has {expected:,}; line N of one must translate line N of "
            "the other"
        )


def _groups(systems: Sequence[tuple[str | None, Path]]) -> dict[str, list[int]]:
    """The places of the files of each system, by its name.

    Raises: ConfigError where two systems would have one name.
    """
    stems = [_stem(path) for _, path in systems]
    groups: dict[str, list[int]] = {}
    for place, (name, path) in enumerate(systems):
        own = stems[place] if stems.count(stems[place]) == 1 else str(path)
        if name is None and own in groups:
            raise ConfigError(f"{path}: another system is already called {own}; give it a name, as in NAME={path}")
        groups.setdefault(name or own, []).append(place)
    return groups


def _stem(path: Path) -> str:
    """The file's name without suffixes of its format."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".txt")

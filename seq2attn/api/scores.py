"""Translations of any system, from files or from memory, to scores by sentence length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

from seq2attn.api import ScoreResult, choose
from seq2attn.data.files import Role, as_text, read_sentences
from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation import lengths
from seq2attn.evaluation.lengths import LengthOf, LengthUnit
from seq2attn.evaluation.measure import MeasureSettings
from seq2attn.evaluation.metrics import Bleu, metrics_named
from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES, N_RESAMPLES
from seq2attn.evaluation.tokenizers import DEFAULT_TOKENIZER, tokenizer_for
from seq2attn.experiment.score_files import LengthSettings, ScoredTexts, score_texts

Sentences: TypeAlias = str | Path | Iterable[str]
"""A file with one sentence a line, or the sentences themselves."""

_FEWEST_SAMPLES = 100
_HYPOTHESES = "hypotheses"


def score(
    hypotheses: Sentences | Sequence[Sentences] | Mapping[str, Sentences | Sequence[Sentences]],
    references: Sentences | Sequence[Sentences],
    sources: Sentences | None = None,
    by_length: bool = True,
    metrics: str | Iterable[str] = ("bleu",),
    names: str | Sequence[str] | None = None,
    *,
    bins: str | Iterable[int] | None = None,
    length_of: LengthOf | None = None,
    length_unit: LengthUnit | None = None,
    subwords_model: str | Path | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    tokenizer: str | None = None,
    baseline: str | None = None,
    n_resamples: int = N_RESAMPLES,
    n_trials: int = N_PAIRED_RESAMPLES,
) -> ScoreResult:
    """Score translations by sentence length: sacreBLEU's numbers with 95 % bootstrap intervals.

    >>> references = ["the cat sat on the mat", "a dog barked at it"] * 20
    >>> result = score({"ours": references, "theirs": references[::-1]}, references, bins=[0, 6])
    >>> print(result.table())
    reference words  sentences                 ours             theirs
    0–5                     20  100.0 (n too small)  0.0 (n too small)
    6+                      20  100.0 (n too small)  0.0 (n too small)
    all                     40  100.0 (100.0–100.0)      0.0 (0.0–0.0)

    Args:
        hypotheses: translations of one system; of several as a mapping from their names, or a list of lists or `Path`s.
            Text is a list of sentences, or a file with one a line. Several outputs of one name are seeds of one model.
        references: one for each sentence; of several translators a list of lists or `Path`s.
        sources: what was translated. Its length makes the buckets; without it, that of the first reference does.
        by_length: scores in buckets of sentence length besides those of all sentences.
        metrics: besides BLEU `chrf`, `chrf++`, `ter`.
        names: of the systems, where `hypotheses` has none.
        bins: first lengths of the buckets, as in `[0, 10, 20]`, or `"width:10"`, or `"count:6"`.
        length_of, length_unit: `source` or `reference`, in `words`, `characters` or `subwords` of `subwords_model`.
        source_language, target_language: two-letter codes, for what lengths are counted in and BLEU's tokenizer.
        tokenizer: one of sacreBLEU's, for BLEU.
        baseline: the system to test the others against; without it, the first.
        n_resamples, n_trials: behind an interval, and behind a p-value.

    Raises: DataError where a file cannot be read or texts differ in their number of sentences; ConfigError.
    """
    targets = _texts(references, "reference", "references")
    systems = _systems(hypotheses, names)
    _check_lengths(systems, targets)
    of = choose("length_of", length_of or ("reference" if sources is None else "source"), get_args(LengthOf))
    unit = as_unit(length_unit, source_language if of == "source" else target_language)
    settings = LengthSettings(of, unit, None if subwords_model is None else Path(subwords_model))
    texts = _scored_texts(systems, targets, sources, settings)
    bleu = Bleu(tokenizer or (DEFAULT_TOKENIZER if target_language is None else tokenizer_for(target_language)))
    further = metrics_named([metrics] if isinstance(metrics, str) else metrics)
    _check_samples(n_resamples, n_trials)
    how = MeasureSettings(as_binning(bins, by_length), bleu, further, baseline, n_resamples, n_trials)
    return ScoreResult(score_texts(texts, settings, how, "seq2attn.score(hypotheses, references, sources)"))


def as_binning(bins: str | Iterable[int] | None, by_length: bool) -> lengths.Binning:
    """The buckets that `bins` asks for, by default tens up to 60; one of every length without `by_length`.

    Raises: ConfigError where `bins` are none.
    """
    if not by_length:
        return lengths.Bins((0,))
    if bins is None:
        return lengths.DEFAULT_BINS
    return lengths.parse_binning(bins if isinstance(bins, str) else ",".join(map(str, bins)))


def as_unit(unit: LengthUnit | None, language: str | None) -> LengthUnit:
    """`unit`, or what suits the language.

    Raises: ConfigError where there is no such unit.
    """
    if unit is None:
        return lengths.length_unit(language or "")
    known: LengthUnit = choose("length_unit", unit, get_args(LengthUnit))
    return known


def _check_samples(n_resamples: int, n_trials: int) -> None:
    for option, number in (("n_resamples", n_resamples), ("n_trials", n_trials)):
        if number < _FEWEST_SAMPLES:
            raise ConfigError(f"{option} {number}: expected {_FEWEST_SAMPLES} or more")


def _scored_texts(
    systems: Mapping[str, Sequence[_Text]],
    references: Sequence[_Text],
    sources: Sentences | None,
    settings: LengthSettings,
) -> ScoredTexts:
    """The texts with the lengths that `settings` ask for."""
    counted = references[0]
    if settings.of == "source":
        if sources is None:
            raise ConfigError("length_of source: give sources, or length_of='reference'")
        counted = _text(sources, "source", "sources")
        _check_length(counted, references[0])
    first = references[0]
    return ScoredTexts(
        f"{len(first.sentences):,} sentences" if first.file is None else first.file.name,
        [reference.sentences for reference in references],
        lengths.sentence_lengths(counted.sentences, settings.unit, settings.subwords_model),
        {name: [(output.where, output.sentences) for output in outputs] for name, outputs in systems.items()},
    )


def sentences_of(text: Sentences, role: Role, where: str) -> list[str]:
    """The sentences themselves, read from the file where `text` is one.

    Raises: DataError naming `where`, or file and line.
    """
    return _text(text, role, where).sentences


@dataclass(frozen=True)
class _Text:
    """Sentences, and the file that they came from, if any."""

    where: str
    sentences: list[str]
    file: Path | None = None

    @property
    def name(self) -> str:
        """What a system with these sentences is called."""
        if self.file is None:
            return self.where.replace(_HYPOTHESES, "system")
        return self.file.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".txt")


def _text(text: Sentences, role: Role, where: str) -> _Text:
    if isinstance(text, str | Path):
        path = Path(text)
        if isinstance(text, str) and not path.exists():
            raise DataError(f"{where}: no file {text!r}; give the path of one, or sentences as a list")
        return _Text(str(path), list(read_sentences(path, role)), path)
    sentences = [
        _sentence(sentence, f"{where}, sentence {number}")
        for number, sentence in enumerate(_elements(text, where), start=1)
    ]
    return _Text(where, sentences)


def _sentence(sentence: object, where: str) -> str:
    if not isinstance(sentence, str):
        raise DataError(f"{where}: found {type(sentence).__name__}; expected text")
    return as_text(sentence, "the text", where)


def _elements(value: object, where: str) -> list[Any]:
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise DataError(f"{where}: found {type(value).__name__}; expected a list of sentences, or a file")
    return list(value)


def _texts(value: Sentences | Sequence[Sentences], role: Role, where: str) -> list[_Text]:
    """One text, or each of several in a list."""
    if isinstance(value, str | Path):
        return [_text(value, role, where)]
    elements = _elements(value, where)
    if not any(_is_text(element) for element in elements):
        return [_text(elements, role, where)]
    return [_text(element, role, f"{where} {number}") for number, element in enumerate(elements, start=1)]


def _is_text(element: object) -> bool:
    """Whether an element of a list is a file or sentences by itself; a `str` there is a sentence."""
    return isinstance(element, Path) or (isinstance(element, Iterable) and not isinstance(element, str | bytes))


def _systems(hypotheses: Any, names: str | Sequence[str] | None) -> dict[str, list[_Text]]:
    """The outputs of each system by its name.

    Raises: ConfigError where names do not fit.
    """
    if isinstance(hypotheses, Mapping):
        if names is not None:
            raise ConfigError("names: the hypotheses have names already, which are the keys of the mapping")
        systems = {str(name): _texts(value, "hypothesis", str(name)) for name, value in hypotheses.items()}
    else:
        texts = _texts(hypotheses, "hypothesis", _HYPOTHESES)
        given = [names] if isinstance(names, str) else names
        if given is not None and len(given) != len(texts):
            raise ConfigError(f"names: {len(given)} for {len(texts)} system(s); give one for each")
        systems = {}
        for name, text in zip(given or _default_names(texts), texts, strict=True):
            systems.setdefault(name, []).append(text)
    if not systems or not all(systems.values()):
        raise DataError("hypotheses: there are none; give the translations of one system or more")
    return systems


def _default_names(texts: Sequence[_Text]) -> list[str]:
    """Files are called by their names, or where those are the same by their paths."""
    names = [text.name for text in texts]
    return [name if names.count(name) == 1 else text.where for name, text in zip(names, texts, strict=True)]


def _check_lengths(systems: Mapping[str, Sequence[_Text]], references: Sequence[_Text]) -> None:
    outputs = [output for of_system in systems.values() for output in of_system]
    n = len(outputs[0].sentences)
    if len(references) == n > 1 and all(len(text.sentences) < n for text in references):
        raise DataError(
            f"references: found a list for each of {n:,} sentences; give one for each translator, as in "
            "list(zip(*references))"
        )
    for text in (*references[1:], *outputs):
        _check_length(text, references[0])


def _check_length(text: _Text, reference: _Text) -> None:
    if (found := len(text.sentences)) != (expected := len(reference.sentences)):
        raise DataError(
            f"{text.where}: {found:,} sentence(s) where {reference.where} has {expected:,}; sentence N of one must "
            "translate sentence N of the other"
        )

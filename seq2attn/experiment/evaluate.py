"""Scores of trained runs by sentence length"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from seq2attn.corpora.load import load_corpus
from seq2attn.corpora.splits import HOW_TO_NAME_DOCUMENTS
from seq2attn.device import describe_machine
from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation.lengths import Binning, LengthOf, LengthUnit, length_unit, sentence_lengths
from seq2attn.evaluation.measure import MeasuredSystem, MeasureSettings, SystemOutputs, measure
from seq2attn.evaluation.metrics import Bleu, Metric
from seq2attn.evaluation.resampling import MIN_CLUSTERS, Clusters, Resample
from seq2attn.evaluation.score import BLEU
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.experiment.judge import (
    Translations,
    document_numbers,
    is_joined,
    judge_runs,
    one_by_one,
    search_otherwise,
)
from seq2attn.experiment.translations import SplitText, SplitTranslations, TranslationProgress, translations_of
from seq2attn.results.claims import EvaluatedModel, find_claims
from seq2attn.results.summary import EvaluatedText, Summary, SystemFacts, Training
from seq2attn.runs.folder import TrainedRun, load_run, load_runs
from seq2attn.runs.model_card import write_card
from seq2attn.runs.scores import KeptScore, keep_scores


@dataclass(frozen=True)
class EvaluationSettings:
    """How runs are evaluated."""

    split: str
    bins: Binning
    length_of: LengthOf
    beam_size: int | None
    """None: that of each run."""
    command: str
    """The command that reproduces the result."""
    baseline: str | None = None
    """The system that all others are compared with; None: the first."""
    names: Mapping[Path, str] = field(default_factory=dict)
    """Other names for runs, by their folders; runs with the same name are seeds of one model."""
    length_unit: LengthUnit | None = None
    """None: that of the language."""
    subwords_model: Path | None = None
    """The SentencePiece model for lengths in subwords."""
    further_metrics: tuple[Metric, ...] = ()
    """Metrics in addition to BLEU."""
    resample: Resample | None = None
    """What resamples draw; None: documents if the text names at least `MIN_CLUSTERS` of them, else sentences."""
    searches: bool = False
    """Whether joined sentences are also translated with other searches, to judge the claim *not search alone*."""


@dataclass(frozen=True)
class Ahead:
    """What a run translates as soon as it is trained; `evaluate_runs` then finds it in the run's folder."""

    split: str
    searches: bool
    """As in `EvaluationSettings`."""


@dataclass(frozen=True)
class Evaluation:
    """Scores, and the text behind them."""

    summary: Summary
    text: SplitText
    lengths: tuple[int, ...]
    translations: Mapping[str, tuple[str, ...]]
    """By the run's name."""
    runs: Mapping[str, TrainedRun]
    """The runs, by the same names."""
    models: Mapping[str, Sequence[str]]
    """For each system the names of its runs, one for each seed."""

    @property
    def first_runs(self) -> dict[str, str]:
        """For each system the name of its first run, whose translations and attention are shown."""
        return {system: members[0] for system, members in self.models.items()}


def translate_ahead(path: Path, ahead: Ahead, device: torch.device, progress: TranslationProgress) -> None:
    """Translate with the run in `path`, and save the translations in its folder; `progress` gets the split's name."""
    run = load_run(path, device)
    text = _split_text(run, ahead.split)
    if ahead.searches:
        search_otherwise({ahead.split: run}, text, None, progress)
    translations_of(run, ahead.split, None, text, progress)


def evaluate_runs(
    paths: Sequence[Path], settings: EvaluationSettings, device: torch.device, progress: TranslationProgress
) -> Evaluation:
    """Translate the split with every run, and score it by length.

    Translations are saved in the run's folder and reused while the weights, the text and the search are the same. The
    scores of finished runs are also saved there and shown in the model card.

    Raises: RunError where a path is not a run; DataError where the runs have different text, or too few
    documents to resample; ConfigError where other searches are asked for and the sentences are not joined.
    """
    runs = load_runs(paths, device)
    text = _common_text(runs, settings.split)
    clusters = _find_clusters(text, settings.resample)
    if settings.searches and not is_joined(text):
        raise ConfigError("--searches: these sentences are not joined; train the runs with sizes in data.join")
    # First, because it makes the translations of each run's own search on the way.
    searches = search_otherwise(runs, text, settings.beam_size, progress) if settings.searches else {}
    translated = {name: translations_of(run, name, settings.beam_size, text, progress) for name, run in runs.items()}
    evaluation = _score(runs, text, clusters, translated, searches, settings, describe_machine(device))
    for run in runs.values():
        if run.has_final_weights:
            keep_scores(run.folder, _scores_of(run, evaluation, settings))
            write_card(run.folder)
    return evaluation


def _score(
    runs: Mapping[str, TrainedRun],
    text: SplitText,
    clusters: Clusters | None,
    translated: Mapping[str, SplitTranslations],
    searches: Mapping[str, Translations],
    settings: EvaluationSettings,
    machine: str,
) -> Evaluation:
    corpus = text.corpus
    translations = {name: found.texts for name, found in translated.items()}
    of_source = settings.length_of == "source"
    unit = settings.length_unit or length_unit(corpus.source_language if of_source else corpus.target_language)
    lengths = sentence_lengths(text.sources if of_source else text.references, unit, settings.subwords_model)
    models = _group_seeds(runs, settings.names)
    systems = [_outputs(name, [translated[run] for run in members], text) for name, members in models.items()]
    bleu = Bleu(tokenizer_for(corpus.target_language))
    how = MeasureSettings(settings.bins, bleu, settings.further_metrics, settings.baseline)
    measurement = measure(systems, [text.references], lengths, how, clusters)
    members = [[runs[run_name] for run_name in names] for names in models.values()]
    joined = is_joined(text)
    evaluated = [
        _evaluated(system, of_model[0], clusters) for system, of_model in zip(measurement.systems, members, strict=True)
    ]
    resample: Resample = "sentences" if clusters is None else "documents"
    summary = Summary.of(
        measurement,
        how,
        EvaluatedText(corpus.name, text.split, settings.length_of, unit, resample=resample),
        [_facts(of_model) for of_model in members],
        claims=() if joined else find_claims(evaluated, lengths),
        machine=machine,
        command=settings.command,
    )
    if joined:
        found = judge_runs(runs, models, text, document_numbers(text), translations, searches)
        summary = replace(summary, joined=True, bottleneck=found)
    return Evaluation(summary, text, tuple(lengths.tolist()), translations, runs, models)


def _outputs(name: str, translated: Sequence[SplitTranslations], text: SplitText) -> SystemOutputs:
    cut_off = [seed.cut_off for seed in translated if seed.cut_off is not None]
    known = tuple(cut_off) if len(cut_off) == len(translated) else None
    alone = tuple(one_by_one(text, seed.texts) for seed in translated) if is_joined(text) else None
    return SystemOutputs(name, tuple(seed.texts for seed in translated), known, alone)


def _evaluated(system: MeasuredSystem, run: TrainedRun, clusters: Clusters | None) -> EvaluatedModel:
    config = run.config
    return EvaluatedModel(
        system.name,
        config.model.attention,
        system.statistics,
        system.buckets,
        config.data.max_source_words,
        config.model.model_dump_json(),
        clusters,
    )


def _find_clusters(text: SplitText, resample: Resample | None) -> Clusters | None:
    """The document numbers, or None where sentences are resampled.

    Raises: DataError where documents are asked for and there are too few.
    """
    if resample == "sentences":
        return None
    known = len(set(text.corpus.splits[text.split]["document"]) - {None})
    if known >= MIN_CLUSTERS:
        return document_numbers(text)
    if resample is None:
        return None
    found = f"names {known or 'no'} document{'s' if known != 1 else ''}"
    hint = f"at least {MIN_CLUSTERS} are needed" if known else HOW_TO_NAME_DOCUMENTS
    raise DataError(f"--resample documents: the {text.split} text of {text.corpus.name} {found}; {hint}")


def _group_seeds(runs: Mapping[str, TrainedRun], names: Mapping[Path, str]) -> dict[str, list[str]]:
    """For each model the names of its runs, in the order of the first runs; a run with a name of its own is a model."""
    models: dict[str, list[str]] = {}
    for name, run in runs.items():
        models.setdefault(names.get(run.folder.path, name), []).append(name)
    return models


def _common_text(runs: Mapping[str, TrainedRun], split: str) -> SplitText:
    texts = [_split_text(run, split) for run in runs.values()]
    first = next(iter(runs.values()))
    for run, text in zip(runs.values(), texts, strict=True):
        if (text.sources, text.references) != (texts[0].sources, texts[0].references):
            raise DataError(
                f"{run.folder.path}: its {split} sentences differ from those of {first.folder.path}; "
                "only runs on the same text can be evaluated together"
            )
    return texts[0]


def _split_text(run: TrainedRun, split: str) -> SplitText:
    corpus = load_corpus(run.config.data)
    if split not in corpus.splits:
        raise DataError(
            f"{run.folder.path}: its corpus has no split {split}; train with data.confirm to draw it from training"
        )
    pairs = corpus.splits[split]
    return SplitText(corpus, split, tuple(pairs["source"]), tuple(pairs["target"]), corpus.digest)


def _scores_of(run: TrainedRun, evaluation: Evaluation, settings: EvaluationSettings) -> list[KeptScore]:
    """The scores of `run`; if it is one seed of several, only its BLEU without an interval."""
    summary, path = evaluation.summary, str(run.folder.path)
    signatures = {BLEU: summary.signature, **summary.signatures}

    def kept(metric: str, value: float, low: float | None, high: float | None) -> KeptScore:
        beam_size = settings.beam_size or run.config.decode.beam_size
        n = len(evaluation.lengths)
        how = signatures[metric], summary.command, summary.resample
        return KeptScore(metric, summary.split, beam_size, n, value, low, high, *how)

    scores = []
    for system in summary.systems:
        if system.run == path and not system.outputs:
            scores += [kept(name, score.value, score.low, score.high) for name, score in system.overall.scores.items()]
        scores += [kept(BLEU, output.bleu, None, None) for output in system.outputs if output.run == path]
    return scores


def _facts(runs: Sequence[TrainedRun]) -> SystemFacts:
    """The facts about a model; of several seeds, those of the first."""
    run = runs[0]
    model = run.config.model
    return SystemFacts(
        [str(seed.folder.path) for seed in runs],
        kind=model.kind,
        attention=model.attention,
        parameters=run.model.count_parameters(),
        max_source_words=run.config.data.max_source_words,
        training=_training(run) if run.has_final_weights else None,
    )


def _training(run: TrainedRun) -> Training:
    about = run.about
    return Training(
        minutes=about["seconds"] / 60,
        steps=about["step"],
        target_tokens=about["target_tokens"],
        device=str(run.folder.read_env().get("machine", "unknown")),
        validation_loss=about["validation_loss"],
        validation_bleu=about["validation_bleu"],
    )

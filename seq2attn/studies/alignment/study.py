"""`alignment`: is attention alignment?

Och and Ney 2003 (alignment error rate), Koehn et al. 2003 (both directions joined), Chen et al. 2020 (where the target
word is the decoder's input, not its output).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from seq2attn.attention.alignment import READINGS
from seq2attn.config.schema import Config
from seq2attn.corpora.load import load_corpus
from seq2attn.errors import RunError
from seq2attn.evaluation.word_alignment import (
    Counts,
    Links,
    choose_on_the_other_half,
    count_links,
    diagonal_links,
    flip,
    grow_diag_final,
)
from seq2attn.results.study import StudyResult
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.alignment.aligners import NO_EFLOMAL, eflomal_links
from seq2attn.studies.alignment.claims import CLAIMS, GoldKind, directions, judge
from seq2attn.studies.alignment.gold import KNOWN, SYNTHETIC, Gold, GoldFiles, gold_of_files
from seq2attn.studies.alignment.views import (
    Checkpoint,
    System,
    heads_table,
    main_table,
    rates_panel,
    training_panel,
    training_table,
)
from seq2attn.studies.heads.links import HeadCounts, count_heads, over_training
from seq2attn.studies.small_models import Settings, small_model
from seq2attn.studies.study import Preset, Progress, Study

_NAMES = {"rnn": "RNN", "transformer": "Transformer"}
_GREEK_SUBWORDS: Settings = {"vocab_size": 2000}
_GREEK_MODEL: Settings = {"d_model": 128, "dropout": 0.1}
_GREEK_TRAINING: Settings = {"max_steps": 2000, "batch_tokens": 1500, "validate_every_steps": 400}
_SMOKE_SENTENCES = 100
_TRAINING_SENTENCES = 100
_MOST_ALIGNER_PAIRS = 20_000


class AlignmentStudy(Study):
    """Alignment error rates of every head, against the known links of a corpus or those in the user's files."""

    name = "alignment"
    question = "Is attention alignment?"
    claims = CLAIMS

    def __init__(self, gold: GoldFiles | None = None, corpus: str = SYNTHETIC) -> None:
        """`gold`: of the runs to measure; `corpus`: of `KNOWN`, on which models are trained where no run is given."""
        self.files = gold
        self.corpus = corpus

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """The RNN and the transformer, in both directions."""
        names = [(kind, is_reversed) for kind in _NAMES for is_reversed in (False, True)]
        # The transformer's other direction would take a quarter of the minute that `smoke` has.
        chosen = names if preset == "quick" else names[:3]
        return {
            f"{kind}_reversed" if is_reversed else kind: self._config(kind, preset, is_reversed)
            for kind, is_reversed in chosen
        }

    def _config(self, kind: str, preset: Preset, is_reversed: bool) -> Config:
        name = f"{_NAMES[kind]}, reversed" if is_reversed else _NAMES[kind]
        if self.corpus == SYNTHETIC:
            return small_model(kind, preset, name, is_reversed=is_reversed)
        languages = {"source_language": "en", "target_language": "grc"} if is_reversed else {}
        model, train = (_GREEK_MODEL, _GREEK_TRAINING) if preset == "quick" else ({}, {})
        return small_model(
            kind, preset, name, model, train, data={"corpus": self.corpus, **languages}, subwords=_GREEK_SUBWORDS
        )

    def why_not(self, run: TrainedRun) -> str | None:
        """A fixed context has no weights, and of most text no alignment is known."""
        if run.config.model.attention == "none":
            return "a fixed context has no attention weights"
        if self.files is not None:
            return None
        if run.config.data.corpus not in KNOWN:
            return (
                f"no alignment is known of {run.config.data.corpus or 'your own text'}; give --gold, --source and "
                f"--target, or a run on {' or '.join(KNOWN)}"
            )
        return None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The error rates of all runs, each in its own direction.

        Raises: RunError for runs on several corpora.
        """
        first = next(iter(runs.values()))
        gold = gold_of_files(self.files) if self.files is not None else _known_gold(list(runs.values()))
        if preset == "smoke":
            gold = gold.first(_SMOKE_SENTENCES)
        language = gold.source_language or _source_language(first)
        measured = []
        for name, run in runs.items():
            is_reversed = _source_language(run) != language
            oriented = gold.flipped() if is_reversed else gold
            measured.append(count_heads(name, run, oriented.pairs, is_reversed, progress))
        joined = list(_join(measured, gold))
        others, notes = _others(gold, first, language, preset)
        systems = [system for heads in measured for system in _systems(heads)]
        rows = [*systems, *joined, *others]
        training = _training(runs, measured, gold, progress)
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)} on {len(gold.pairs)} sentence pairs: {gold.name}.",
            tuple(judge(measured, joined, others, _kind_of_gold(self.files, first))),
            (main_table(rows), heads_table(measured), *([training_table(training)] if training else [])),
            (rates_panel(rows), *([training_panel(training, _TRAINING_SENTENCES)] if training else [])),
            (*_NOTES, *notes),
        )


_NOTES = (
    "The alignment error rate is 1 − (|A∩S| + |A∩P|) / (|A| + |S|): A are the links found, S the sure ones, P the "
    "possible ones (Och and Ney 2003). 0 is perfect. Precision counts possible links, recall sure ones.",
    "Models are fed with the reference. The weight of a source word is the sum over its subwords, that from a target "
    "word the mean over its subwords; the weight of the end of the sentence is left out. By argmax, each target word "
    "is linked to one source word; by threshold, to all with at least that weight.",
    "Where a head or a threshold is chosen, it is chosen for each half of the sentences on the other half, so no "
    "choice is scored on the sentences that it was made on.",
)


def _known_gold(runs: Sequence[TrainedRun]) -> Gold:
    corpora = list(dict.fromkeys(str(run.config.data.corpus) for run in runs))
    if len(corpora) > 1:
        raise RunError(f"the runs are on {' and '.join(corpora)}, which have different alignments; give those of one")
    return KNOWN[corpora[0]](runs[0].config.data.folder)


def _kind_of_gold(files: GoldFiles | None, run: TrainedRun) -> GoldKind:
    if files is not None:
        return "own"
    return "exact" if run.config.data.corpus == SYNTHETIC else "by hand"


def _source_language(run: TrainedRun) -> str:
    return str(run.folder.read_env().get("source_language", run.config.data.source_language))


def _systems(heads: HeadCounts) -> Iterator[System]:
    """The best head of a run in every reading, by argmax and by threshold."""
    for reading in READINGS:
        for how, candidates in (("argmax", heads.by_argmax(reading)), ("threshold", heads.by_threshold(reading))):
            counts, chosen = choose_on_the_other_half([candidate.counts for candidate in candidates])
            names = dict.fromkeys(candidates[index].name for index in chosen)
            yield System(heads.run, reading, how, " / ".join(names) or "–", counts)


def _join(measured: Sequence[HeadCounts], gold: Gold) -> Iterator[System]:
    """Each forward run joined with the run that differs only in the direction."""
    for forward, backward in directions(measured):
        links = [
            grow_diag_final(one, flip(other))
            for one, other in zip(forward.best_links(), backward.best_links(), strict=True)
        ]
        yield System(f"both directions: {forward.run}", "chosen", "argmax", "", _count(links, gold))


def _count(links: Sequence[Links], gold: Gold) -> Counts:
    rows = [count_links(pair.counted(found), *pair.links) for found, pair in zip(links, gold.pairs, strict=True)]
    return np.array(rows, dtype=np.float64)


def _others(gold: Gold, run: TrainedRun, language: str, preset: Preset | None) -> tuple[list[System], list[str]]:
    """Alignments without attention, and what has to be said about them."""
    sizes = [(len(pair.source_words), len(pair.target_words)) for pair in gold.pairs]
    systems = [System("diagonal", "–", "–", "", _count([diagonal_links(*size) for size in sizes], gold))]
    if preset == "smoke":
        return systems, ["eflomal, an aligner to compare with, is left out of the preset smoke."]
    text = [(pair.source_words, pair.target_words) for pair in gold.pairs]
    links = eflomal_links([*text, *_training_words(gold, run, language)])
    if links is None:
        return systems, [NO_EFLOMAL]
    systems.append(System("eflomal", "–", "both directions", "", _count(links[: len(text)], gold)))
    return systems, [
        "eflomal (Östling and Tiedemann 2016) learns from the training pairs and those of the gold standard."
    ]


def _training_words(gold: Gold, run: TrainedRun, language: str) -> Iterator[tuple[list[str], list[str]]]:
    """Training pairs of `run` in the direction of the gold standard."""
    pairs = load_corpus(run.config.data).splits["train"]
    pairs = pairs.select(range(min(len(pairs), _MOST_ALIGNER_PAIRS)))
    sides = ("source", "target") if _source_language(run) == language else ("target", "source")
    for source, target in zip(*(pairs[side] for side in sides), strict=True):
        yield gold.split_words(source), gold.split_words(target)


def _training(
    runs: Mapping[str, TrainedRun], measured: Sequence[HeadCounts], gold: Gold, progress: Progress
) -> list[Checkpoint]:
    """The counts of every run with at least two checkpoints, after each of them."""
    found: list[Checkpoint] = []
    sample = gold.first(_TRAINING_SENTENCES)
    for heads in measured:
        run = runs[heads.run]
        pairs = (sample.flipped() if heads.is_reversed else sample).pairs
        found += [Checkpoint(heads.run, step, counts) for step, counts in over_training(heads, run, pairs, progress)]
    return found

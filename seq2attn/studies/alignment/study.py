"""`alignment`: is attention alignment?

Och and Ney 2003 (alignment error rate), Koehn et al. 2003 (both directions joined), Chen et al. 2020 (where the target
word is the decoder's input, not its output).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from seq2attn.attention.alignment import READINGS
from seq2attn.config.schema import Config
from seq2attn.corpora.load import load_corpus
from seq2attn.evaluation.comparisons import Comparison
from seq2attn.evaluation.word_alignment import (
    Counts,
    Links,
    choose_on_the_other_half,
    count_links,
    diagonal_links,
    error_rate_difference,
    error_rate_score,
    flip,
    grow_diag_final,
)
from seq2attn.results.study import (
    Estimate,
    JudgedClaim,
    StudyClaim,
    StudyResult,
    judge_in_every_run,
)
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.alignment.aligners import NO_EFLOMAL, eflomal_links
from seq2attn.studies.alignment.gold import SYNTHETIC, Gold, GoldFiles, gold_of_files, synthetic_gold
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
from seq2attn.studies.small_models import small_model
from seq2attn.studies.study import Preset, Progress, Study

_BY_SENTENCE = "95 % bootstrap interval over sentences; supported if it holds in every run"
_OFF_BY_ONE = (
    "Error rate read where the word is the output, minus that where it is the input, links by argmax, on the same "
    f"sentences; {_BY_SENTENCE}: the whole interval above 0."
)
RNN_ALIGNS = StudyClaim(
    "rnn-aligns",
    "In the made-up language, the RNN's attention is alignment: an error rate of at most 0.15",
    "Alignment error rate against the exact links, read where the word is the output, links by argmax; "
    f"{_BY_SENTENCE}: the whole interval below 0.15. Half of what a diagonal errs (0.29), and below the 0.2 to 0.3 "
    "that statistical aligners reach on natural text.",
    0.15,
    above=False,
)
RNN_OFF_BY_ONE = StudyClaim(
    "rnn-off-by-one",
    "The RNN's attention is off by one: it aligns better where the word is read (Koehn and Knowles 2017)",
    _OFF_BY_ONE,
    0.0,
    above=True,
)
TRANSFORMER_OFF_BY_ONE = StudyClaim(
    "transformer-off-by-one",
    "The transformer's best head aligns better where the word is read (Chen et al. 2020)",
    f"{_OFF_BY_ONE} The head is chosen for each half of the sentences on the other half.",
    0.0,
    above=True,
)
JOINED_IS_BETTER = StudyClaim(
    "joined",
    "Both directions joined align better than one (Koehn et al. 2003)",
    "Error rate of the forward model, minus that of both joined by grow-diag-final, links by argmax, reading and head "
    f"chosen for each half of the sentences on the other half; {_BY_SENTENCE}: the whole interval above 0.",
    0.0,
    above=True,
)

_NAMES = {"rnn": "RNN", "transformer": "Transformer"}
_SMOKE_SENTENCES = 100
_TRAINING_SENTENCES = 100
_MOST_ALIGNER_PAIRS = 20_000


class AlignmentStudy(Study):
    """Alignment error rates of every head, against the exact links of `synthetic` or those in the user's files."""

    name = "alignment"
    question = "Is attention alignment?"
    claims = (RNN_ALIGNS, RNN_OFF_BY_ONE, TRANSFORMER_OFF_BY_ONE, JOINED_IS_BETTER)

    def __init__(self, gold: GoldFiles | None = None) -> None:
        self.files = gold

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """The RNN and the transformer, in both directions."""
        names = [(kind, is_reversed) for kind in _NAMES for is_reversed in (False, True)]
        # The transformer's other direction would take a quarter of the minute that `smoke` has.
        chosen = names if preset == "quick" else names[:3]
        return {
            f"{kind}_reversed" if is_reversed else kind: small_model(
                kind, preset, f"{_NAMES[kind]}, reversed" if is_reversed else _NAMES[kind], is_reversed=is_reversed
            )
            for kind, is_reversed in chosen
        }

    def why_not(self, run: TrainedRun) -> str | None:
        """A fixed context has no weights, and of most text no alignment is known."""
        if run.config.model.attention == "none":
            return "a fixed context has no attention weights"
        if self.files is not None:
            return None
        if run.config.data.corpus != SYNTHETIC:
            return (
                f"no alignment is known of {run.config.data.corpus or 'your own text'}; give --gold, --source and "
                f"--target, or a run on {SYNTHETIC}"
            )
        return None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The error rates of all runs, each in its own direction."""
        first = next(iter(runs.values()))
        gold = gold_of_files(self.files) if self.files is not None else synthetic_gold(first.config.data.folder)
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
            tuple(_judge(measured, joined, is_exact=self.files is None)),
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
    for forward, backward in _directions(measured):
        links = [
            grow_diag_final(one, flip(other))
            for one, other in zip(forward.best_links(), backward.best_links(), strict=True)
        ]
        yield System(f"both directions: {forward.run}", "chosen", "argmax", "", _count(links, gold))


def _directions(measured: Sequence[HeadCounts]) -> Iterator[tuple[HeadCounts, HeadCounts]]:
    for forward, backward in product(measured, measured):
        if forward.key == backward.key and not forward.is_reversed and backward.is_reversed:
            yield forward, backward


def _count(links: Sequence[Links], gold: Gold) -> Counts:
    rows = [count_links(found, *pair.links) for found, pair in zip(links, gold.pairs, strict=True)]
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


def _judge(measured: Sequence[HeadCounts], joined: Sequence[System], is_exact: bool) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    by_kind = {kind: [heads for heads in measured if heads.kind == kind] for kind in ("rnn", "transformer")}
    if by_kind["rnn"] and is_exact:
        yield judge_in_every_run(RNN_ALIGNS, [_rate(heads.run, heads.best_of("output")) for heads in by_kind["rnn"]])
    for kind, claim in (("rnn", RNN_OFF_BY_ONE), ("transformer", TRANSFORMER_OFF_BY_ONE)):
        if by_kind[kind]:
            yield judge_in_every_run(
                claim, [_fall(heads.run, heads.best_of("output"), heads.best_of("input")) for heads in by_kind[kind]]
            )
    if joined:
        pairs = zip(_directions(measured), joined, strict=True)
        yield judge_in_every_run(
            JOINED_IS_BETTER, [_fall(one.run, one.best_counts(), both.counts) for (one, _), both in pairs]
        )


def _rate(run: str, counts: Counts) -> Estimate:
    score = error_rate_score(counts)
    return Estimate(run, score.value, score.low, score.high)


def _fall(run: str, first: Counts, second: Counts) -> Estimate:
    measured: Comparison = error_rate_difference(first, second)
    return Estimate(run, measured.value, measured.low, measured.high, measured.p_value)


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

"""The claims of the study `alignment`, fixed before any run was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Literal

from seq2attn.evaluation.comparisons import Comparison
from seq2attn.evaluation.word_alignment import Counts, error_rate_difference, error_rate_score
from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.alignment.views import System
from seq2attn.studies.heads.links import HeadCounts

GoldKind = Literal["exact", "by hand", "own"]
"""Whether the links are those of the made-up language, of the Greek corpus, or the user's own."""

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
BETTER_THAN_DIAGONAL = StudyClaim(
    "better-than-diagonal",
    "On natural text, attention aligns better than a diagonal does",
    "Error rate of the diagonal, minus that of the model, links by argmax, reading and head chosen for each half of "
    f"the sentences on the other half, against links made by hand; {_BY_SENTENCE}: the whole interval above 0.",
    0.0,
    above=True,
)
WORSE_THAN_ALIGNER = StudyClaim(
    "worse-than-aligner",
    "On natural text, attention is no aligner: eflomal, made for that, aligns better from the same verses",
    "Error rate of the model, links by argmax, reading and head chosen for each half of the sentences on the other "
    f"half, minus that of eflomal, against links made by hand; {_BY_SENTENCE}: the whole interval above 0.",
    0.0,
    above=True,
)
CLAIMS = (
    *(RNN_ALIGNS, RNN_OFF_BY_ONE, TRANSFORMER_OFF_BY_ONE, JOINED_IS_BETTER),
    *(BETTER_THAN_DIAGONAL, WORSE_THAN_ALIGNER),
)


def judge(
    measured: Sequence[HeadCounts], joined: Sequence[System], others: Sequence[System], gold: GoldKind
) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    by_kind = {kind: [heads for heads in measured if heads.kind == kind] for kind in ("rnn", "transformer")}
    if by_kind["rnn"] and gold == "exact":
        yield judge_in_every_run(RNN_ALIGNS, [_rate(heads.run, heads.best_of("output")) for heads in by_kind["rnn"]])
    for kind, claim in (("rnn", RNN_OFF_BY_ONE), ("transformer", TRANSFORMER_OFF_BY_ONE)):
        if by_kind[kind]:
            yield judge_in_every_run(
                claim, [_fall(heads.run, heads.best_of("output"), heads.best_of("input")) for heads in by_kind[kind]]
            )
    if joined:
        pairs = zip(directions(measured), joined, strict=True)
        yield judge_in_every_run(
            JOINED_IS_BETTER, [_fall(one.run, one.best_counts(), both.counts) for (one, _), both in pairs]
        )
    if gold == "by hand":
        yield from _judge_on_natural_text(measured, {system.name: system.counts for system in others})


def _judge_on_natural_text(measured: Sequence[HeadCounts], others: Mapping[str, Counts]) -> Iterator[JudgedClaim]:
    """Attention beside alignments without it, `others`; a run's direction does not matter to their counts."""
    best = {heads.run: heads.best_counts() for heads in measured}
    diagonal = others["diagonal"]
    yield judge_in_every_run(BETTER_THAN_DIAGONAL, [_fall(run, diagonal, counts) for run, counts in best.items()])
    if "eflomal" in others:
        yield judge_in_every_run(
            WORSE_THAN_ALIGNER, [_fall(run, counts, others["eflomal"]) for run, counts in best.items()]
        )


def _rate(run: str, counts: Counts) -> Estimate:
    score = error_rate_score(counts)
    return Estimate(run, score.value, score.low, score.high)


def _fall(run: str, first: Counts, second: Counts) -> Estimate:
    measured: Comparison = error_rate_difference(first, second)
    return Estimate(run, measured.value, measured.low, measured.high, measured.p_value)


def directions(measured: Sequence[HeadCounts]) -> Iterator[tuple[HeadCounts, HeadCounts]]:
    """Runs in the direction of the gold standard, each with one that differs only in the direction."""
    for forward, backward in product(measured, measured):
        if forward.key == backward.key and not forward.is_reversed and backward.is_reversed:
            yield forward, backward

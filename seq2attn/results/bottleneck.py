"""The claims about the bottleneck, by the rules of docs/claims.md, which were fixed before the runs they judge.

Inputs that share a document, or sentences, are resampled together: a resample draws whole clusters, the same ones for
every system, metric and range of lengths. Of a system with several outputs (seeds) the score is the mean over them, and
each resample weighs them as `resampling.weigh_outputs` describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from seq2attn.evaluation.differences import holm
from seq2attn.evaluation.lengths import Lengths, Range
from seq2attn.evaluation.metrics import Bleu, Chrf, Metric, Scores, Statistics
from seq2attn.evaluation.resampling import (
    N_PAIRED_RESAMPLES,
    SEED,
    Clusters,
    Selection,
    expanded_interval,
    resample_sums,
    sum_clusters,
    weigh_outputs,
)

MIN_INPUTS = 100
"""A range of lengths with fewer inputs takes no part in a claim."""
MIN_LEARNED, MIN_LEARNED_LOW = 0.80, 0.70
"""Share of attention's BLEU on the shortest inputs that the baseline must reach, and the interval's lower limit."""
MIN_RETENTION = 0.85
"""Share of its BLEU that a model without a bottleneck keeps."""
MAX_P_VALUE = 0.01
"""After Holm's correction for the claims of a report."""
RETENTION_RANGES = (Range(10, 20), Range(50, 60))
"""From where to where retention is measured."""

ClaimId = Literal["learned", "bottleneck", "retention", "not_search_alone"]
Scale = Literal["bleu", "log_bleu", "chrf"]
Verdict = Literal["supported", "not_supported", "inconclusive"]
SCALES: tuple[Scale, ...] = ("bleu", "log_bleu", "chrf")


@dataclass(frozen=True)
class BottleneckClaim:
    """One claim on one scale: a row of `claims` in `summary.json`."""

    id: ClaimId
    scale: Scale | None
    system: str
    baseline: str | None
    estimate: float | None
    """None, like `low` and `high`, where it is not finite: the logarithm of a BLEU of 0."""
    low: float | None
    high: float | None
    p: float | None
    """One-sided, corrected for the number of claims (Holm 1979); None where the interval decides."""
    verdict: Verdict


@dataclass(frozen=True)
class LengthOutputs:
    """A system's translations of all inputs: the statistics of each, `(n_seeds, n_inputs, n_columns)`."""

    name: str
    bleu: Statistics
    chrf: Statistics


class ClusterBootstrap:
    """Scores on resamples of whole clusters; every call sees the same resamples."""

    def __init__(self, clusters: Clusters, n_resamples: int = N_PAIRED_RESAMPLES, seed: int = SEED) -> None:
        """`clusters`: of each input, `(n_inputs,)`; not empty."""
        self.clusters = np.unique(clusters, return_inverse=True)[1]
        self.n_resamples = n_resamples
        self._seed = seed
        self._n_clusters = int(self.clusters.max()) + 1

    def interval(self, values: Scores) -> tuple[float, float]:
        """The 95 % interval of `values`, one for each resample, widened as so few clusters need (Hesterberg 2015)."""
        defined = values[np.isfinite(values)]
        return expanded_interval(defined, self._n_clusters) if len(defined) else (-np.inf, np.inf)

    def scores(self, metric: Metric, statistics: Statistics, chosen: Selection, system: int) -> Scores:
        """The system's score on the chosen inputs of each resample, `(n_resamples,)`.

        Args:
            metric: of the statistics.
            statistics: `(n_seeds, n_inputs, n_columns)`.
            chosen: the inputs, `(n_inputs,)`.
            system: its number; a system's outputs are weighed alike in every call.
        """
        outputs = []
        for output in statistics:
            by_cluster = sum_clusters(output[chosen], self.clusters[chosen], self.clusters)
            # The same seed each time: the same clusters are drawn.
            sums = resample_sums(by_cluster, self.n_resamples, np.random.default_rng(self._seed))
            outputs.append(metric.score_each(sums))
        rng = np.random.default_rng((self._seed, system))
        weights = weigh_outputs(len(outputs), self.n_resamples, rng)
        return np.maximum((np.stack(outputs) * weights).sum(axis=0), 0.0)


@dataclass(frozen=True)
class _Ends:
    """A system's scores on short and on long inputs: the value, and on each resample."""

    short: float
    long: float
    shorts: Scores
    longs: Scores

    def fall(self, scale: Scale) -> tuple[float, Scores]:
        """What is lost from short to long, on `scale`."""
        if scale != "log_bleu":
            return self.short - self.long, self.shorts - self.longs
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.log(self.short) - np.log(self.long)), np.log(self.shorts) - np.log(self.longs)


def claimed_ranges(lengths: Lengths, ranges: Sequence[Range]) -> list[Range]:
    """The ranges with at least `MIN_INPUTS` inputs, in their order."""
    return [span for span in ranges if np.count_nonzero(span.includes(lengths)) >= MIN_INPUTS]


def judge(
    fixed: LengthOutputs,
    attending: Sequence[LengthOutputs],
    searches: Mapping[str, tuple[LengthOutputs, Sequence[LengthOutputs]]],
    lengths: Lengths,
    clusters: Clusters,
    ranges: Sequence[Range],
    bleu: Bleu | None = None,
    n_resamples: int = N_PAIRED_RESAMPLES,
) -> tuple[BottleneckClaim, ...]:
    """All claims of one report; nothing is claimed where fewer than two ranges have enough inputs.

    Args:
        fixed: the model with a fixed context.
        attending: the models with attention, the first of them the recurrent one that the baseline is held against.
        searches: the same systems with other searches, by a name for the search.
        lengths: of each input, `(n_inputs,)`.
        clusters: of each input, `(n_inputs,)`.
        ranges: the buckets of the curve.
        bleu: with the tokenizer of the target language.
        n_resamples: behind each interval and p-value.
    """
    claimed = claimed_ranges(lengths, ranges)
    if len(claimed) < 2 or not attending:
        return ()
    judged = _Judged(ClusterBootstrap(clusters, n_resamples), bleu or Bleu(), lengths, (claimed[0], claimed[-1]))
    numbers = {fixed.name: 0, **{system.name: number for number, system in enumerate(attending, start=1)}}
    claims = [_learned(judged, fixed, attending[0], numbers)]
    claims += _bottleneck("bottleneck", judged, fixed, attending, numbers)
    if set(RETENTION_RANGES) <= set(claimed):
        claims += [_retention(judged, system, numbers) for system in attending]
    for search, (searched_fixed, searched) in searches.items():
        found = _bottleneck("not_search_alone", judged, searched_fixed, searched, numbers)
        claims += [replace(claim, system=f"{claim.system}, {search}") for claim in found]
    return _decided(claims)


@dataclass(frozen=True)
class _Judged:
    """What all claims of a report share."""

    bootstrap: ClusterBootstrap
    bleu: Bleu
    lengths: Lengths
    spans: tuple[Range, Range]
    """The shortest and the longest range that is claimed."""

    def ends(self, system: LengthOutputs, number: int, scale: Scale, spans: tuple[Range, Range] | None = None) -> _Ends:
        """The system's scores at both ends of the curve, under the metric of `scale`."""
        metric: Metric = Chrf() if scale == "chrf" else self.bleu
        statistics = system.chrf if scale == "chrf" else system.bleu
        values: list[float] = []
        resampled: list[Scores] = []
        for span in spans or self.spans:
            chosen = span.includes(self.lengths)
            values.append(float(np.mean([metric.score(output[chosen].sum(axis=0)) for output in statistics])))
            resampled.append(self.bootstrap.scores(metric, statistics, chosen, number))
        return _Ends(values[0], values[1], resampled[0], resampled[1])


def _learned(
    judged: _Judged, fixed: LengthOutputs, attending: LengthOutputs, numbers: Mapping[str, int]
) -> BottleneckClaim:
    ours, theirs = (judged.ends(system, numbers[system.name], "bleu") for system in (fixed, attending))
    share, resampled = _quotient(ours.short, theirs.short, ours.shorts, theirs.shorts)
    low, high = judged.bootstrap.interval(resampled)
    verdict: Verdict = "inconclusive"
    if share >= MIN_LEARNED and low >= MIN_LEARNED_LOW:
        verdict = "supported"
    elif high < MIN_LEARNED:
        verdict = "not_supported"
    return BottleneckClaim("learned", None, fixed.name, attending.name, share, low, high, None, verdict)


def _retention(judged: _Judged, system: LengthOutputs, numbers: Mapping[str, int]) -> BottleneckClaim:
    ends = judged.ends(system, numbers[system.name], "bleu", RETENTION_RANGES)
    kept, resampled = _quotient(ends.long, ends.short, ends.longs, ends.shorts)
    low, high = judged.bootstrap.interval(resampled)
    verdict: Verdict = "inconclusive"
    if low >= MIN_RETENTION:
        verdict = "supported"
    elif high < MIN_RETENTION:
        verdict = "not_supported"
    return BottleneckClaim("retention", None, system.name, None, kept, low, high, None, verdict)


def _quotient(above: float, below: float, aboves: Scores, belows: Scores) -> tuple[float, Scores]:
    """A share and its resamples; a resample in which it is not defined counts as a share of 0."""
    resampled = np.divide(aboves, belows, out=np.zeros_like(aboves), where=belows > 0)
    return (above / below if below else 0.0), resampled


def _bottleneck(
    claim: ClaimId,
    judged: _Judged,
    fixed: LengthOutputs,
    attending: Sequence[LengthOutputs],
    numbers: Mapping[str, int],
) -> list[BottleneckClaim]:
    """What the fixed context loses from short to long inputs beyond what each other model loses, on every scale."""

    def fall(system: LengthOutputs, scale: Scale) -> tuple[float, Scores]:
        return judged.ends(system, numbers[system.name], scale).fall(scale)

    of_fixed = {scale: fall(fixed, scale) for scale in SCALES}
    claims = []
    for system, scale in product(attending, SCALES):
        (ours, our_falls), (theirs, their_falls) = of_fixed[scale], fall(system, scale)
        # A resample in which a score is 0 has no logarithm: it counts against the claim.
        with np.errstate(invalid="ignore"):
            more = our_falls - their_falls
        p = (1 + int(np.count_nonzero(~(more > 0)))) / (1 + len(more))
        low, high = judged.bootstrap.interval(more)
        claims.append(
            BottleneckClaim(claim, scale, fixed.name, system.name, ours - theirs, low, high, p, "inconclusive")
        )
    return claims


def _decided(claims: Sequence[BottleneckClaim]) -> tuple[BottleneckClaim, ...]:
    """The claims with corrected p-values and their verdicts.

    The bottleneck is supported on a scale at `MAX_P_VALUE`, and not supported where the interval is below 0. Nothing
    about it is concluded where the baseline has not learned short inputs.
    """
    corrected = iter(_corrected([(claim.id, claim.p) for claim in claims if claim.p is not None]))
    learned = all(claim.verdict == "supported" for claim in claims if claim.id == "learned")
    decided = []
    for claim in claims:
        if claim.p is not None:
            p = next(corrected)
            verdict: Verdict = "inconclusive"
            if learned and p < MAX_P_VALUE:
                verdict = "supported"
            elif learned and claim.high is not None and claim.high < 0.0:
                verdict = "not_supported"
            claim = replace(claim, p=p, verdict=verdict)
        decided.append(claim)
    return tuple(map(_with_finite_numbers, decided))


def _corrected(tests: Sequence[tuple[ClaimId, float]]) -> list[float]:
    """The p-value of each test, corrected for the number of claims (Holm 1979), in their order.

    A claim is supported only if all its tests are, so it needs no correction for their number: its own p-value is the
    largest of theirs (an intersection-union test; Berger 1982, doi:10.1080/00401706.1982.10487790).
    """
    largest: dict[ClaimId, float] = {}
    for claim, p in tests:
        largest[claim] = max(p, largest.get(claim, 0.0))
    in_order = sorted(largest, key=largest.__getitem__)
    factors = {claim: len(in_order) - step for step, claim in enumerate(in_order)}
    # No p-value is below that of a claim before it.
    least = dict(zip(in_order, [0.0, *holm([largest[claim] for claim in in_order])], strict=False))
    return [min(1.0, max(p * factors[claim], least[claim])) for claim, p in tests]


def _with_finite_numbers(claim: BottleneckClaim) -> BottleneckClaim:
    numbers = (claim.estimate, claim.low, claim.high)
    estimate, low, high = (None if number is None or not np.isfinite(number) else number for number in numbers)
    return replace(claim, estimate=estimate, low=low, high=high)


def overall_verdict(claims: Sequence[BottleneckClaim], claim: ClaimId) -> Verdict:
    """The verdict on a claim over all systems and scales: supported only if all are, not supported if any is not."""
    verdicts = {row.verdict for row in claims if row.id == claim}
    if verdicts == {"supported"}:
        return "supported"
    return "not_supported" if "not_supported" in verdicts else "inconclusive"

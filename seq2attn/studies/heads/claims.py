"""The claims of the study `heads`, fixed before any run was measured, and how they are judged"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from seq2attn.evaluation.resampling import N_RESAMPLES, percentile_interval
from seq2attn.pruning.importance import Values
from seq2attn.results.study import Estimate, JudgedClaim, StudyClaim, judge_in_every_run
from seq2attn.studies.heads.curves import TOGETHER, Curves
from seq2attn.studies.heads.looks import POSITIONAL
from seq2attn.studies.heads.views import MeasuredHeads

_BY_SENTENCE = "95 % bootstrap interval over sentences; supported if it holds in every run"
_REMOVED = (
    "Heads go one by one by the gradient of their gate, measured again after each, on validation sentences; BLEU is "
    "that of greedy translations of test sentences"
)
HALF_CAN_GO = StudyClaim(
    "half-can-go",
    "Half of the heads can be removed (Michel et al. 2019): 95 % of BLEU or more is left",
    f"BLEU without half of all heads, divided by BLEU with all. {_REMOVED}. {_BY_SENTENCE}: the whole interval above "
    "0.95.",
    0.95,
    above=True,
)
_CROSS = (
    "BLEU without half of the {} heads, minus BLEU without half of the cross-attention heads. "
    f"{_REMOVED}. {_BY_SENTENCE}: the whole interval above 0."
)
CROSS_NOT_ENCODER = StudyClaim(
    "cross-before-encoder",
    "Cross-attention needs its heads more than the encoder does (Michel et al. 2019)",
    _CROSS.format("encoder's"),
    0.0,
    above=True,
)
CROSS_NOT_CAUSAL = StudyClaim(
    "cross-before-causal",
    "Cross-attention needs its heads more than causal self-attention does (Michel et al. 2019)",
    _CROSS.format("causal"),
    0.0,
    above=True,
)
_SHARE = (
    "The largest mean share of weight of any {}; head and relation are chosen for each half of the test sentences on "
    f"the other half. {_BY_SENTENCE}: the whole interval above 0.5."
)
POSITIONAL_HEAD = StudyClaim(
    "positional-head",
    "Heads specialise by position (Voita et al. 2019): one of the encoder's puts half of its weight on a neighbour or "
    "the token itself",
    _SHARE.format("encoder head on the previous, the next, or the same subword"),
    0.5,
    above=True,
)
ALIGNED_HEAD = StudyClaim(
    "aligned-head",
    "A head of cross-attention puts half of its weight on the word that is being translated",
    _SHARE.format("cross-attention head on subwords of the aligned word, where the alignment is known"),
    0.5,
    above=True,
)
GRADIENT_RANKS = StudyClaim(
    "gradient-ranks",
    "The gradient tells which heads are needed: it ranks them as removing each one does",
    "Spearman's correlation over all heads of a run between the mean |gradient| of the gate and the rise of the loss "
    f"without the head, both in nats per token on validation sentences. {_BY_SENTENCE}: the whole interval above 0.5.",
    0.5,
    above=True,
)
ONE_IS_NOT_ENOUGH = StudyClaim(
    "one-is-not-enough",
    "One head is not enough (Vaswani et al. 2017, table 3): many are better at equal width and updates",
    "BLEU with several heads minus BLEU with one, of models that differ in nothing else, mean over seeds; 95 % "
    "bootstrap interval over sentences and, with several seeds, trainings: the whole interval above 0.",
    0.0,
    above=True,
    measured_in="comparison",
)
CLAIMS = (
    *(HALF_CAN_GO, CROSS_NOT_ENCODER, CROSS_NOT_CAUSAL, POSITIONAL_HEAD, ALIGNED_HEAD, GRADIENT_RANKS),
    ONE_IS_NOT_ENOUGH,
)


def judge(
    measured: Sequence[MeasuredHeads], known: Mapping[str, bool], compared: Sequence[Estimate]
) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer.

    Args:
        measured: runs with several heads.
        known: for each of them whether the alignment is known.
        compared: BLEU with several heads minus BLEU with one.
    """
    yield judge_in_every_run(HALF_CAN_GO, [_left(heads.run, heads.curves) for heads in measured])
    for claim, curve in ((CROSS_NOT_ENCODER, "encoder"), (CROSS_NOT_CAUSAL, "causal")):
        yield judge_in_every_run(claim, [_needed_more(heads.run, heads.curves, curve) for heads in measured])
    positional = [Estimate(heads.run, *heads.looks.best("encoder", POSITIONAL)[:3]) for heads in measured]
    yield judge_in_every_run(POSITIONAL_HEAD, positional)
    aligned = [
        Estimate(heads.run, *heads.looks.best("cross", ("aligned",))[:3]) for heads in measured if known[heads.run]
    ]
    if aligned:
        yield judge_in_every_run(ALIGNED_HEAD, aligned)
    yield judge_in_every_run(GRADIENT_RANKS, [_agreement(heads) for heads in measured])
    if compared:
        yield judge_in_every_run(ONE_IS_NOT_ENOUGH, compared)


def _left(run: str, curves: Curves) -> Estimate:
    """The share of BLEU that half of the heads leave; a resample without any BLEU counts as nothing left."""
    half = curves.at_half(TOGETHER)
    whole = curves.resampled[0]
    shares = np.divide(curves.resampled[half], whole, out=np.zeros_like(whole), where=whole > 0)
    value = float(curves.bleu[half] / curves.bleu[0]) if curves.bleu[0] else 0.0
    return Estimate(run, value, *percentile_interval(shares))


def _needed_more(run: str, curves: Curves, curve: str) -> Estimate:
    """BLEU without half of `curve`, minus BLEU without half of cross-attention's heads."""
    other, cross = curves.at_half(curve), curves.at_half("cross")
    differences = curves.resampled[other] - curves.resampled[cross]
    return Estimate(run, float(curves.bleu[other] - curves.bleu[cross]), *percentile_interval(differences))


def _agreement(heads: MeasuredHeads) -> Estimate:
    gradient, ablation = heads.gradient, heads.ablation
    value = rank_correlation(gradient.per_token()[None], ablation.per_token()[None])
    resampled = rank_correlation(gradient.resampled(N_RESAMPLES), ablation.resampled(N_RESAMPLES))
    return Estimate(heads.run, float(value[0]), *percentile_interval(resampled))


def rank_correlation(first: Values, second: Values) -> Values:
    """(rows,) Spearman's correlation of each row of `first` with that of `second`, (rows, n); without ties."""
    ranks = [values.argsort(axis=1).argsort(axis=1) for values in (first, second)]
    distances = ((ranks[0] - ranks[1]).astype(np.float64) ** 2).sum(axis=1)
    n = first.shape[1]
    correlation: Values = 1.0 - 6.0 * distances / (n * (n * n - 1))
    return correlation

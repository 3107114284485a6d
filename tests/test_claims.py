from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from seq2attn.evaluation.comparisons import fall
from seq2attn.evaluation.lengths import DEFAULT_BINS, Lengths
from seq2attn.report.wording import claim_text, measured_text, verdict
from seq2attn.results.claims import Claim, EvaluatedModel, find_claims
from tests.evaluation_samples import a_bucket, measured_system, random_statistics

LENGTHS = np.repeat(np.array([5, 15, 20, 25, 35, 45, 55, 65]), 60)


def _measured(
    name: str, attention: str, quality: float, loss_per_word: float, lengths: Lengths = LENGTHS
) -> EvaluatedModel:
    """A system whose words are right with a probability that decreases with the length of the sentence."""
    rng = np.random.default_rng(sum(map(ord, name)))
    statistics = random_statistics(rng, lengths, np.clip(quality - loss_per_word * lengths, 0.05, 1.0))
    return EvaluatedModel(name, attention, statistics[None], measured_system(statistics, lengths, DEFAULT_BINS).buckets)


FIXED = _measured("fixed", "none", 0.8, 0.008)
ATTENTION = _measured("attention", "additive", 0.8, 0.0)
TRANSFORMER = _measured("transformer", "scaled_dot", 0.82, 0.0)


PAST_AND_LEVEL = {
    ("level", "attention"): False,
    ("level", "attention50"): True,
    ("past_cap", "fixed"): True,
    ("past_cap", "attention"): True,
    ("past_cap", "attention50"): False,
}


def _by_kind(claims: tuple[Claim, ...]) -> dict[str, Claim]:
    return {claim.kind: claim for claim in claims}


def test_all_claims_are_supported_for_a_bottleneck() -> None:
    claims = find_claims([FIXED, ATTENTION], LENGTHS)
    assert [claim.kind for claim in claims] == ["retention", "share_fall", "above", "apart"]
    assert all(claim.found for claim in claims)
    named = {claim.kind: (claim.system, claim.against) for claim in claims}
    assert named["retention"] == ("attention", None)
    assert named["share_fall"] == ("fixed", "attention")
    assert named["above"] == named["apart"] == ("attention", "fixed")


def test_each_model_with_attention_is_compared_with_the_fixed_context() -> None:
    claims = find_claims([FIXED, ATTENTION, TRANSFORMER], LENGTHS)
    assert [r.system for r in claims if r.kind == "retention"] == ["attention", "transformer"]
    assert [r.against for r in claims if r.kind == "share_fall"] == ["attention", "transformer"]


def test_a_model_that_is_equally_worse_at_all_lengths_shows_no_bottleneck() -> None:
    claims = _by_kind(find_claims([_measured("unlearned", "none", 0.6, 0.0), ATTENTION], LENGTHS))
    assert not claims["share_fall"].found
    assert claims["share_fall"].p_value is not None
    assert claims["share_fall"].p_value > 0.01
    assert claims["above"].found


def test_a_model_that_falls_does_not_keep_its_bleu() -> None:
    claims = _by_kind(find_claims([replace(FIXED, attention="dot")], LENGTHS))
    assert list(claims) == ["retention"]
    assert not claims["retention"].found
    assert claims["retention"].value < 0.85


def _retention_of(medium: Sequence[float], long: Sequence[float]) -> Claim:
    """The retention of a model whose words are right with these probabilities, one for each sentence."""
    lengths = np.repeat(np.array([15, 45]), (len(medium), len(long)))
    statistics = random_statistics(np.random.default_rng(3), lengths, np.array([*medium, *long]))
    system = EvaluatedModel(
        "model", "dot", statistics[None], measured_system(statistics, lengths, DEFAULT_BINS).buckets
    )
    (claim,) = find_claims([system], lengths)
    return claim


@pytest.mark.parametrize(
    ("medium", "long", "expected"),
    [
        ([0.8] * 100, [0.8] * 100, True),
        # Almost no BLEU on either side.
        ([0.2] * 400, [0.2] * 400, None),
        # A wide interval on both sides of the threshold.
        ([0.9, 0.3] * 5, [0.9, 0.3] * 5, None),
        # An interval as wide, but entirely below the threshold,
        ([0.9, 0.5] * 5, [0.6, 0.2] * 5, False),
        # and entirely above it.
        ([0.5] * 10, [0.9, 0.6] * 5, True),
    ],
)
def test_retention_is_inconclusive_if_the_scores_are_too_low_or_uncertain(
    medium: list[float], long: list[float], expected: bool | None
) -> None:
    claim = _retention_of(medium, long)
    assert claim.found is expected
    assert verdict(claim) == {True: "supported", False: "not supported", None: "inconclusive"}[expected]


def test_the_smallest_gap_between_the_intervals_decides() -> None:
    apart = _by_kind(find_claims([FIXED, ATTENTION], LENGTHS))["apart"]
    gaps = [
        (ours.scores["BLEU"].low or 0) - (theirs.scores["BLEU"].high or 0)
        for ours, theirs in zip(ATTENTION.buckets[2:], FIXED.buckets[2:], strict=True)
    ]
    assert apart.value == min(gaps) > 0
    swapped = [replace(FIXED, attention="dot"), replace(ATTENTION, attention="none")]
    assert not _by_kind(find_claims(swapped, LENGTHS))["apart"].found


def test_a_bucket_of_few_sentences_is_ignored_for_the_gap() -> None:
    found = {}
    for n in (29, 30):
        last = a_bucket(60, None, n, 15.0, 0.0, 30.0, 1.0)
        systems = [replace(model, buckets=(*model.buckets[:-1], last)) for model in (FIXED, ATTENTION)]
        found[n] = _by_kind(find_claims(systems, LENGTHS))["apart"]
    assert found[29].found
    assert (found[30].found, found[30].value) == (False, -30.0)


def test_a_sentence_of_20_words_is_not_of_medium_length() -> None:
    chosen = np.isin(LENGTHS, (20, 45))
    systems = [
        _measured(name, attention, 0.8, 0.0, LENGTHS[chosen]) for name, attention in (("a", "none"), ("b", "dot"))
    ]
    assert [r.kind for r in find_claims(systems, LENGTHS[chosen])] == ["share_fall", "above", "apart"]


@pytest.mark.parametrize("longest", [15, 35])
def test_claims_that_cannot_be_measured_are_left_out(longest: int) -> None:
    lengths = LENGTHS[longest >= LENGTHS]
    systems = [_measured("a", "none", 0.8, 0.0, lengths), _measured("b", "dot", 0.8, 0.0, lengths)]
    kinds = [claim.kind for claim in find_claims(systems, lengths)]
    assert kinds == ([] if longest < 20 else ["above", "apart"])


def test_claims_about_systems_trained_up_to_a_length() -> None:
    fixed = [replace(_measured("fixed", "none", 0.8, 0.008), max_source_words=30, model="fixed")]
    falls = replace(_measured("attention", "additive", 0.8, 0.006), max_source_words=30, model="attention")
    level = replace(_measured("attention50", "additive", 0.8, 0.0), max_source_words=50, model="attention")
    claims = find_claims([*fixed, falls, level], LENGTHS)
    by_name = {(claim.kind, claim.system, claim.against): claim for claim in claims}
    assert {(kind, system): by_name[kind, system, None].found for kind, system in PAST_AND_LEVEL} == PAST_AND_LEVEL
    longer = by_name["longer_cap", "attention50", "attention"]
    assert (longer.found, longer.beyond) == (True, 30)
    assert longer.p_value is not None
    assert [against for kind, _, against in by_name if kind == "above"] == ["fixed"], (
        "only those with the same training length"
    )
    for claim in claims:
        assert claim_text(claim, "words")
        assert "→" in measured_text(claim) or claim.kind in ("apart", "above", "longer_cap")


def test_a_fall_is_the_difference_of_its_ends_and_not_significant_for_a_level_curve() -> None:
    medium, long = (LENGTHS >= 10) & (LENGTHS < 20), LENGTHS >= 40
    same = fall(_measured("level", "none", 0.8, 0.0).statistics, medium, long, n_resamples=500)
    assert same is not None
    assert same.p_value is not None
    assert same.p_value > 0.01
    assert same.value == pytest.approx(same.second - same.first)
    assert same.low < same.value < same.high
    assert fall(FIXED.statistics, LENGTHS > 100, long) is None

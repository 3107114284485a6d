"""Numbers into sentences: what the bottleneck is, and whether what was measured shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seq2attn.evaluation.claims import (
    APART_FROM,
    LEVEL_UNTIL,
    LONG,
    MAX_P_VALUE,
    MAX_WIDTH,
    MIDDLING,
    MIN_BLEU,
    MIN_RETENTION,
    NO_ATTENTION,
    SHORT,
    Claim,
)
from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.evaluation.summary import Summary

_BOTTLENECK = (
    "A recurrent model without attention presses the whole sentence into one vector of fixed size before it writes the "
    "first word of the translation, so that more is lost the longer the sentence is; attention lets the model look "
    "back at every source word for each word that it writes."
)


HOW_TO_READ = (
    (
        "BLEU",
        "compares a translation with one made by people: how many of its words, and of its runs of two, three and four "
        "words, stand there too. 0 is none, 100 all. It ranks systems on the same sentences, and says little by "
        "itself: many good translations are worded otherwise.",
    ),
    (
        "A point",
        "is all sentences of that length together. Its band shows how far the score moves when the sentences are drawn "
        "again by chance, 95 times in 100. Where two bands are well apart, the choice of sentences does not explain "
        "the difference.",
    ),
    (
        "One vector:",
        "without attention, a recurrent model has to keep a whole sentence in a fixed list of numbers, as many for "
        "sixty words as for six. With attention it looks again at the source words for every word that it writes. A "
        "transformer is made of such looks alone.",
    ),
)
"""What the report says of the figure: terms, and what there is to know of each."""

LENGTH_RATIO = (
    "Tokens in the translations divided by those in the references. Below 1, part of a low BLEU is the brevity "
    "penalty: the system stops too early. Above 1 it goes on too long."
)
SEEDS = (
    "These systems have several outputs, usually those of several seeds. Their scores are means, ± is the standard "
    "deviation over the outputs, and intervals and p-values allow for training again with other seeds: the mean of so "
    "few lies around that of all as Student's t says. Translations, attention and the cost of training are those of "
    "the first."
)
TRAINING = (
    "Perplexity: among how many subwords the model wavers, on average, at each place of sentences that it was not "
    "trained on; lower is better. BLEU is that of greedy translations of some of them. Fine lines, where they were "
    "recorded: the same on the training text."
)


def three_sentences(summary: Summary) -> tuple[str, str, str]:
    """What the bottleneck is, whether the fixed context falls behind on long sentences, and what each system keeps."""
    return _BOTTLENECK, _fall_sentence(summary), _retention_sentence(summary)


def claim_text(claim: Claim, unit: str) -> str:
    """What the claim says, whether or not it was found; `unit` is what lengths are counted in."""
    system, against = claim.system, claim.against
    match claim.kind:
        case "retention":
            return f"{system} keeps at least {percent(MIN_RETENTION)} of its BLEU at {_middling(unit)} at {_long(unit)}"
        case "share_fall":
            return f"{system}: its share of the BLEU of {against} is lower at {_long(unit)} than at up to {SHORT}"
        case "above":
            return f"{system} is above {against} from {APART_FROM} {unit} up"
        case "apart":
            buckets = f"every bucket of {FEW_SENTENCES} sentences and more from {APART_FROM} {unit} up"
            return f"{system}: its interval is above that of {against} in {buckets}"
        case "level":
            return f"{system} does not fall significantly from {_middling(unit)} to {LONG}–{LEVEL_UNTIL - 1} {unit}"
        case "past_cap":
            return f"{system} falls past its training length, from {MIDDLING[0]}–{claim.beyond} {unit} to longer ones"
        case "longer_cap":
            return f"{system} is above {against} beyond {claim.beyond} {unit}"


def verdict(claim: Claim) -> str:
    """Whether what the claim says was found."""
    return "cannot be told" if claim.found is None else "found" if claim.found else "not found"


def why_untold(summary: Summary) -> str:
    """What it takes to tell what a system keeps, where that cannot be told of one; else nothing."""
    if all(claim.found is not None for claim in summary.claims):
        return ""
    return (
        f"What a system keeps can be told of one that has {MIN_BLEU:.0f} BLEU and more at "
        f"{_middling(summary.length_unit)}, where the interval is not wider than {100 * MAX_WIDTH:.0f} points or lies "
        f"on one side of {percent(MIN_RETENTION)}."
    )


def measured_text(claim: Claim) -> str:
    """The value behind the claim, in the unit that suits it."""
    first, second = claim.first, claim.second
    if first is None or second is None:
        return f"smallest gap {signed(claim.value)} BLEU"
    match claim.kind:
        case "retention":
            # To a place more than what is asked for, or 84.7 % would be 85 % and yet not enough.
            return f"{100 * claim.value:.1f} % ({first:.1f} → {second:.1f} BLEU)"
        case "share_fall":
            return f"{percent(first)} → {percent(second)} ({signed(100 * claim.value, 0)} points)"
        case "level" | "past_cap":
            return f"{signed(claim.value)} BLEU ({first:.1f} → {second:.1f})"
        case _:
            return f"{signed(claim.value)} BLEU ({second:.1f} against {first:.1f})"


def claim_interval_text(claim: Claim) -> str:
    """The interval of the claim's value, in the unit of `measured_text`; a dash where it has none."""
    if claim.low is None or claim.high is None:
        return "–"
    match claim.kind:
        case "retention":
            return f"{100 * claim.low:.0f} to {percent(claim.high)}"
        case "share_fall":
            return f"{signed(100 * claim.low, 0)} to {signed(100 * claim.high, 0)} points"
        case _:
            return f"{signed(claim.low)} to {signed(claim.high)} BLEU"


def p_value_text(p_value: float | None) -> str:
    """The p-value to four places; a dash where nothing was tested."""
    return "–" if p_value is None else f"{p_value:.4f}"


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * share:.0f} %"


def signed(value: float, places: int = 1) -> str:
    """The number with its sign, a true minus."""
    return f"{value:+.{places}f}".replace("-", "−")


def _middling(unit: str) -> str:
    return f"{MIDDLING[0]}–{MIDDLING[1] - 1} {unit}"


def _long(unit: str) -> str:
    return f"{LONG} {unit} and more"


def _fall_sentence(summary: Summary) -> str:
    """The verdict on the first pair of a model without attention and one with it, of those trained on the longest."""
    # A model that was trained on short sentences alone falls on long ones for that reason too.
    caps = {system.name: system.max_source_words or math.inf for system in summary.systems}
    falls = [claim for claim in summary.claims if claim.kind == "share_fall"]
    claim = max(falls, key=lambda claim: caps[claim.system], default=None)
    if claim is None or claim.first is None or claim.second is None:
        return _why_no_fall(summary)
    shares = (
        f"{claim.system} reaches {percent(claim.first)} of the BLEU of {claim.against} on sentences of up to "
        f"{SHORT} {summary.length_unit} and {percent(claim.second)} on those of {_long(summary.length_unit)}"
    )
    p_value = f"paired bootstrap, p = {p_value_text(claim.p_value)}"
    if claim.found:
        return f"The figure shows this bottleneck: {shares} ({p_value})."
    return (
        f"The figure does not show this bottleneck: {shares} ({p_value}, where below {MAX_P_VALUE} was asked for); a "
        "model that has not yet learned short sentences has no curve to show, so look at the first buckets first."
    )


def _why_no_fall(summary: Summary) -> str:
    attention = {system.attention for system in summary.systems}
    if NO_ATTENTION not in attention:
        return "No model without attention is in this figure, so that the bottleneck cannot be seen in it."
    if attention == {NO_ATTENTION}:
        return "No model with attention is in this figure, so that there is nothing to hold the bottleneck against."
    return (
        f"Whether the figure shows this bottleneck could not be measured: that takes sentences of up to {SHORT} and of "
        f"{_long(summary.length_unit)} for which a model with attention scores above 0."
    )


def _retention_sentence(summary: Summary) -> str:
    kept = [_kept(claim) for claim in summary.claims if claim.kind == "retention"]
    if not kept:
        return (
            "How much of its BLEU a model keeps on long sentences could not be measured: that takes a model "
            f"with attention, and sentences of {_middling(summary.length_unit)} and of {_long(summary.length_unit)}."
        )
    return (
        f"Of the BLEU that it has at {_middling(summary.length_unit)}, each keeps this much at "
        f"{_long(summary.length_unit)}: {_enumeration(kept)}."
    )


def _kept(claim: Claim) -> str:
    only = "only " if claim.found is False else ""
    vaguely = ", from which nothing can be told" if claim.found is None else ""
    return f"{claim.system} {only}{percent(claim.value)} ({claim_interval_text(claim)}{vaguely})"


def _enumeration(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

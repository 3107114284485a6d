"""The sentences of the report: what the bottleneck is, and whether the scores show it"""

from __future__ import annotations

import math
from collections.abc import Sequence

from seq2attn.evaluation.score import FEW_SENTENCES
from seq2attn.results.claims import (
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
from seq2attn.results.summary import Summary

BOTTLENECK = (
    "A recurrent model without attention compresses the whole sentence into one vector of fixed size before it writes "
    "the first word of the translation, so the longer the sentence, the more is lost. Attention lets the model look "
    "back at every source word for each word that it writes."
)


HOW_TO_READ = (
    (
        "BLEU",
        "compares a translation with a human one: how many of its words, and of its sequences of two, three and four "
        "words, also occur there. 0 means none, 100 all. It ranks systems on the same sentences. By itself it says "
        "little, because many good translations use other words.",
    ),
    (
        "A point",
        "is the score of all sentences of that length together. The band around it is a 95 % interval: it shows how "
        "much the score varies when the sentences are resampled. Where two bands are well apart, the choice of "
        "sentences does not explain the difference.",
    ),
    (
        "One vector:",
        "without attention, a recurrent model must store a whole sentence in a fixed number of values, as many for "
        "sixty words as for six. With attention it reads the source words again for every word that it writes. In a "
        "transformer, words exchange information by attention only.",
    ),
)
"""How to read the figure: each term with its explanation."""

LENGTH_RATIO = (
    "Tokens in the translations divided by those in the references. Below 1, part of a low BLEU is the brevity "
    "penalty: the system stops too early. Above 1 it writes too much."
)
ALONE = (
    "BLEU of the inputs of each length, and of their sentences when they are translated one by one and joined "
    "afterwards. Content and references are the same, so the difference is the cost of length alone."
)
FAILURES = (
    "Repeated: 4-grams that occur earlier in the same translation. Cut off: translations that reached the length cap "
    "without an end. Both are failures of the search as well as of the model."
)
SEEDS = (
    "These systems have several outputs, usually one for each seed. Their scores are means, ± is the standard "
    "deviation over the outputs, and intervals and p-values include the variation between seeds (Student's t). "
    "Translations, attention and the cost of training are those of the first output."
)
TRAINING = (
    "Perplexity is, on average, the number of subwords that the model is undecided between at each position of the "
    "validation sentences; lower is better. BLEU is that of greedy translations of some of these sentences. Fine "
    "lines show the perplexity of the training text, where it was recorded."
)


def how_resampled(summary: Summary) -> str:
    """What the intervals of the summary resample."""
    return f"Intervals resample {summary.resample}."


def three_sentences(summary: Summary) -> tuple[str, str, str]:
    """What the bottleneck is, whether the scores show it, and how much BLEU each system keeps on long sentences."""
    return BOTTLENECK, _fall_sentence(summary), _retention_sentence(summary)


def claim_text(claim: Claim, unit: str) -> str:
    """What the claim says, whatever its verdict; `unit` is what lengths are counted in."""
    system, against = claim.system, claim.against
    match claim.kind:
        case "retention":
            return (
                f"{system} keeps at least {percent(MIN_RETENTION)} of its BLEU from {_middling(unit)} to {_long(unit)}"
            )
        case "share_fall":
            return f"{system} reaches a smaller share of the BLEU of {against} at {_long(unit)} than at up to {SHORT}"
        case "above":
            return f"{system} is above {against} from {APART_FROM} {unit} up"
        case "apart":
            buckets = f"every bucket of {FEW_SENTENCES} sentences or more from {APART_FROM} {unit} up"
            return f"The interval of {system} is above that of {against} in {buckets}"
        case "level":
            return f"{system} does not fall significantly from {_middling(unit)} to {LONG}–{LEVEL_UNTIL - 1} {unit}"
        case "past_cap":
            return f"{system} falls past its training length, from {MIDDLING.low}–{claim.beyond} {unit} to longer ones"
        case "longer_cap":
            return f"{system} is above {against} beyond {claim.beyond} {unit}"


def verdict(claim: Claim) -> str:
    """Whether the scores support the claim."""
    return "inconclusive" if claim.found is None else "supported" if claim.found else "not supported"


def why_inconclusive(summary: Summary) -> str:
    """What a verdict on retention requires, where a claim is inconclusive; else nothing."""
    if all(claim.found is not None for claim in summary.claims):
        return ""
    return (
        f"A claim that a system keeps its BLEU is inconclusive where the system has less than {MIN_BLEU:.0f} BLEU at "
        f"{_middling(summary.length_unit)}, or where the interval contains {percent(MIN_RETENTION)} and is wider than "
        f"{100 * MAX_WIDTH:.0f} points."
    )


def measured_text(claim: Claim) -> str:
    """The measured value with its unit."""
    first, second = claim.first, claim.second
    if first is None or second is None:
        return f"smallest gap {signed(claim.value)} BLEU"
    match claim.kind:
        case "retention":
            # One decimal more than the threshold: otherwise 84.7 % would read as 85 % and fail.
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
    """A fraction as a whole percentage."""
    return f"{100 * share:.0f} %"


def signed(value: float, places: int = 1) -> str:
    """The number with its sign, a true minus."""
    return f"{value:+.{places}f}".replace("-", "−")


def _middling(unit: str) -> str:
    return f"{MIDDLING.label} {unit}"


def _long(unit: str) -> str:
    return f"{LONG} {unit} or more"


def _fall_sentence(summary: Summary) -> str:
    """The verdict on the first pair of models without and with attention, among those trained on the longest text."""
    # A model trained only on short sentences falls on long ones for that reason too.
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
        f"The figure does not show this bottleneck: {shares} ({p_value}; the threshold is {MAX_P_VALUE}). A model "
        "that has not yet learned short sentences cannot show it, so look at the first buckets first."
    )


def _why_no_fall(summary: Summary) -> str:
    attention = {system.attention for system in summary.systems}
    if NO_ATTENTION not in attention:
        return "This figure has no model without attention, so it cannot show the bottleneck."
    if attention == {NO_ATTENTION}:
        return "This figure has no model with attention, so there is nothing to compare the bottleneck with."
    return (
        f"Whether the figure shows this bottleneck could not be measured: this requires sentences of up to {SHORT} "
        f"and of {_long(summary.length_unit)} on which a model with attention scores above 0."
    )


def _retention_sentence(summary: Summary) -> str:
    kept = [_kept(claim) for claim in summary.claims if claim.kind == "retention"]
    if not kept:
        return (
            "How much of its BLEU a model keeps on long sentences could not be measured: this requires a model "
            f"with attention, and sentences of {_middling(summary.length_unit)} and of {_long(summary.length_unit)}."
        )
    return (
        f"BLEU at {_long(summary.length_unit)}, as a percentage of BLEU at "
        f"{_middling(summary.length_unit)}: {enumeration(kept)}."
    )


def _kept(claim: Claim) -> str:
    only = "only " if claim.found is False else ""
    inconclusive = ", inconclusive" if claim.found is None else ""
    return f"{claim.system} {only}{percent(claim.value)} ({claim_interval_text(claim)}{inconclusive})"


def enumeration(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

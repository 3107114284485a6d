"""The claims about the bottleneck in words and as a table (docs/claims.md)"""

from __future__ import annotations

from collections.abc import Sequence

from seq2attn.evaluation.lengths import DEFAULT_BINS
from seq2attn.evaluation.resampling import N_PAIRED_RESAMPLES
from seq2attn.report.markdown import Table
from seq2attn.report.tables import length_name
from seq2attn.report.wording import BOTTLENECK, enumeration, p_value_text, percent, signed, three_sentences
from seq2attn.results import bottleneck as rules
from seq2attn.results.bottleneck import BottleneckClaim, overall_verdict
from seq2attn.results.summary import Summary

_SCALES = {"bleu": "BLEU", "log_bleu": "log BLEU", "chrf": "chrF", None: "–"}
_VERDICTS = {"supported": "Supported", "not_supported": "Not supported", "inconclusive": "Inconclusive"}
_NEEDED = f"{percent(rules.MIN_LEARNED)} are needed"
NOTHING_JUDGED = (
    "No claim about the bottleneck can be judged: this requires a recurrent model without attention, one with "
    f"attention, and two buckets with {rules.MIN_INPUTS} inputs or more."
)
HOW_JUDGED = (
    "The rules are those of docs/claims.md. The estimate of the bottleneck is what the fixed context loses from short "
    "to long inputs beyond what the other model loses; the other estimates are shares of BLEU. Intervals and p-values "
    f"(one-sided, Holm) are from {N_PAIRED_RESAMPLES:,} resamples of whole documents or blocks of joined sentences."
)


def bottleneck_table(summary: Summary) -> Table:
    """A row for each claim but those with other searches: systems, scale, estimate, interval, p-value and verdict."""
    rows = [
        (
            row.id.replace("_", " "),
            row.system if row.baseline is None else f"{row.system} against {row.baseline}",
            _SCALES[row.scale],
            _estimate_text(row),
            p_value_text(row.p),
            _VERDICTS[row.verdict].lower(),
        )
        for row in summary.bottleneck
        if row.id != "not_search_alone"
    ]
    return Table(("claim", "systems", "scale", "estimate (95 % interval)", "p", "verdict"), tuple(rows), numeric=False)


def alone_table(summary: Summary) -> Table:
    """BLEU of joined inputs, and of their sentences one by one: two rows for each system, a column for each bucket."""
    rows = []
    for system in summary.systems:
        if any(bucket.alone is not None for bucket in system.buckets):
            joined = ("–" if bucket.bleu is None else f"{bucket.bleu.value:.1f}" for bucket in system.buckets)
            alone = ("–" if bucket.alone is None else f"{bucket.alone:.1f}" for bucket in system.buckets)
            rows += [(f"{system.name}: as one input", *joined), (f"{system.name}: one by one", *alone)]
    labels = (bucket.label for bucket in summary.systems[0].buckets)
    return Table((length_name(summary), *labels), tuple(rows))


def search_table(summary: Summary) -> Table:
    """A row for each other search and model with attention: the bottleneck on each scale, and the verdict over all."""
    found: dict[tuple[str, str], list[BottleneckClaim]] = {}
    for row in summary.bottleneck:
        if row.id == "not_search_alone":
            found.setdefault((row.system, row.baseline or ""), []).append(row)
    rows = []
    for (system, baseline), claims in found.items():
        estimates = {claim.scale: _estimate_text(claim) for claim in claims}
        verdict = _VERDICTS[overall_verdict(claims, "not_search_alone")].lower()
        rows.append((system, baseline, *(estimates[scale] for scale in rules.SCALES), verdict))
    header = "search", "against", *(_SCALES[scale] for scale in rules.SCALES), "verdict"
    return Table(header, tuple(rows), numeric=False)


def lead_sentences(summary: Summary) -> tuple[str, ...]:
    """What the bottleneck is, and what was found; on joined sentences, a sentence for each claim over all its rows."""
    if not summary.joined:
        return three_sentences(summary)
    rows = summary.bottleneck
    if not rows:
        return BOTTLENECK, NOTHING_JUDGED
    sentences = (_learned(rows, summary), _bottleneck(rows, summary), _retention(rows), _searches(rows))
    return BOTTLENECK, *(sentence for sentence in sentences if sentence)


def _learned(rows: Sequence[BottleneckClaim], summary: Summary) -> str:
    row, ends = rows[0], _ends(summary)
    at = f"at {ends[0]} words" if ends else "in the shortest bucket"
    said = f"it reaches {_estimate_text(row)} of the BLEU of {row.baseline} {at}"
    if row.verdict == "supported":
        return f"Supported: {row.system} has learned short sentences: {said}."
    learned = "has not" if row.verdict == "not_supported" else "may not have"
    limit = f"{_NEEDED}, with a lower limit of {percent(rules.MIN_LEARNED_LOW)}"
    return f"{_VERDICTS[row.verdict]}: {row.system} {learned} learned short sentences: {said}; {limit}."


def _bottleneck(rows: Sequence[BottleneckClaim], summary: Summary) -> str:
    learned, ours = rows[0], [row for row in rows if row.id == "bottleneck"]
    if learned.verdict != "supported":
        unsure = "has not learned" if learned.verdict == "not_supported" else "may not have learned"
        share = f"{percent(learned.estimate or 0.0)} of the BLEU of {learned.baseline}; {_NEEDED}"
        return f"Inconclusive: the baseline {unsure} short sentences ({share}), so its long ones show nothing."
    others = enumeration(list(dict.fromkeys(row.baseline or "" for row in ours)))
    ends = _ends(summary)
    span = f"from {ends[0]} to {ends[1]} words" if ends else "from the shortest to the longest bucket"
    claim = f"{learned.system} loses more than {others} {span}"
    verdict = overall_verdict(rows, "bottleneck")
    where = enumeration([f"in {_SCALES[row.scale]} against {row.baseline}" for row in ours if row.verdict == verdict])
    if verdict == "supported":
        return f"Supported: {claim} on all three scales."
    if verdict == "not_supported":
        return f"Not supported: {claim}. It loses less {where}."
    return f"Inconclusive: whether {claim}; not significant {where} (the threshold is {rules.MAX_P_VALUE})."


def _retention(rows: Sequence[BottleneckClaim]) -> str:
    verdict = overall_verdict(rows, "retention")
    chosen = [row for row in rows if row.id == "retention" and row.verdict == verdict]
    kept = enumeration([f"{row.system} keeps {_estimate_text(row)}" for row in chosen])
    span = " to ".join(span.label for span in rules.RETENTION_RANGES)
    text = f"{_VERDICTS[verdict]}: of its BLEU from {span} words, {kept}; {percent(rules.MIN_RETENTION)} are needed."
    return text if chosen else ""


def _searches(rows: Sequence[BottleneckClaim]) -> str:
    verdict = overall_verdict(rows, "not_search_alone")
    chosen = [row for row in rows if row.id == "not_search_alone" and row.verdict == verdict]
    searches = enumeration(list(dict.fromkeys(row.system.removeprefix(f"{rows[0].system}, ") for row in chosen)))
    claim = "the bottleneck is not one of the search alone"
    reason = {
        "supported": "also shows with",
        "not_supported": "does not show with",
        "inconclusive": "is inconclusive with",
    }[verdict]
    return f"{_VERDICTS[verdict]}: {claim}; it {reason} {searches}." if chosen else ""


def _ends(summary: Summary) -> tuple[str, str] | None:
    """The shortest and the longest bucket that is claimed; None where the summary has other buckets."""
    buckets = summary.systems[0].buckets
    how = summary.length_of, summary.length_unit, tuple(bucket.low for bucket in buckets)
    is_default = how == ("source", "words", DEFAULT_BINS.edges)
    labels = [bucket.label for bucket in buckets if bucket.n >= rules.MIN_INPUTS]
    return (labels[0], labels[-1]) if labels and is_default else None


def _estimate_text(row: BottleneckClaim) -> str:
    """The estimate with its interval, `+9.3 (+8.1 to +10.4)` or `91 % (88 to 94 %)`; dashes for what is undefined."""
    unit, places = (" %", 0) if row.scale is None else ("", 2 if row.scale == "log_bleu" else 1)
    factor = 100 if row.scale is None else 1
    numbers = row.estimate, row.low, row.high
    estimate, low, high = ("–" if number is None else signed(factor * number, places) for number in numbers)
    return f"{estimate}{unit} ({low} to {high}{unit})".replace("+", "" if row.scale is None else "+")

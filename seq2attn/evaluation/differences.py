"""Differences from a baseline by length, with intervals and paired tests"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seq2attn.evaluation.lengths import Range
from seq2attn.evaluation.metrics import Scores
from seq2attn.evaluation.resampling import Bootstrap, Selection, StatisticsTable, expanded_interval, halves_sums

# Scores of equal sums can differ in their last bits; every difference of interest is larger than this.
_SAME = 1e-9


@dataclass(frozen=True)
class Difference:
    """A score of `system` minus that of `baseline` on the sentences of one range of length, or on all of them."""

    metric: str
    system: str
    baseline: str
    low: int
    high: int | None
    """The range of length; all sentences if from 0 without end."""
    n: int
    value: float
    value_low: float
    value_high: float
    """The 95 % interval, by paired bootstrap."""
    p_bootstrap: float
    """Paired bootstrap, two-sided."""
    p_randomisation: float | None
    """Paired approximate randomisation, two-sided; None where a system has several outputs, because swapping sentences
    does not account for the variation between trainings."""
    p_bootstrap_corrected: float
    p_randomisation_corrected: float | None
    """Corrected for the number of differences under one metric (Holm 1979)."""


def find_differences(
    table: StatisticsTable,
    names: Sequence[str],
    baseline: int,
    groups: Iterable[tuple[Range, Selection]],
    n_trials: int,
    seed: int,
) -> tuple[Difference, ...]:
    """Each system against `names[baseline]` in each group of sentences, with p-values corrected for their number.

    Args:
        table: the systems' statistics.
        names: of the systems.
        baseline: the index of the one that all others are compared with.
        groups: the ranges of length with their sentences, each with enough sentences for a comparison.
        n_trials: resamples, and random swaps, behind each p-value.
        seed: of both.
    """
    bootstrap = Bootstrap(table, n_trials, seed)
    rng = np.random.default_rng([seed, 1])
    found = []
    for span, group in groups:
        scores = [float(outputs.mean()) for outputs in table.output_scores(group)]
        resampled = bootstrap.scores(group)
        swapped = _swapped_differences(table, group, baseline, n_trials, rng)
        for place, name in enumerate(names):
            if place == baseline:
                continue
            value, differences = scores[place] - scores[baseline], resampled[place] - resampled[baseline]
            n = int(np.count_nonzero(group))
            low, high = expanded_interval(differences, table.n_units(group))
            # Without a true difference these lie around 0 as the resampled ones do around their median (with two
            # trainings they have no mean).
            p_bootstrap = _two_sided(differences - np.median(differences), value)
            p_swaps = _two_sided(swapped[place], value) if place in swapped else None
            who = (table.metric.name, name, names[baseline])
            found.append(Difference(*who, *span, n, value, low, high, p_bootstrap, p_swaps, p_bootstrap, p_swaps))
    return _corrected(found)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in their order (Holm 1979).

    The chance of at least one false positive among them is then at most the level, however they depend on each other
    (neighbouring lengths do, and all share one baseline).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def _corrected(found: Sequence[Difference]) -> tuple[Difference, ...]:
    by_bootstrap = holm([difference.p_bootstrap for difference in found])
    p_values = {
        place: difference.p_randomisation
        for place, difference in enumerate(found)
        if difference.p_randomisation is not None
    }
    by_swaps = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        replace(difference, p_bootstrap_corrected=by_bootstrap[place], p_randomisation_corrected=by_swaps.get(place))
        for place, difference in enumerate(found)
    )


def _two_sided(under_null: Scores, value: float) -> float:
    """The fraction of `under_null` at least as far from 0 as `value`, with one added to both counts."""
    return (1 + int(np.count_nonzero(np.abs(under_null) >= abs(value) - _SAME))) / (1 + len(under_null))


def _swapped_differences(
    table: StatisticsTable, group: Selection, baseline: int, n_trials: int, rng: np.random.Generator
) -> dict[int, Scores]:
    """By system, its score minus the baseline's where each sentence's two outputs are swapped at random.

    (Riezler and Maxwell 2005; where documents are resampled, a document's sentences are swapped together.) Systems with
    several outputs are left out; empty where the baseline has several.
    """
    single = [place for place, n_seeds in enumerate(table.n_seeds) if n_seeds == 1]
    if baseline not in single or len(single) == 1:
        return {}
    rows = table.units(group)
    n_columns = table.metric.n_columns
    total = rows.sum(axis=0).reshape(-1, n_columns)
    # The half of every output that is swapped; the rest is the total minus that half.
    moved = halves_sums(rows, n_trials, rng).reshape(n_trials, -1, n_columns)
    first_outputs = np.cumsum([0, *table.n_seeds])
    theirs = first_outputs[baseline]
    score = table.metric.score_each
    swapped = {}
    for place in single:
        ours = first_outputs[place]
        given = moved[:, theirs] - moved[:, ours]
        swapped[place] = score(total[ours] + given) - score(total[theirs] - given)
    return swapped

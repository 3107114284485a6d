"""Word alignments: reading them from weights, joining two directions, and the alignment error rate with intervals

A link is a pair of word indices, (source, target), counted from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import product

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.comparisons import Comparison
from seq2attn.evaluation.resampling import (
    N_PAIRED_RESAMPLES,
    N_RESAMPLES,
    SEED,
    expanded_interval,
    percentile_interval,
    resample_sums,
)
from seq2attn.evaluation.score import Score

Link = tuple[int, int]
Links = frozenset[Link]
Counts = NDArray[np.float64]
"""`(..., 4)`: links found, those of them that are sure, those that are possible (or sure), and all sure links."""

Weights = NDArray[np.float64]
"""Attention weights between words, `(target words, source words)`."""

NEIGHBOURS = tuple(step for step in product((-1, 0, 1), repeat=2) if step != (0, 0))


def argmax_links(weights: Weights) -> Links:
    """Each target word linked to the source word with its largest weight, the first of equal ones."""
    if weights.shape[1] == 0:
        return frozenset()
    return frozenset((int(source), target) for target, source in enumerate(weights.argmax(axis=1)))


def threshold_links(weights: Weights, threshold: float) -> Links:
    """Every pair of words with a weight of at least `threshold`."""
    return frozenset((int(source), int(target)) for target, source in np.argwhere(weights >= threshold))


def diagonal_links(n_source: int, n_target: int) -> Links:
    """Each target word linked to the source word at the same relative position."""
    return frozenset((int((target + 0.5) * n_source / n_target), target) for target in range(n_target) if n_source)


def flip(links: AbstractSet[Link]) -> Links:
    """The links of the other direction of translation."""
    return frozenset((second, first) for first, second in links)


def grow_diag_final(first: AbstractSet[Link], second: AbstractSet[Link]) -> Links:
    """Two alignments of one pair, of a model for each direction, joined (Koehn et al. 2003, as in Moses).

    Starts with the links that both have, adds neighbouring links of either one (also diagonal neighbours) as long as
    they link a word without a link, and at last every link of the first and then of the second alignment that does so.
    """
    joined = _Joined(first & second)
    either = sorted(first | second, key=_by_target)
    grows = True
    while grows:
        grows = False
        for source, target in either:
            if (source, target) in joined.links:
                near = ((source + right, target + down) for right, down in NEIGHBOURS)
                grows |= sum(joined.add(link) for link in near if link in first or link in second) > 0
    for links in (first, second):
        for link in sorted(links, key=_by_target):
            joined.add(link)
    return frozenset(joined.links)


class _Joined:
    """Links, to which only those are added that link a word without a link."""

    def __init__(self, links: AbstractSet[Link]) -> None:
        self.links = set(links)
        self._sources, self._targets = ({link[side] for link in links} for side in (0, 1))

    def add(self, link: Link) -> bool:
        """Add `link` if its source or its target word has none; whether it was added."""
        if link[0] in self._sources and link[1] in self._targets:
            return False
        self.links.add(link)
        self._sources.add(link[0])
        self._targets.add(link[1])
        return True


def _by_target(link: Link) -> Link:
    return link[1], link[0]


def count_links(found: AbstractSet[Link], sure: AbstractSet[Link], possible: AbstractSet[Link]) -> list[int]:
    """A row of `Counts` for one sentence pair. Sure links are possible ones, whether `possible` has them or not."""
    return [len(found), len(found & sure), len(found & (sure | possible)), len(sure)]


def error_rates(counts: Counts) -> NDArray[np.float64]:
    """Alignment error rate, 1 − (|A∩S| + |A∩P|) / (|A| + |S|), of counts already summed (Och and Ney 2003).

    A: links found; S: sure links; P: possible ones. 0 without any link on both sides.
    """
    found, found_sure, found_possible, sure = np.moveaxis(counts, -1, 0)
    total = found + sure
    return 1.0 - _divide(found_sure + found_possible, total)


def precision(counts: Counts) -> NDArray[np.float64]:
    """Share of the links found that are possible; 1 without links."""
    return _divide(counts[..., 2], counts[..., 0])


def recall(counts: Counts) -> NDArray[np.float64]:
    """Share of the sure links that are found; 1 without sure links."""
    return _divide(counts[..., 1], counts[..., 3])


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.ones_like(part, dtype=np.float64), where=whole > 0)


def error_rate_score(counts: Counts) -> Score:
    """The alignment error rate of all sentences together, with its bootstrap interval over sentences.

    `counts`: (n_sentences, 4).
    """
    sums = resample_sums(counts, N_RESAMPLES, np.random.default_rng(SEED))
    low, high = expanded_interval(error_rates(sums), len(counts))
    return Score(float(error_rates(counts.sum(axis=0))), low, high, len(counts), lower_is_better=True)


def error_rate_difference(first: Counts, second: Counts) -> Comparison:
    """The error rate of `first` minus that of `second` on the same sentences, by paired bootstrap.

    The p-value belongs to the claim that it is above 0, that is, that `second` aligns better.
    """
    sums = resample_sums(np.hstack([first, second]), N_PAIRED_RESAMPLES, np.random.default_rng(SEED))
    differences = error_rates(sums[:, :4]) - error_rates(sums[:, 4:])
    low, high = percentile_interval(differences)
    p_value = (1 + int((differences <= 0.0).sum())) / (1 + len(differences))
    values = [float(error_rates(counts.sum(axis=0))) for counts in (first, second)]
    return Comparison(values[0], values[1], values[0] - values[1], low, high, p_value)


def choose_on_the_other_half(candidates: Sequence[Counts]) -> tuple[Counts, tuple[int, int]]:
    """Counts of the best candidate, chosen for each half of the sentences on the other half; and both choices.

    So a choice among heads or thresholds is never scored on the sentences that it was made on. Halves are the sentences
    with even and with odd index.
    """
    is_even = np.arange(len(candidates[0])) % 2 == 0
    for_even, for_odd = (best_of([counts[half] for counts in candidates]) for half in (~is_even, is_even))
    return np.where(is_even[:, None], candidates[for_even], candidates[for_odd]), (for_even, for_odd)


def best_of(candidates: Sequence[Counts]) -> int:
    """The index of the candidate with the lowest error rate on all sentences, the first of equal ones."""
    return int(np.argmin([error_rates(counts.sum(axis=0)) for counts in candidates]))

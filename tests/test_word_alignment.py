"""Alignment error rate, reading links from weights, and joining two directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.evaluation.word_alignment import (
    NEIGHBOURS,
    Link,
    argmax_links,
    best_of,
    choose_on_the_other_half,
    count_links,
    diagonal_links,
    error_rate_difference,
    error_rate_score,
    error_rates,
    flip,
    grow_diag_final,
    precision,
    recall,
    threshold_links,
)

LINKS = st.frozensets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=14)
PAIRS = st.lists(st.tuples(LINKS, LINKS, LINKS), min_size=1, max_size=6)


def counts_of(pairs: list[tuple[frozenset[Link], ...]]) -> np.ndarray:
    return np.array([count_links(*pair) for pair in pairs], dtype=np.float64)


def test_the_error_rate_of_a_hand_counted_example() -> None:
    found = {(0, 0), (1, 1), (2, 1), (3, 4)}
    sure, possible = {(0, 0), (1, 1), (2, 2)}, {(2, 1)}
    counts = np.array(count_links(found, sure, possible), dtype=np.float64)
    # 4 links found, of them 2 sure and 3 possible; 3 sure ones in all: 1 - (2 + 3) / (4 + 3).
    assert counts.tolist() == [4, 2, 3, 3]
    assert error_rates(counts) == pytest.approx(2 / 7)
    assert precision(counts) == pytest.approx(3 / 4)
    assert recall(counts) == pytest.approx(2 / 3)


def test_the_error_rate_of_perfect_links_is_0() -> None:
    sure, possible = {(0, 0), (1, 2)}, {(1, 1)}
    for found in (sure, sure | possible):
        assert error_rates(np.array(count_links(found, sure, possible), dtype=np.float64)) == 0.0
    assert error_rates(np.zeros(4)) == 0.0


def by_loops(pairs: list[tuple[frozenset[Link], ...]]) -> float:
    """Och and Ney's equation, link by link."""
    found_sure = found_possible = found = sure_links = 0
    for links, sure, possible in pairs:
        for link in links:
            found += 1
            found_sure += any(link == other for other in sure)
            found_possible += any(link == other for other in [*sure, *possible])
        sure_links += len(list(sure))
    return 1.0 - (found_sure + found_possible) / (found + sure_links) if found + sure_links else 0.0


@given(pairs=PAIRS)
def test_the_error_rate_equals_loops_and_is_within_bounds(pairs: list[tuple[frozenset[Link], ...]]) -> None:
    counts = counts_of(pairs)
    value = float(error_rates(counts.sum(axis=0)))
    assert value == pytest.approx(by_loops(pairs))
    assert 0.0 <= value <= 1.0
    assert 0.0 <= precision(counts.sum(axis=0)) <= 1.0
    assert 0.0 <= recall(counts.sum(axis=0)) <= 1.0


@given(pairs=PAIRS, order=st.permutations(range(6)), data=st.data())
def test_the_names_of_words_and_the_order_of_sentences_do_not_matter(
    pairs: list[tuple[frozenset[Link], ...]], order: list[int], data: st.DataObject
) -> None:
    def renamed(links: frozenset[Link]) -> frozenset[Link]:
        return frozenset((order[source], target) for source, target in links)

    shuffled = data.draw(st.permutations(pairs))
    total = counts_of(pairs).sum(axis=0)
    assert (counts_of([tuple(map(renamed, pair)) for pair in shuffled]).sum(axis=0) == total).all()
    assert (counts_of([tuple(map(flip, pair)) for pair in pairs]).sum(axis=0) == total).all()


def test_links_are_read_from_weights() -> None:
    weights = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    assert argmax_links(weights) == {(0, 0), (2, 1)}
    assert threshold_links(weights, 0.3) == {(0, 0), (0, 1), (1, 1), (2, 1)}
    assert argmax_links(np.zeros((2, 0))) == threshold_links(np.zeros((2, 0)), 0.5) == frozenset()


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_diagonal_links_every_target_word_inside_the_sentence(n_source: int, n_target: int) -> None:
    links = diagonal_links(n_source, n_target)
    assert {target for _, target in links} == (set(range(n_target)) if n_source else set())
    assert all(0 <= source < n_source for source, _ in links)
    assert diagonal_links(n_source, n_source) == {(place, place) for place in range(n_source)}


def test_grow_diag_final_on_a_hand_made_example() -> None:
    first = {(0, 0), (1, 1), (3, 3), (5, 2)}
    second = {(0, 0), (1, 2), (4, 4), (5, 5)}
    # Both have (0, 0). It grows to (1, 1), then (1, 2), which links target 2. (3, 3) has no neighbour among the
    # joined links, so it comes last, as (4, 4) and (5, 5) do. (5, 2) is of the first, and links source 5.
    assert grow_diag_final(first, second) == {(0, 0), (1, 1), (1, 2), (3, 3), (5, 2), (4, 4), (5, 5)}


def test_grow_diag_final_adds_no_link_between_two_linked_words() -> None:
    assert grow_diag_final({(0, 0), (1, 1), (0, 1)}, {(0, 0), (1, 1)}) == {(0, 0), (1, 1)}


@given(first=LINKS, second=LINKS)
def test_joined_links_lie_between_intersection_and_union(first: frozenset[Link], second: frozenset[Link]) -> None:
    joined = grow_diag_final(first, second)
    assert first & second <= joined <= first | second
    assert grow_diag_final(first, first) == first
    for side in (0, 1):
        # Every word that one of the two alignments links is linked.
        assert {link[side] for link in joined} == {link[side] for link in first | second}


def test_a_link_has_eight_neighbours() -> None:
    assert len(set(NEIGHBOURS)) == 8


def many_counts(n_right: int, n_sentences: int = 60) -> np.ndarray:
    """Ten links a sentence, of which about `n_right` are right."""
    right = n_right + np.arange(n_sentences) % 2
    return np.stack([np.full(n_sentences, 10), right, right, np.full(n_sentences, 10)], axis=1).astype(np.float64)


def test_a_score_has_an_interval_around_the_rate_of_all_sentences() -> None:
    score = error_rate_score(many_counts(7))
    assert score.value == pytest.approx(0.25)
    assert score.low is not None
    assert score.high is not None
    assert 0.2 < score.low < score.value < score.high < 0.3
    assert error_rate_score(many_counts(7, 20)).low is None


def test_the_difference_of_two_alignments_is_tested_on_the_same_sentences() -> None:
    difference = error_rate_difference(many_counts(5), many_counts(7))
    assert difference.value == pytest.approx(0.2)
    # The sentences vary together, so their difference does not vary at all.
    assert difference.low == pytest.approx(difference.high)
    assert difference.p_value is not None
    assert difference.p_value < 0.001
    assert error_rate_difference(many_counts(7), many_counts(5)).p_value == 1.0


def test_a_choice_is_scored_on_sentences_that_it_was_not_made_on() -> None:
    on_even, on_odd = many_counts(9, 6), many_counts(9, 6)
    on_even[1::2, 1:3] = 0.0
    on_odd[::2, 1:3] = 0.0
    counts, chosen = choose_on_the_other_half([on_even, on_odd])
    # The first is best on even sentences, so it is used on the odd ones, where it is wrong; and so is the other.
    assert chosen == (1, 0)
    assert error_rates(counts.sum(axis=0)) == 1.0
    assert best_of([on_even, on_odd]) == 1


@given(pairs=PAIRS)
def test_a_single_candidate_is_chosen(pairs: list[tuple[frozenset[Link], ...]]) -> None:
    counts, chosen = choose_on_the_other_half([counts_of(pairs)])
    assert chosen == (0, 0)
    assert (counts == counts_of(pairs)).all()

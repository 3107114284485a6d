from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2attn.corpora.packaged.verse_alignment import WordLinks, align_verses

WORDS = [f"w{chr(97 + first)}{chr(97 + second)}" for first in range(20) for second in range(20)]


def made_up_verses(number: int, seed: int) -> tuple[list[str], list[str]]:
    """Verses of six words, and their translations: each word reversed, in another order."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(WORDS, 6, replace=False).tolist() for _ in range(number)]
    return [" ".join(words) for words in drawn], [" ".join(word[::-1] for word in reversed(words)) for words in drawn]


@pytest.fixture(scope="module")
def links() -> WordLinks:
    return WordLinks(*made_up_verses(400, seed=1))


def test_verses_of_equal_number_stay_together(links: WordLinks) -> None:
    sources, targets = made_up_verses(12, seed=2)
    assert align_verses(links.similarities(sources, targets)) == [(number, number) for number in range(12)]


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_shifted_chapter_is_realigned(links: WordLinks, shift: int) -> None:
    sources, targets = made_up_verses(20, seed=3)
    pairs = align_verses(links.similarities(sources[shift:] + ["other words"] * shift, targets))
    assert [(row, row + shift) for row in range(20 - shift)] == [pair for pair in pairs if pair[0] < 20 - shift]


def test_a_shift_inside_a_chapter_is_realigned(links: WordLinks) -> None:
    sources, targets = made_up_verses(20, seed=4)
    merged = [*sources[:8], f"{sources[8]} {sources[9]}", *sources[10:], "an extra end"]
    pairs = align_verses(links.similarities(merged, targets))
    assert pairs[:8] == [(number, number) for number in range(8)]
    assert pairs[-10:] == [(number, number + 1) for number in range(9, 19)]


def test_one_unlike_verse_moves_nothing(links: WordLinks) -> None:
    sources, targets = made_up_verses(15, seed=5)
    sources[7] = "nothing known here"
    assert align_verses(links.similarities(sources, targets)) == [(number, number) for number in range(15)]


def test_chapters_without_evidence_are_unchanged(links: WordLinks) -> None:
    similarities = links.similarities(["unknown"] * 6, ["words"] * 6)
    assert not similarities.any()
    assert align_verses(similarities) == [(number, number) for number in range(6)]


def test_similarity_is_the_mean_of_the_best_links_of_both_sides() -> None:
    # Dice: a–x always together (1.0); b occurs in 3 verses, x in 4, both in 2 (2 * 2 / 7).
    sources = ["a b", "a b", "a", "a", "b", "c", "c", "c"]
    targets = ["x", "x", "x", "x", "y", "y", "z", "z"]
    similarity = WordLinks(sources, targets).similarities(["a b"], ["x"])[0, 0]
    assert similarity == pytest.approx(((1.0 + 4 / 7) / 2 + 1.0) / 2)


def test_similarities_far_from_the_diagonal_are_ignored(links: WordLinks) -> None:
    sources, _ = made_up_verses(12, seed=6)
    _, targets = made_up_verses(12, seed=6)
    similarities = links.similarities(sources, targets[::-1])
    rows, columns = np.nonzero(similarities)
    assert (abs(rows - columns) <= 3).all()


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_pairs_increase_on_both_sides(size: int, seed: int) -> None:
    similarities = np.random.default_rng(seed).random((size, size)) ** 4
    pairs = align_verses(similarities)
    assert all(0 <= row < size and 0 <= column < size for row, column in pairs)
    assert all(row < next_row and column < next_column for (row, column), (next_row, next_column) in pairwise(pairs))


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_alignment_is_the_best_of_all(size: int, seed: int) -> None:
    """Compared with an exhaustive search over few verses; similarities far from the diagonal are 0."""
    similarities = np.random.default_rng(seed).random((size, size)) * 0.4
    rows, columns = np.indices((size, size))
    similarities[abs(rows - columns) > 3] = 0.0

    def best_from(row: int, column: int) -> float:
        if row == size or column == size:
            return -0.12 * (2 * size - row - column)
        return max(
            similarities[row, column] + best_from(row + 1, column + 1),
            -0.12 + best_from(row + 1, column),
            -0.12 + best_from(row, column + 1),
        )

    pairs = align_verses(similarities)
    found = sum(similarities[pair] for pair in pairs) - 0.12 * 2 * (size - len(pairs))
    assert found == pytest.approx(best_from(0, 0))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.evaluation.slope import find_slopes, line_weights

LENGTHS = np.repeat([5, 15, 25, 45], [40, 100, 60, 30])
GROUPS = [length == LENGTHS for length in (5, 15, 25, 45)]


@given(scores=st.lists(st.floats(0, 60), min_size=4, max_size=4))
def test_the_weights_are_those_of_numpys_least_squares(scores: list[float]) -> None:
    """`polyfit` weights residuals before squaring them, so it takes the square roots of the numbers of sentences."""
    to_loss, to_mean = line_weights(LENGTHS, GROUPS)
    slope, _ = np.polyfit([5, 15, 25, 45], scores, 1, w=np.sqrt([40, 100, 60, 30]))
    assert to_loss @ scores == pytest.approx(-10 * slope, abs=1e-9)
    assert to_mean @ scores == pytest.approx(np.average(scores, weights=[40, 100, 60, 30]), abs=1e-9)


def test_an_exact_line_gives_its_own_slope_for_any_sizes() -> None:
    fallen = [30 - 0.3 * length for length in (5, 15, 25, 45)]
    flat = [20.0] * 4
    scores = [list(pair) for pair in zip(fallen, flat, strict=True)]
    rng = np.random.default_rng(1)
    resampled = [np.array(pair)[:, None] + rng.normal(0, 0.5, (2, 4000)) for pair in scores]
    falling, level = find_slopes(LENGTHS, GROUPS, scores, resampled)
    assert falling is not None
    assert level is not None
    assert falling.loss == pytest.approx(3.0)
    assert level.loss == pytest.approx(0.0, abs=1e-9)
    assert level.loss_low < 0 < level.loss_high
    # The standard error of the slope is that of BLEU, half a point, times the norm of the weights.
    half = 1.96 * 0.5 * np.sqrt((line_weights(LENGTHS, GROUPS)[0] ** 2).sum())
    assert (falling.loss_low, falling.loss_high) == pytest.approx((3 - half, 3 + half), rel=0.05)
    mean = np.average(fallen, weights=[40, 100, 60, 30])
    assert falling.share == pytest.approx(3 / mean)
    assert falling.share_low is not None
    assert falling.share_high is not None
    assert falling.share_low < 3 / mean < falling.share_high


def test_one_bucket_has_no_slope() -> None:
    assert find_slopes(LENGTHS, GROUPS[:1], [[20.0]], [np.full((1, 10), 20.0)]) == [None]
    assert find_slopes(LENGTHS, [], [], []) == []


def test_a_system_without_any_bleu_has_no_relative_slope() -> None:
    (slope,) = find_slopes(LENGTHS, GROUPS, [[0.0]] * 4, [np.zeros((1, 10))] * 4)
    assert slope is not None
    assert (slope.loss, slope.share) == (0.0, None)

"""Ranking validated checkpoints and choosing the final weights: functions of validation results alone."""

from __future__ import annotations

import math

import pytest

from seq2attn.training.validation import (
    BestBy,
    FinalWeights,
    RankedStep,
    ValidationResult,
    choose_final_weights,
    objective,
    rank,
)


def ranking_of(*losses: float) -> list[RankedStep]:
    """Checkpoints of steps 1, 2, … with these losses."""
    ranking: list[RankedStep] = []
    for step, loss in enumerate(losses, start=1):
        ranking = rank(ranking, step, ValidationResult(loss, None), "loss")
    return ranking


@pytest.mark.parametrize(
    ("result", "best_by", "expected"),
    [
        (ValidationResult(2.0, 30.0), "loss", 2.0),
        (ValidationResult(2.0, 30.0), "bleu", -30.0),
        (ValidationResult(2.0, None), "bleu", 2.0),
        (ValidationResult(math.nan, None), "loss", math.inf),
        (ValidationResult(math.nan, 30.0), "bleu", -30.0),
    ],
)
def test_the_objective_is_the_loss_or_the_negative_bleu(
    result: ValidationResult, best_by: BestBy, expected: float
) -> None:
    assert objective(result, best_by) == expected


def test_the_ranking_is_best_first_and_the_earlier_step_wins_a_tie() -> None:
    assert [ranked.step for ranked in ranking_of(3.0, 1.0, math.nan, 1.0, 2.0)] == [2, 4, 5, 1, 3]


def test_ranking_leaves_its_argument_as_it_is() -> None:
    ranking = ranking_of(1.0)
    rank(ranking, 2, ValidationResult(0.5, None), "loss")
    assert [ranked.step for ranked in ranking] == [1]


@pytest.mark.parametrize(
    ("losses", "of_average", "expected"),
    [
        ((2.0, 1.0, 3.0), 0.9, "the average of steps 1, 2, 3"),
        ((2.0, 1.0, 3.0), 1.0, "step 2"),
        ((2.0, 1.0, 3.0), math.nan, "step 2"),
        ((2.0,), None, "step 1"),
        ((math.nan, math.nan), math.nan, "step 1"),
    ],
)
def test_final_weights_are_the_average_only_where_it_is_better(
    losses: tuple[float, ...], of_average: float | None, expected: str
) -> None:
    result = None if of_average is None else ValidationResult(of_average, None)
    chosen = choose_final_weights(ranking_of(*losses), result, "loss")
    assert str(chosen) == expected
    if len(chosen.steps) > 1:
        assert chosen.result is result


def test_the_best_checkpoint_keeps_the_scores_of_its_validation() -> None:
    ranking = rank([], 7, ValidationResult(2.0, 30.0), "bleu")
    worse = ValidationResult(1.0, 29.0)
    assert choose_final_weights(ranking, worse, "bleu") == FinalWeights((7,), ValidationResult(2.0, 30.0))
    better = ValidationResult(3.0, 31.0)
    ranking = rank(ranking, 3, ValidationResult(2.5, 20.0), "bleu")
    assert choose_final_weights(ranking, better, "bleu") == FinalWeights((3, 7), better)

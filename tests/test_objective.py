"""Which of two scores is better, in both directions, and that NaN never is."""

from __future__ import annotations

import math

import pytest

from facesiam.objective import Objective

NAN, INF = math.nan, math.inf
MOST, LEAST = Objective("val_acc", "max"), Objective("val_loss", "min")


@pytest.mark.parametrize(
    ("objective", "values", "epoch"),
    [
        (MOST, [NAN, 0.5, 0.7, 0.7, NAN], 2),
        (LEAST, [NAN, 0.5, 0.7, 0.5], 1),
        (MOST, [NAN, NAN], None),
        (LEAST, [], None),
        (MOST, [-INF, NAN], 0),
        (LEAST, [INF, 0.5, -INF], 2),
    ],
)
def test_the_best_epoch_is_the_first_of_equals(
    objective: Objective, values: list[float], epoch: int | None
) -> None:
    assert objective.best_epoch(values) == epoch
    best = objective.best(values, default=7.0)
    assert best == (7.0 if epoch is None else values[epoch])


@pytest.mark.parametrize(
    ("value", "than", "most", "least"),
    [
        (0.7, 0.5, True, False),
        (0.5, 0.7, False, True),
        (0.5, 0.5, False, False),
        (0.5, None, True, True),
        (0.5, NAN, True, True),
        (NAN, 0.5, False, False),
        (NAN, None, False, False),
        (NAN, NAN, False, False),
        (INF, 0.5, True, False),
    ],
)
def test_better(value: float, than: float | None, most: bool, least: bool) -> None:
    assert (MOST.better(value, than), LEAST.better(value, than)) == (most, least)


@pytest.mark.parametrize("objective", [MOST, LEAST])
def test_the_key_orders_scores_from_worst_to_best(objective: Objective) -> None:
    ordered = sorted([0.5, 0.3, 0.7], key=objective.key)
    assert ordered == ([0.3, 0.5, 0.7] if objective is MOST else [0.7, 0.5, 0.3])
    assert [objective.key(objective.key(value)) for value in ordered] == ordered
    assert objective.key(NAN) == objective.key(None) == objective.key(objective.worst) == -INF
    assert objective.better(0.5, objective.worst)

"""The statistics of a race: the level is kept, losers go out, equals leave the cheapest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as student

from search.analysis import elimination
from search.analysis.elimination import Standing, standing
from search.space.finalists import Finalists

TERMS = Finalists(seeds=5, level=0.05, within=0.005)
FREE = [0.0] * 5


def ended(scores: NDArray[np.float64], costs: list[float], terms: Finalists) -> Standing:
    """Return what a race says whose trainings without a score have not ended."""
    return standing(scores, np.isfinite(scores), costs, terms)


def played(
    drawn: NDArray[np.float64], costs: list[float], terms: Finalists
) -> tuple[Standing, int]:
    """Return how a race ends whose every score is known before, and the trainings it takes."""
    scores, now, used = np.full(drawn.shape, math.nan), Standing.begun(len(drawn)), 0
    for at in range(drawn.shape[1]):
        scores[now.alive, at] = drawn[now.alive, at]
        used += len(now.alive)
        now = ended(scores, costs, terms)
        if now.over:
            break
    return now, used


def test_two_finalists_have_the_bound_of_students_paired_test() -> None:
    scores = np.array([[0.80, 0.82, 0.81], [0.78, 0.81, 0.78]])
    found = ended(scores, [0.0, 0.0], Finalists(seeds=3, within=0.0))
    apart = scores[0] - scores[1]
    # Of two looks at one comparison: the level lies between that of one look and Bonferroni's.
    p = elimination.critical_p(2, 3, 0.05)
    assert 0.025 < p < 0.05
    error = apart.std(ddof=1) / math.sqrt(3)
    last = apart.mean() + student.isf(p, 2) * error
    first = apart[:2].mean() + student.isf(p, 1) * apart[:2].std(ddof=1) / math.sqrt(2)
    assert found.bounds[0, 1] == pytest.approx(min(first, last))


def test_a_bound_that_was_drawn_once_holds_whatever_comes() -> None:
    scores = np.array([[0.80, 0.82, 0.81], [0.78, 0.80, 0.90]])  # 2 points apart, twice; then -9
    found = ended(scores, [0.0, 0.0], Finalists(seeds=3, within=0.0))
    p = elimination.critical_p(2, 3, 0.05)
    least = elimination.LEAST / math.sqrt(2)
    assert found.bounds[1, 0] == pytest.approx(-0.02 + student.isf(p, 1) * least)


@pytest.mark.parametrize("noise", [0.002, 0.02])
def test_the_best_of_equal_finalists_is_wrongly_bounded_in_a_twentieth_of_races(
    noise: float,
) -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(400):
        drawn = 0.8 + noise * rng.standard_normal((5, 5))
        found = ended(drawn, FREE, Finalists(seeds=5, within=0.0))
        wrong += bool((found.bounds[0, 1:] < 0).any())
    assert 0.02 < wrong / 400 < 0.08


def test_a_clear_winner_is_left_alone_and_costs_less_than_all_with_all_seeds() -> None:
    rng = np.random.default_rng(0)
    levels = np.array([0.70, 0.72, 0.90, 0.71, 0.60])
    drawn = levels[:, None] + 0.01 * rng.standard_normal((5, 5))
    found, used = played(drawn, FREE, TERMS)
    assert (found.taken, found.alive, found.decided(0.0)) == (2, [2], True)
    assert used < 15


def test_of_equal_finalists_the_cheapest_is_taken() -> None:
    rng = np.random.default_rng(1)
    drawn = 0.8 + 1e-4 * rng.standard_normal((5, 5))
    found, used = played(drawn, [3.0, 2.0, 1.0, 5.0, 4.0], TERMS)
    assert (found.taken, used) == (2, 10)
    assert 0 < found.bound(2) <= 0.005


def test_without_a_difference_in_cost_equal_finalists_leave_the_best_mean() -> None:
    drawn = np.array([[0.8, 0.8], [0.801, 0.801], [0.8005, 0.8005]])
    found, _ = played(drawn, [0.0] * 3, Finalists(seeds=2))
    assert found.taken == 1


def test_ties_leave_the_one_that_ranked_first_in_the_search() -> None:
    found, used = played(np.full((4, 5), 0.8), [0.0] * 4, TERMS)
    assert (found.taken, used) == (0, 8)


def test_finalists_that_are_not_told_apart_leave_the_cheapest_near_the_best_mean() -> None:
    drawn = np.array([[0.80, 0.86, 0.74], [0.70, 0.80, 0.85], [0.90, 0.70, 0.795]])
    terms = Finalists(seeds=3, within=0.005)
    means = drawn.mean(1)
    assert means == pytest.approx([0.8, 0.7833, 0.7983], abs=1e-3)
    found, used = played(drawn, [2.0, 0.5, 1.0], terms)
    # 2 is cheaper than 0 and as good within half a point; 1 is the cheapest of all, and worse.
    assert (found.taken, found.alive, used) == (2, [0, 1, 2], 9)
    assert not found.decided(terms.within) and found.bound(2) > 0.05


def test_one_seed_decides_nothing_and_the_best_mean_is_taken() -> None:
    found, _ = played(np.array([[0.7], [0.8]]), [0.0, 0.0], Finalists(seeds=1))
    assert (found.taken, found.bound(1)) == (1, math.inf)


def test_one_finalist_is_taken_without_a_training() -> None:
    assert ended(np.full((1, 5), math.nan), [0.0], TERMS).taken == 0


def test_a_training_that_failed_leaves_the_others_comparable() -> None:
    drawn = np.array([[0.9, 0.9, math.nan, 0.9], [0.7, 0.71, 0.7, 0.69]])
    every = np.ones(drawn.shape, dtype=np.bool_)
    found = standing(drawn, every, [0.0, 0.0], Finalists(seeds=5))
    assert found.taken == 0
    nothing = np.array([[math.nan, math.nan], [0.7, 0.71]])
    assert standing(nothing, every[:, :2], [0.0, 0.0], Finalists(seeds=2)).taken == 1


def test_who_is_out_hands_on_whom_it_had_put_out() -> None:
    # 0 is out for 1, which is not better by more than `within`; 2 is as much worse than 1 and
    # cheaper. That 2 may be worse than 0 by twice the difference keeps 1 in.
    drawn = np.array([[0.8040, 0.8040], [0.8000, 0.8000], [0.7960, 0.7960]])
    drawn = drawn + np.array([0.01, -0.01])
    found, _ = played(drawn, [3.0, 2.0, 1.0], Finalists(seeds=2, within=0.005))
    assert found.bounds[0, found.taken or 0] <= 0.005
    assert found.taken == 1


def test_a_larger_noise_of_two_counts_for_these_two() -> None:
    steady = np.array([[0.8, 0.8, 0.8], [0.79, 0.79, 0.79], [0.78, 0.78, 0.78]])
    wild = np.vstack([steady, [0.90, 0.60, 0.75]])
    found = ended(wild, [0.0] * 4, TERMS)
    assert found.bounds[3, 0] - found.bounds[0, 3] == pytest.approx(2 * (0.75 - 0.8))
    of_wild, of_steady = (found.bounds[one, 0] + found.bounds[0, one] for one in (3, 1))
    # Three of the six pairs have a variance of 0.0225, the others none: pooled it is half of that.
    assert of_wild / of_steady == pytest.approx(math.sqrt(2))


def test_a_level_that_few_races_are_drawn_for_has_bonferronis_bound() -> None:
    assert elimination.critical_p(5, 5, 1e-4) == pytest.approx(1e-4 / 16)
    assert elimination.critical_p(50, 100, 0.05) == pytest.approx(0.05 / (49 * 99))
    assert elimination.critical_p(5, 5, 0.05) > 0.05 / 16

"""McNemar's exact test, on numbers worked out by hand and against scipy's binomial test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from facesiam.evaluation.right_pairs import pack, unpack
from search.analysis.mcnemar import PairOutcomes, compare, p_bounds, p_value


def test_mcnemar_is_the_binomial_test_of_the_pairs_that_differ() -> None:
    assert p_value(60, 20) == pytest.approx(8.581e-06, rel=1e-3)  # though the intervals overlap
    assert p_value(0, 0) == 1.0 and p_value(3, 3) == 1.0
    assert p_value(5, 0) == pytest.approx(2 / 2**5)  # five heads in a row, or tails
    assert p_value(1, 4) == pytest.approx(2 * (1 + 5) / 2**5)
    for one, other in itertools.product(range(0, 30, 3), range(0, 30, 7)):
        if one + other:
            expected = binomtest(one, one + other).pvalue
            assert p_value(one, other) == pytest.approx(expected)
            assert p_value(other, one) == p_value(one, other)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_the_bounds_are_those_over_all_pairs_that_have_these_counts(n: int) -> None:
    for one, other in itertools.product(range(n + 1), repeat=2):
        found = [
            p_value(only_one, only_one - one + other)
            for only_one in range(max(0, one - other), min(one, n - other) + 1)
        ]
        assert p_bounds(one, other, n) == pytest.approx((min(found), max(found)))


def outcomes(n: int, right: list[int], kept: bool = True, pairs: str = "these") -> PairOutcomes:
    """A net that has these of n pairs right."""
    which = np.isin(np.arange(n), right)
    return PairOutcomes(n, len(right), (pairs,), which if kept else None)


def test_two_nets_are_told_apart_by_the_pairs_in_which_they_differ() -> None:
    best = outcomes(100, [*range(90)])
    near = outcomes(100, [*range(84)])  # six that only the best has right: p = 2 / 64
    assert compare(best, near).p == pytest.approx(2 / 64) and compare(best, near).alike is False
    assert compare(best, near, comparisons=2).alike is True  # 0.0625 for two comparisons
    crossed = outcomes(100, [*range(8, 84), *range(90, 98)])  # as many right: 14 and 8 differ
    assert compare(best, crossed).p == pytest.approx(binomtest(8, 22).pvalue)
    assert compare(best, best).p == 1.0


def test_without_the_pairs_the_counts_say_what_they_can() -> None:
    best = outcomes(100, [*range(90)], kept=False)
    for right, alike in ((90, None), (89, None), (84, None), (40, False)):
        found = compare(best, outcomes(100, [*range(right)]))
        assert math.isnan(found.p) and found.alike is (True if right >= 85 else alike)
    assert compare(best, outcomes(100, [*range(90)], pairs="others")).alike is None
    assert compare(best, outcomes(99, [*range(90)])).alike is None
    assert compare(outcomes(0, []), outcomes(0, [])).alike is None


@pytest.mark.parametrize("n", [0, 1, 8, 13, 2000])
def test_which_pairs_are_right_comes_back(n: int) -> None:
    right = np.random.default_rng(n).random(n) < 0.9
    text = pack(right)
    assert len(text) == {0: 0, 1: 4, 8: 4, 13: 4, 2000: 336}[n]
    found = unpack(text, n, int(right.sum()))
    assert found is not None and np.array_equal(found, right)
    assert unpack(text, n, int(right.sum()) + 1) is None and unpack(text, n + 8, 0) is None


def test_what_is_no_such_text_is_not_read() -> None:
    for text in (None, 7, "?", "ÿ", "A", pack([True] * 9)):
        assert unpack(text, 8, 8) is None
    assert unpack(pack([True] * 9), 9, 9) is not None

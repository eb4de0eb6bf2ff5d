"""The paired difference of two nets: its interval by hand, and how often it holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from search.analysis.paired_difference import PairedDifference, difference, interval


def test_the_counts_of_two_nets_on_ten_pairs() -> None:
    a = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0], bool)
    b = np.array([1, 1, 1, 1, 1, 0, 1, 1, 1, 0], bool)
    found = difference(a, b)
    assert found == PairedDifference(n=10, both=5, only_a=1, only_b=3)
    assert (found.accuracy_a, found.accuracy_b, found.value) == (0.6, 0.8, 0.2)
    assert found.p == pytest.approx(2 * (1 + 4) / 2**4)
    # 2 and 4 of 12 pairs with one more of each kind: 2 / 12 ± 1.96 sqrt((6 / 12 - (2 / 12)²) / 12)
    half = 1.959964 * math.sqrt((6 / 12 - 4 / 144) / 12)
    assert found.interval == pytest.approx((2 / 12 - half, 2 / 12 + half), abs=1e-6)
    turned = difference(b, a)
    assert turned.interval == pytest.approx(tuple(-end for end in reversed(found.interval)))


def test_two_nets_that_judge_alike_are_not_known_to_be_alike() -> None:
    low, high = interval(0, 0, 1998)
    assert high == -low == pytest.approx(1.959964 * math.sqrt(2 / 2000 / 2000), abs=1e-9)
    assert interval(0, 1, 1)[1] == 1.0 and interval(1, 0, 1)[0] == -1.0  # a difference of shares


def test_another_level_has_another_interval() -> None:
    low, high = interval(30, 10, 500, level=0.9)
    assert (high - low) / 2 == pytest.approx(
        1.644854 * math.sqrt((42 / 502 - (20 / 502) ** 2) / 502), abs=1e-6
    )


def coverage(n: int, only_a: float, only_b: float) -> float:
    """The chance that the interval holds the truth, summed over all outcomes that are likely."""
    covered = 0.0
    for discordant in range(n + 1):
        chance = binom.pmf(discordant, n, only_a + only_b)
        if chance > 1e-9:
            counts = np.arange(discordant + 1)
            chances = binom.pmf(counts, discordant, only_a / (only_a + only_b))
            for count, one in zip(counts.tolist(), chances.tolist(), strict=True):
                low, high = interval(count, discordant - count, n)
                covered += chance * one * (low <= only_b - only_a <= high)
    return covered


@pytest.mark.parametrize("n", [100, 500])
def test_the_interval_holds_the_truth_as_often_as_it_says(n: int) -> None:
    found = [
        coverage(n, discordant * uneven, discordant * (1 - uneven))
        for discordant in (0.005, 0.05, 0.2)
        for uneven in (0.5, 0.15, 0.02)
    ]
    assert min(found) > 0.9465
    assert coverage(n, 0.1, 0.1) < 0.96  # and not by being wide

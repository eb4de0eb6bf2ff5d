"""McNemar's exact test of two nets that judged the same pairs.

Overlapping intervals are no test of two such nets: most pairs are easy or hard for both, and only
the discordant ones, which one net has right and the other wrong, say which is better. 91.5 and
89.5 % of 2,000 pairs have intervals that overlap, and with 60 pairs that only the first has right
and 20 that only the second has, p is 9e-6.

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
percentages", Psychometrika 12 (1947). Exact: under the null hypothesis each discordant pair is a
throw of a fair coin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from facesiam.evaluation.right_pairs import Bools

ALPHA = 0.05
"""Two nets differ where p, times the number of comparisons, is below."""
PAIR_SETTINGS = ("protocol", "people", "pair_seed", "fold")
"""The settings that decide which pairs validate."""


@dataclass(frozen=True)
class PairOutcomes:
    """How many of n pairs a net judged right and, where that was kept, which of them."""

    n: int
    right: int
    pairs: tuple[Any, ...]
    """What decides which pairs they are; two nets with equal ones judged the same pairs."""
    which: Bools | None = None
    """Whether each pair was judged right, (n,); None: that was not kept."""


@dataclass(frozen=True)
class McNemarResult:
    """The test of a net against the best one, as one of several comparisons."""

    p: float
    """Two-sided p, times the number of comparisons; NaN where the pairs are not known."""
    alike: bool | None
    """Whether the test does not tell them apart; None: it cannot be said without the pairs."""


def p_value(only_one: int, only_other: int) -> float:
    """Return the exact two-sided p from the numbers of discordant pairs.

    Args:
        only_one: pairs that only the one net has right.
        only_other: pairs that only the other net has right.
    """
    from scipy.special import bdtr  # not above: the start of a search need not wait for it

    fewer, discordant = min(only_one, only_other), only_one + only_other
    return min(1.0, 2 * float(bdtr(fewer, discordant, 0.5))) if discordant else 1.0


def p_bounds(one: int, other: int, n: int) -> tuple[float, float]:
    """Return the least and the greatest p of two nets with so many of n pairs right.

    There are fewest discordant pairs where the better net has all right that the other has, and
    most where their mistakes coincide as little as they can.
    """
    more, less = max(one, other), min(one, other)
    most = min(less, n - more)
    return p_value(more - less, 0), p_value(more - less + most, most)


def compare(best: PairOutcomes, other: PairOutcomes, comparisons: int = 1) -> McNemarResult:
    """Return the test of two nets where the pairs are known, else what their counts allow.

    Args:
        best: the net that all are compared with.
        other: another one.
        comparisons: how many nets are compared with the best one (Bonferroni).
    """
    if best.pairs != other.pairs or best.n != other.n or not best.n:
        return McNemarResult(np.nan, None)
    if best.which is not None and other.which is not None:
        only_best = int((best.which & ~other.which).sum())
        p = comparisons * p_value(only_best, int((other.which & ~best.which).sum()))
        return McNemarResult(min(1.0, p), p >= ALPHA)
    least, greatest = (comparisons * p for p in p_bounds(best.right, other.right, best.n))
    alike = True if least >= ALPHA else False if greatest < ALPHA else None
    return McNemarResult(np.nan, alike)


def against_best(
    best: PairOutcomes | None, other: PairOutcomes | None, comparisons: int
) -> McNemarResult:
    """Compare a trial's outcomes with the best one's, which may be itself; None: not known."""
    if best is None or other is None:
        return McNemarResult(math.nan, False)
    if best is other:
        return McNemarResult(math.nan, True)
    return compare(best, other, comparisons)

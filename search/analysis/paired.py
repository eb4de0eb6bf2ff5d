"""Two nets on the same pairs: exact McNemar, from which pairs each of them judged right.

Overlapping intervals are no test of two nets that judged the same pairs: most pairs are easy or
hard for both, and only those that one has right and the other wrong say which is better. 91.5 and
89.5 % of 2,000 pairs have intervals that overlap, and with 60 pairs that only the first has right
and 20 that only the second has, p is 9e-6.

Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
percentages", Psychometrika 12 (1947); exact: the pairs in which the two differ are as many throws
of a fair coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facesiam.evaluation.bits import Bools

ALPHA = 0.05
"""A difference is one where p, times the number of comparisons, is below."""
PAIRS = ("protocol", "people", "pair_seed", "fold")
"""The settings that decide which pairs validate."""


@dataclass(frozen=True)
class Judged:
    """What is known of a net's verdicts of n pairs."""

    n: int
    right: int
    pairs: tuple[Any, ...]
    """What decides which pairs they are: those of equal ones are the same."""
    which: Bools | None = None
    """Whether each pair was judged right, (n,); None: that was not kept."""


@dataclass(frozen=True)
class Compared:
    """The better of two nets against the other, as one of a family of comparisons."""

    p: float
    """Exact McNemar's, times the size of the family; NaN where the pairs are not known."""
    alike: bool | None
    """Whether the test does not tell them apart; None: it cannot be said without the pairs."""


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the exact two-sided p of two nets, from the pairs that only one of them has right."""
    from scipy.special import bdtr  # not above: whoever only starts a search need not wait for it

    fewer, differing = sorted((only_one, only_other))[0], only_one + only_other
    return min(1.0, 2 * float(bdtr(fewer, differing, 0.5))) if differing else 1.0


def bounds(one: int, other: int, n: int) -> tuple[float, float]:
    """Return the least and the greatest p that two nets with so many of n pairs right can have.

    The pairs that only one has right are the least where the better one has all right that the
    other has, and the most where their mistakes coincide as little as they can.
    """
    more, less = max(one, other), min(one, other)
    most = min(less, n - more)
    return mcnemar(more - less, 0), mcnemar(more - less + most, most)


def compare(best: Judged, other: Judged, family: int = 1) -> Compared:
    """Compare two nets, by the test where the pairs are known, else by what their counts allow.

    Args:
        best: the one that all are compared with.
        other: another one.
        family: how many are compared with it (Bonferroni).
    """
    if best.pairs != other.pairs or best.n != other.n or not best.n:
        return Compared(np.nan, None)
    if best.which is not None and other.which is not None:
        only_best = int((best.which & ~other.which).sum())
        p = mcnemar(only_best, int((other.which & ~best.which).sum()))
        return Compared(min(1.0, family * p), family * p >= ALPHA)
    least, greatest = (family * p for p in bounds(best.right, other.right, best.n))
    alike = True if least >= ALPHA else False if greatest < ALPHA else None
    return Compared(np.nan, alike)

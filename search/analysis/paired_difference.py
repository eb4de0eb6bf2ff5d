"""The difference of two nets' accuracies on the same pairs, with its interval and McNemar's test.

Interval: Bonett and Price's adjusted Wald interval, which adds one pair to each kind of discordant
pairs. Its coverage, summed over all outcomes and not drawn, is 94.7 to 100 % for 100, 500 and
2,000 pairs of which 0.5 to 20 % are discordant, split from evenly to 98 : 2; Agresti and Min's,
which is narrower, falls to 91.3 % there. tests/analysis/test_paired_difference.py sums most of it
again.

Source: D. G. Bonett, R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

from facesiam.evaluation.right_pairs import Bools
from search.analysis.mcnemar import p_value


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs, each judged by nets A and B, say of their accuracies."""

    n: int
    both: int
    """Pairs that both have right."""
    only_a: int
    """Pairs that A has right and B wrong."""
    only_b: int

    @property
    def accuracy_a(self) -> float:
        """Share of the pairs that A has right, in [0, 1]."""
        return (self.both + self.only_a) / self.n

    @property
    def accuracy_b(self) -> float:
        """Share of the pairs that B has right, in [0, 1]."""
        return (self.both + self.only_b) / self.n

    @property
    def value(self) -> float:
        """B's accuracy less A's, in [-1, 1]."""
        return (self.only_b - self.only_a) / self.n

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, in [-1, 1]."""
        return interval(self.only_a, self.only_b, self.n)

    @cached_property
    def p(self) -> float:
        """Two-sided p of McNemar's exact test."""
        return p_value(self.only_a, self.only_b)


def difference(a: Bools, b: Bools) -> PairedDifference:
    """Return the difference of two nets on n pairs, one or more.

    Args:
        a: which pairs net A has right, (n,).
        b: the same of net B.
    """
    return PairedDifference(len(a), int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum()))


def interval(only_a: int, only_b: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Bonett and Price's interval of B's accuracy less A's, in [-1, 1].

    Args:
        only_a: pairs that only A has right.
        only_b: pairs that only B has right.
        n: all pairs, at least ``only_a + only_b``.
        level: of the interval.
    """
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    middle = share_b - share_a
    z = NormalDist().inv_cdf(0.5 + level / 2)
    half = z * math.sqrt((share_a + share_b - middle**2) / (n + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)

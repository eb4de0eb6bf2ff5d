"""A bootstrap over people, for rates of pairs.

Pairs of the same people are not independent: a person who resembles another one gives many false
accepts at once. A resample therefore draws people, as many as there are, with replacement; a pair
of one person counts as often as the person was drawn, and a pair of two people as often as the
product of the two. Source: R. M. Bolle et al., "Error analysis of pattern recognition systems:
the subsets bootstrap", CVIU 93 (2004), and for pairs of two resampled units T. A. B. Snijders and
S. P. Borgatti, "Non-parametric standard errors and tests for network statistics", Connections 22
(1999).
"""

from __future__ import annotations

import math

import numpy as np

from facesiam.evaluation.rated_pairs import RatedPairs
from facesiam.evaluation.scored_pairs import CELLS, Floats

RESAMPLES = 500


class PeopleBootstrap:
    """The same resamples of the people of some pairs, whatever is measured on them.

    Args:
        pairs: of R people.
    """

    def __init__(self, pairs: RatedPairs) -> None:
        rng = np.random.default_rng(0)
        chance = [1 / pairs.people] * pairs.people
        drawn = rng.multinomial(pairs.people, chance, size=RESAMPLES)
        self.times = np.concatenate([np.ones((1, pairs.people), np.int64), drawn])
        """(1 + RESAMPLES, R) how often each person is drawn: once, and by each resample."""
        self.same = self.times @ pairs.same_of_each
        """(1 + RESAMPLES,) pairs of one person."""
        self.different = pairs.different_in(self.times, CELLS)
        """(1 + RESAMPLES,) pairs of two people."""


def interval(rates: Floats) -> tuple[float, float, float]:
    """Return the value of all people and the ends of its 95 % interval, which hold it.

    Args:
        rates: (1 + RESAMPLES,) that of all people, and of each resample; NaN: it has no pairs.

    Returns:
        The ends are NaN where most resamples are.
    """
    value, *drawn = rates.tolist()
    known = [rate for rate in drawn if not math.isnan(rate)]
    if len(known) < RESAMPLES / 2:  # two people, who are hardly ever drawn both
        return value, math.nan, math.nan
    low, high = np.percentile(known, [2.5, 97.5]).tolist()
    return value, min(low, value), max(high, value)

"""The statistics of a race: which finalists are out, when it is over, and who is taken.

Finalist i trained with seed s scores ``level of i + effect of s + noise``. The noise of one seed
and the next is independent, about normal and of the same size for all finalists, so that its
variance is pooled over them (that of the two-way layout; of differences of the same seed, in which
the seed's own effect cancels); where two differ by more than that from seed to seed, their own
variance counts. After each round, from the second on, every pair (i, j) has a bound: by how much i
may be better than j, at most. i is out for j once that is not more than `within`, the difference
that does not matter. Where either could be out for the other the cheaper one stays.

The bounds hold together: with a chance of at most `level` the bound of the best finalist against
any other is too low in any round. Their critical value is that of the smallest p of all rounds and
rivals, found by drawing races of equal finalists, once per number of finalists and of seeds. A
finalist that is out hands on to its heir whom it had put out, so that what is said of the last one
holds against all: nobody is better than it by more than `within`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.space.finalists import Finalists

DRAWS = 20_000
"""Races of equal finalists that the critical value is found by."""
LEAST = 1e-4
"""Standard deviation of a difference that is taken at least: equal scores are no certainty."""
Floats = NDArray[np.float64]


@dataclass
class Standing:
    """What is known after some rounds."""

    rounds: int
    """Complete ones."""
    bounds: Floats
    """(k, k): by how much row i may be better than column j, at most; infinite before a test."""
    means: Floats
    """(k,) of the seeds that it was trained with; NaN without one."""
    alive: list[int]
    """Finalists that are still in, in their order."""
    out: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By finalist that is out: after how many rounds, and for whom."""
    taken: int | None = None
    """The finalist that the race ends with; None: it goes on."""

    @classmethod
    def begun(cls, count: int) -> Standing:
        """Return what is known of so many finalists before the first round."""
        bounds = np.full((count, count), np.inf)
        np.fill_diagonal(bounds, 0.0)
        return cls(0, bounds, np.full(count, math.nan), list(range(count)))

    @property
    def over(self) -> bool:
        """Whether no more training is needed."""
        return self.taken is not None

    def decided(self, within: float) -> bool:
        """Return whether nobody may be better than the one that is taken by more than `within`."""
        return self.taken is not None and self.bound(self.taken) <= within

    def bound(self, finalist: int) -> float:
        """Return by how much any other may be better than a finalist, at most; 0 or more."""
        others = np.delete(self.bounds[:, finalist], finalist)
        return max(0.0, float(others.max())) if others.size else 0.0


def standing(
    scores: Floats, ended: NDArray[np.bool_], costs: Sequence[float], terms: Finalists
) -> Standing:
    """Return what the whole rounds of a race say.

    Args:
        scores: (k finalists, seeds) the greater the better; NaN where there is none.
        ended: (k, seeds) which trainings have ended, those that failed too. A round is whole when
            the trainings of all that are in have.
        costs: (k,) of each finalist; the smaller the better.
        terms: of the race.
    """
    found = Standing.begun(len(scores))
    heirs = [[finalist] for finalist in found.alive]
    while len(found.alive) > 1 and found.rounds < scores.shape[1]:
        if not ended[found.alive, found.rounds].all():
            break
        found.rounds += 1
        seen = scores[:, : found.rounds]
        found.means = mean_scores(seen)
        if found.rounds > 1:
            np.minimum(found.bounds, _upper(seen, terms), out=found.bounds)
            _eliminate(found, heirs, _order(found.means, costs), terms.within)
    if len(found.alive) == 1:
        found.taken = found.alive[0]
    elif found.rounds >= scores.shape[1]:
        found.taken = _cheapest(found, costs, terms.within)
    return found


@lru_cache(maxsize=64)
def critical_p(finalists: int, seeds: int, level: float) -> float:
    """Return the one-sided p at which a bound is drawn, for all of a race to hold at the level.

    Args:
        finalists: two or more.
        seeds: two or more.
        level: of the race.
    """
    from scipy.special import stdtr  # not above: the start of a search need not wait for it

    rng = np.random.default_rng(0)
    draws = min(DRAWS, 2_000_000 // (finalists * seeds))
    if draws * level < 50:  # too few to find it by: Bonferroni's is safe, and not much smaller
        return level / ((finalists - 1) * (seeds - 1))
    scores = rng.standard_normal((draws, finalists, seeds))
    least = np.ones(draws)
    for done in range(2, seeds + 1):
        seen = scores[:, :, :done]
        means = seen.mean(2)
        noise = seen - means[:, :, None] - seen.mean(1)[:, None] + means.mean(1)[:, None, None]
        freedom = (finalists - 1) * (done - 1)
        pooled = 2 * (noise**2).sum((1, 2)) / freedom
        own = (seen[:, 1:] - seen[:, :1]).var(2, ddof=1)
        error = np.sqrt(np.maximum(own, pooled[:, None]) / done)
        ahead = (means[:, 1:] - means[:, :1]) / error
        least = np.minimum(least, stdtr(freedom, -ahead.max(1)))
    return float(np.quantile(least, level))


class Differences(NamedTuple):
    """Of the pairs of finalists, over the seeds that both were trained with."""

    mean: Floats
    """(k, k) of row less column; 0 without a seed."""
    shared: NDArray[np.int_]
    """(k, k) seeds."""
    own: Floats
    """(k, k) variance of a difference of the two; 0 with less than two seeds."""
    pooled: float
    """Variance of a difference, over all pairs."""
    freedom: int
    """Of the pooled variance; 0: there is none."""


def differences(scores: Floats) -> Differences:
    """Return how finalists differ, (k, seeds) scores in which NaN is none."""
    known = np.isfinite(scores)
    both = known[:, None] & known
    filled = np.where(known, scores, 0.0)
    apart = np.where(both, filled[:, None] - filled, 0.0)
    shared = both.sum(2)
    mean = apart.sum(2) / np.maximum(shared, 1)
    in_common = known.sum(0)
    freedom = int(np.maximum(in_common - 1, 0).sum() - max(0, known.any(1).sum() - 1))
    squares = (apart**2).sum(2) - shared * mean**2
    weights = np.maximum(shared - 1, 0) * (1 - np.eye(len(scores), dtype=np.int_))
    if freedom < 1 or not weights.any():
        return Differences(mean, shared, squares, math.inf, 0)
    pooled = max(float(squares.sum() / weights.sum()), LEAST**2)
    return Differences(mean, shared, squares / np.maximum(weights, 1), pooled, freedom)


def _upper(scores: Floats, terms: Finalists) -> Floats:
    """Return the (k, k) bounds of this round alone; infinite where two share less than 2 seeds."""
    from scipy.special import stdtrit

    mean, shared, own, pooled, freedom = differences(scores)
    if not freedom:
        return np.full(mean.shape, np.inf)
    variance = np.maximum(own, pooled)
    p = critical_p(len(scores), terms.seeds, terms.level)
    half = -float(stdtrit(freedom, p)) * np.sqrt(variance / np.maximum(shared, 1))
    return np.where(shared >= 2, mean + half, np.inf)


def mean_scores(scores: Floats) -> Floats:
    """Return the (k,) means of the scores that there are; NaN without one."""
    known = np.isfinite(scores)
    trained = known.sum(1).astype(np.float64)
    trained[trained == 0] = np.nan
    means: Floats = np.where(known, scores, 0.0).sum(1) / trained
    return means


def _order(means: Floats, costs: Sequence[float]) -> list[int]:
    """Return the finalists in the order in which they are preferred where they are equal."""
    best_first = np.argsort(-np.nan_to_num(means, nan=-np.inf), kind="stable")
    return sorted((int(one) for one in best_first), key=lambda one: costs[one])


def _eliminate(found: Standing, heirs: list[list[int]], order: list[int], within: float) -> None:
    """Take out who is shown to be no better than another one, the least preferred first.

    It goes out for the most preferred of those that cover it.
    """
    place = {one: at for at, one in enumerate(order)}
    while True:
        # Whether all that the row stands for may be better than the column by `within` only.
        covered = np.array([(found.bounds[heir] <= within).all(0) for heir in heirs])
        pairs = [
            (loser, stays)
            for loser in found.alive
            for stays in found.alive
            if loser != stays and covered[loser, stays]
        ]
        if not pairs:
            return
        loser, stays = max(pairs, key=lambda pair: (place[pair[0]], -place[pair[1]]))
        found.alive.remove(loser)
        found.out[loser] = found.rounds, stays
        heirs[stays] = [*heirs[stays], *heirs[loser]]


def _cheapest(found: Standing, costs: Sequence[float], within: float) -> int:
    """Return the cheapest of those that are in whose mean is as good as the highest.

    Where no training has a score, the search's best.
    """
    scored = [one for one in found.alive if np.isfinite(found.means[one])]
    if not scored:
        return found.alive[0]
    highest = max(found.means[one] for one in scored)
    near = [one for one in scored if not found.means[one] < highest - within] or scored
    order = _order(found.means, costs)
    return min(near, key=order.index)

"""The chance of each finalist of a race to be the best, over seeds and over validation pairs.

Other seeds would give other scores, and other pairs would, too. The scores tell what seeds do, and
which pairs each net judged right what pairs do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from facesiam.evaluation.right_pairs import Bools
from search.analysis.elimination import Floats, differences, mean_scores

DRAWS = 20_000
"""Worlds that chances are counted in."""
PARTS = 50
"""Shares of noise in the scatter of the finalists that chances are reckoned with."""


def chances(scores: Floats, of_pairs: float = 0.0, draws: int = DRAWS) -> Floats | None:
    """Return the chance of each finalist to be the best, given the scores.

    The levels of finalists scatter about their mean, as normal numbers do, with a deviation that
    the scores tell: where that is little beside the noise, a lead is little, too. The noise's part
    of the scatter has a uniform prior, the mean a flat one (Daniels, "A prior for the variance in
    hierarchical models", Canadian Journal of Statistics 27, 1999; Gelman et al., Bayesian Data
    Analysis, 3rd edition, section 5.4).

    Args:
        scores: (k, seeds) as in ``elimination.standing``.
        of_pairs: variance of a level from one sample of pairs to another (``pair_variance``).
        draws: worlds that the chances are counted in.

    Returns:
        (k,) that sum to 1; None where no two finalists have two seeds. One that has no seed in
        common with the finalist that has most cannot be compared, and has a chance of 0.
    """
    *_, pooled, freedom = differences(scores)
    if not freedom:
        return None
    levels = _levels(scores)
    known = np.flatnonzero(np.isfinite(levels))
    rng = np.random.default_rng(0)
    variance = pooled / 2 * freedom / rng.chisquare(freedom, (draws, 1))
    noise = variance / np.isfinite(scores[known]).sum(1) + of_pairs
    wins = _drawn_levels(rng, levels[known], noise).argmax(1)
    return np.bincount(known[wins], minlength=len(scores)) / draws


def pair_variance(right: Sequence[Mapping[int, Bools]]) -> float:
    """Return the variance of a level from one sample of validation pairs to another.

    It is half that of the difference of two finalists, the mean over all two, without what is
    noise of the seeds: in the layout of seeds and pairs, that of the pairs' own effects.

    Args:
        right: of each finalist by seed, which of the same pairs were judged right, (P,).

    Returns:
        The variance; 0 where no two finalists share two seeds.
    """
    found = []
    for one, other in combinations(right, 2):
        shared = sorted(one.keys() & other.keys())
        if len(shared) < 2:
            continue
        apart = np.array([one[seed].astype(float) - other[seed] for seed in shared])  # (S, P)
        seeds, pairs = apart.shape
        each = apart.mean(0)
        rest = apart - apart.mean(1, keepdims=True) - each + apart.mean()
        noise = (rest**2).sum() / ((seeds - 1) * (pairs - 1))
        found.append((each.var(ddof=1) - noise / seeds) / pairs)
    return max(0.0, float(np.mean(found))) / 2 if found else 0.0


def _drawn_levels(rng: np.random.Generator, seen: Floats, noise: Floats) -> Floats:
    """Return (draws, k) true levels that are as likely as the k mean scores make them.

    Args:
        rng: draws.
        seen: (k,) mean scores.
        noise: (draws, k) variance of each.
    """
    typical = noise.mean(1)
    parts = (np.arange(PARTS) + 0.5) / PARTS
    spreads = typical[:, None] * (1 / parts - 1)  # (draws, parts) variance of the true levels

    def middle(spread: Floats) -> tuple[Floats, Floats]:
        """Return the mean of the levels, and its precision, for a variance for each draw."""
        precisions = 1 / (noise + spread[:, None])
        total = precisions.sum(1)
        return (precisions * seen).sum(1) / total, total

    likely = np.empty(spreads.shape)
    for at in range(PARTS):
        mean, total = middle(spreads[:, at])
        width = noise + spreads[:, at, None]
        misfit = (seen - mean[:, None]) ** 2 / width + np.log(width)
        likely[:, at] = -0.5 * (np.log(total) + misfit.sum(1))
    # The largest of these with Gumbel's noise is drawn as often as its likelihood says.
    chosen = (likely + rng.gumbel(size=likely.shape)).argmax(1)
    spread = spreads[np.arange(len(spreads)), chosen]
    mean, total = middle(spread)
    mean = mean + rng.standard_normal(len(mean)) / np.sqrt(total)
    kept = spread[:, None] / (spread[:, None] + noise)
    levels = mean[:, None] + kept * (seen - mean[:, None])
    return np.asarray(levels + np.sqrt(kept * noise) * rng.standard_normal(levels.shape))


def _levels(scores: Floats) -> Floats:
    """Return each finalist's level: its mean over what the seeds that it had gave to others.

    Who went out early is compared with the one that had most seeds, on the seeds of both.
    """
    longest = int(np.isfinite(scores).sum(1).argmax())
    levels: Floats = mean_scores(scores)[longest] + mean_scores(scores - scores[longest])
    return levels

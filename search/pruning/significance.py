"""Standard error, interval and critical value of a measure on P validation pairs.

Training accuracies and losses have no standard error here; scatter.py estimates their noise.
"""

from __future__ import annotations

import functools
import math

from facesiam.evaluation.metrics import wilson
from facesiam.objective import Objective

NOISY = ("val_acc", "val_auc")
"""Metrics with a standard error, both of them shares of which more is better."""
Z = 1.959964
"""Standard errors to the edge of a 95 % interval."""


def is_known(objective: Objective) -> bool:
    """Say whether the standard error of an objective is known, and more of it is better."""
    return objective.metric in NOISY and objective.maximizes


def standard_error(metric: str, value: float, pairs: int) -> float:
    """Return the standard error of a share, in [0, 1]; 0 where it is not known.

    Of an accuracy that of a binomial share. Of an area under the ROC curve that of Hanley and
    McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    share, each = min(1.0, max(0.0, value)), pairs / 2
    if metric not in NOISY or not pairs:
        return 0.0
    if metric == "val_acc":
        return math.sqrt(share * (1 - share) / pairs)
    beside, above = share / (2 - share), 2 * share**2 / (1 + share)
    spread = share * (1 - share) + (each - 1) * (beside + above - 2 * share**2)
    return math.sqrt(max(0.0, spread)) / each


def interval(metric: str, value: float, pairs: int) -> tuple[float, float]:
    """Return the 95 % interval of a metric in NOISY: Wilson's, or Hanley and McNeil's."""
    if metric == "val_acc":
        return wilson(round(value * pairs), pairs)
    away = Z * standard_error(metric, value, pairs)
    return max(0.0, value - away), min(1.0, value + away)


@functools.cache
def critical_auc_deviation(pairs: int, looks: int, level: float) -> float:
    """Return how far from a half guessing brings the area under the ROC curve, at this level.

    Without ties the area is Mann and Whitney's U over m n, with a variance of (P + 1) / 12 m n
    where m + n = P; the normal tail is above the exact one that far out.
    """
    from scipy.stats import norm  # half a second to import: not before the first trial runs

    each = pairs / 2
    deviation = math.sqrt((pairs + 1) / (12 * each * each))
    return float(norm.isf(level / (2 * looks))) * deviation


@functools.cache
def critical_deviation(looks: int, level: float) -> float:
    """Return how many standard deviations normal noise comes to on one side, at this level."""
    from scipy.stats import norm  # half a second to import: not before the first trial runs

    return float(norm.isf(level / looks))


@functools.cache
def critical_loss_gain(pairs: int, looks: int, level: float) -> float:
    """Return how far below ln 2, in nats, guessing brings the mean cross-entropy, at this level.

    Markov's bound on the likelihood ratio of the net and a fair coin; docs/pruning.md has the
    argument.
    """
    return (math.log(looks / level) + 0.5 * math.log(math.pi * pairs / 2)) / pairs


@functools.cache
def critical_accuracy(pairs: int, looks: int, level: float) -> float:
    """Return the accuracy that a net which guesses reaches with at most this probability.

    The exact two-sided binomial bound for ``pairs`` fair coins, with the level divided by the
    number of ``looks`` (Bonferroni). Above 1 where so few pairs cannot show anything.
    """
    from scipy.stats import binom  # half a second to import: not before the first trial runs

    tail = level / (2 * looks)
    # isf gives the smallest k with P(X > k) <= tail; the bound itself must be as unlikely.
    right = int(binom.isf(tail, pairs, 0.5)) + 1
    return right / pairs


@functools.cache
def critical_calibrated_accuracy(pairs: int, looks: int, level: float) -> float:
    """Return ``critical_accuracy`` of a net whose threshold is chosen on the same pairs.

    The exact one-sided bound of Smirnov's test of two samples, by the reflection principle;
    docs/pruning.md has the argument.
    """
    half = pairs // 2
    tail, chance, above = level / looks, 1.0, 0
    while chance > tail and above <= half:
        above += 1
        chance *= (half - above + 1) / (half + above)
    return (half + above) / pairs

"""What chance does to a measure: its standard error, its interval, and how far guessing gets.

Of P validation pairs, half of each kind. Training accuracies and losses come without an error.
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
    """Say whether the noise of what a search is for is known, and more of it is better."""
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
def auc_edge(pairs: int, looks: int, level: float) -> float:
    """Return how far from a half an area under the ROC curve gets by guessing, at this level.

    Without ties the area is Mann and Whitney's U over the pairs of pairs, with a variance of
    (n + 1) / 12 m n where m + n = P; the normal tail is above the exact one that far out.
    """
    from scipy.stats import norm  # half a second to import: not before the first trial runs

    each = pairs / 2
    deviation = math.sqrt((pairs + 1) / (12 * each * each))
    return float(norm.isf(level / (2 * looks))) * deviation


@functools.cache
def loss_edge(pairs: int, looks: int, level: float) -> float:
    """Return how far below ln 2, in nats, guessing gets the mean cross-entropy, at this level.

    However sure its answers are, of fair coins a net's likelihood over that of a coin, e^(P gain),
    has a mean of 1, so that it is above x with a chance of 1 / x (Markov). That exactly half of
    the pairs are of each kind makes it at most √(π P / 2) times as large.
    """
    return (math.log(looks / level) + 0.5 * math.log(math.pi * pairs / 2)) / pairs

"""Calibration of scores: the threshold of "same", and the slope that makes them log-odds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from facesiam.evaluation.metrics import checked

STEEPEST = 30.0
"""Largest log-odds that the slope gives to a pair where the threshold makes no mistake."""


def calibration(score: ArrayLike, label: ArrayLike) -> tuple[float, float]:
    """Return the threshold that predicts most of the P pairs right, and the slope of the scores.

    The threshold lies between two scores; of several that are equally good, the middle one is
    returned. With the slope, 1 / (1 + exp(-slope (score - threshold))) is the probability of
    "same" of the highest likelihood (Platt's scaling with a given offset); the slope is at least
    1e-3. Where the threshold makes no mistake, the likelihood grows with the slope without end;
    the slope then gives log-odds of 30 to the pair that is farthest from the threshold.

    Args:
        score: (P,) higher where the two images are more alike.
        label: (P,) 0 same, 1 different.

    Raises:
        ValueError: as ``accuracy``; no pair; a score is not finite.
    """
    scores, same = checked(score, label)
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError("calibration needs pairs, and scores that are finite")
    values = np.unique(scores)  # ascending
    group = np.searchsorted(values, scores)
    size = len(values)
    same_below = np.concatenate([[0], np.cumsum(np.bincount(group[same], minlength=size))])
    other_below = np.concatenate([[0], np.cumsum(np.bincount(group[~same], minlength=size))])
    right = other_below + same_below[-1] - same_below  # with the threshold above so many values
    best = np.flatnonzero(right == right.max())
    at = int(best[len(best) // 2])
    ends = np.concatenate([values[:1] - 1e-6, values, values[-1:] + 1e-6])
    threshold = float((ends[at] + ends[at + 1]) / 2)
    signed = np.where(same, 1.0, -1.0) * (scores - threshold)
    farthest = float(np.abs(signed).max())  # not 0: the threshold lies between two scores
    low, high = math.log(1e-3), math.log(max(2e-3, min(1e4, STEEPEST / farthest)))
    for _ in range(60):  # the likelihood has one peak: its slope is searched for a change of sign
        middle = (low + high) / 2
        # tanh, as exp overflows: 1 / (1 + exp(x)) is (1 - tanh(x / 2)) / 2.
        rising = float((signed * (1 - np.tanh(math.exp(middle) * signed / 2))).sum())
        low, high = (middle, high) if rising > 0 else (low, middle)
    return threshold, math.exp((low + high) / 2)

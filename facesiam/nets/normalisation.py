"""Adaptive s-norm: a score relative to those that its two images have with other people.

An image that is alike to everybody (dark, or of an average face) has high scores with all; its
scores are made comparable with others' by the mean and the deviation of the highest of its scores
with a cohort of people. Source: P. Matejka et al., "Analysis of score normalization in
multilingual speaker recognition", Interspeech 2017 (adaptive s-norm, the variant of equation 5
with each side's own cohort).
"""

from __future__ import annotations

from torch import Tensor

LEAST = 1e-4
"""Smallest deviation that is divided by: of a net that gives every image the same embedding."""


def normalised(scores: Tensor, left: Tensor, right: Tensor, nearest: int) -> Tensor:
    """Return the mean of a score's distances from the two sides' own cohorts, in deviations.

    Args:
        scores: of pairs, (P,) or (A, B).
        left: scores of each first image with the N people of the cohort, (P, N), or (A, N).
        right: of each second one, (P, N), or (B, N).
        nearest: how many of the cohort count, the highest scores of each image; all where there
            are fewer.
    """
    sides = []
    for side, shape in ((left, (-1, 1)), (right, (1, -1))):
        top = side.topk(min(nearest, side.shape[1]), dim=1).values
        mean, deviation = top.mean(1), top.std(1).clamp(min=LEAST)
        if scores.ndim == 2:
            mean, deviation = mean.reshape(shape), deviation.reshape(shape)
        sides.append((scores - mean) / deviation)
    return (sides[0] + sides[1]) / 2

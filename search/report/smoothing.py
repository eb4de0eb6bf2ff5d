"""The mean score near each place of two settings, smoothed over the trials that lie there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAR = 0.3
"""Trials, in weight, without which a place has no mean: one that is 1.5 widths away."""


def kernel_mean(
    places: tuple[Floats, Floats],
    values: Floats,
    grid: tuple[Floats, Floats],
    widths: tuple[float, float],
) -> Floats:
    """Return the kernel-weighted mean (Nadaraya and Watson) of the values on a grid.

    Args:
        places: (n,) twice: where each value lies along the two axes.
        values: (n,) what is averaged.
        grid: (X,) and (Y,) places along each axis.
        widths: of the Gaussian kernel along each; 0 where only equal places count.

    Returns:
        (X, Y) means; NaN where no value is near.
    """
    along, across = (
        _weights(at, place, width) for at, place, width in zip(grid, places, widths, strict=True)
    )
    weight = along @ across.T
    mean: Floats = np.full(weight.shape, np.nan)
    np.divide((along * values) @ across.T, weight, out=mean, where=weight >= NEAR)
    return mean


def _weights(grid: Floats, places: Floats, width: float) -> Floats:
    """Return the (G, n) weights of the values at the grid's places."""
    apart = grid[:, None] - places[None, :]
    weights: Floats = np.exp(-0.5 * (apart / width) ** 2) if width else (apart == 0).astype(float)
    return weights

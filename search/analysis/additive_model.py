"""A linear model of accuracy on the levels of several settings, which act additively in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.analysis.levels import INACTIVE, Levels

Floats = NDArray[np.float64]
CLOSE = 1e-6
"""Rounding that a contrast which the trials determine may have."""


@dataclass(frozen=True)
class AdditiveModel:
    """Least squares of accuracy on one indicator a level."""

    inverse: Floats
    """(C, C) pseudo-inverse of the design's cross product."""
    determined: Floats
    """(C, C) projection on the contrasts that the trials determine."""
    coefficients: Floats
    """(C,) in no unique choice; differences within a setting are unique where determined."""
    noise: float
    """Variance of the residuals."""
    freedom: int
    """Trials less independent coefficients."""
    column: Mapping[tuple[str, int], int]
    """Of each setting's level."""

    def difference(self, name: str, before: int, after: int) -> tuple[float, float] | None:
        """Return the difference of two levels and its standard error; None: not determined.

        Two settings that change together leave the effect of neither determined.
        """
        contrast = np.zeros(len(self.coefficients))
        for level, sign in ((after, 1.0), (before, -1.0)):
            if (name, level) not in self.column:
                return None
            contrast[self.column[name, level]] = sign
        if np.abs(contrast @ self.determined - contrast).max() > CLOSE:
            return None
        error = math.sqrt(self.noise * float(contrast @ self.inverse @ contrast))
        return float(contrast @ self.coefficients), error


def fit(accuracy: Floats, table: Mapping[str, Levels]) -> AdditiveModel | None:
    """Fit the model; None where there are fewer than two trials per coefficient.

    Args:
        accuracy: (trials,) to be explained.
        table: the levels of every setting that varies, by name.
    """
    column: dict[tuple[str, int], int] = {}
    parts: list[Floats] = [np.ones(len(accuracy))]
    for name, levels in table.items():
        for level in range(INACTIVE, len(levels.labels)):
            here = levels.of == level
            if here.any():
                column[name, level] = len(parts)
                parts.append(here.astype(np.float64))
    design = np.column_stack(parts)
    rank = int(np.linalg.matrix_rank(design))
    freedom = len(accuracy) - rank
    if freedom < rank:
        return None
    cross = design.T @ design
    inverse = np.asarray(np.linalg.pinv(cross, hermitian=True), dtype=np.float64)
    coefficients = inverse @ design.T @ accuracy
    noise = float(((accuracy - design @ coefficients) ** 2).sum()) / freedom
    return AdditiveModel(inverse, inverse @ cross, coefficients, noise, freedom, column)

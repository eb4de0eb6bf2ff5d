"""The density of Optuna's Parzen estimator at many points of a finite space at once.

Optuna's own ``log_pdf`` computes each setting of each point under each kernel: 40 ms for 1,000
points and 1,000 kernels, at every suggestion. A kernel is a product over settings. Here the
settings are split in two halves, so that the sum over kernels is a product of two matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _BatchedDistributions,
)

Floats = npt.NDArray[np.float64]


def log_density(estimator: _ParzenEstimator, points: Floats) -> Floats:
    """Return the logarithm of the density at each point.

    Args:
        estimator: of settings that have finitely many values each.
        points: a row a point, a column a setting in the estimator's order, as Optuna counts.

    Returns:
        As ``estimator.log_pdf``, to within rounding.
    """
    mixture = estimator._mixture_distribution
    middle = points.shape[1] // 2
    halves = []
    for columns in (range(middle), range(middle, points.shape[1])):
        distinct, place = np.unique(points[:, columns], axis=0, return_inverse=True)
        kernels = _kernels([mixture.distributions[column] for column in columns], distinct)
        halves.append((kernels, place.reshape(-1)))
    (first, at_first), (second, at_second) = halves
    table = (first * mixture.weights) @ second.T
    with np.errstate(divide="ignore"):
        found: Floats = np.log(table[at_first, at_second])
    return found


def _kernels(distributions: Sequence[_BatchedDistributions], points: Floats) -> Floats:
    """Return the density of each kernel (column) at each point (row)."""
    product = np.ones((len(points), 1))
    for column, distribution in enumerate(distributions):
        values, place = np.unique(points[:, column], return_inverse=True)
        product = product * _masses(distribution, values)[place.reshape(-1)]
    return product


def _masses(distribution: _BatchedDistributions, values: Floats) -> Floats:
    """Return the mass of each value (row) in each kernel (column) of one setting."""
    if isinstance(distribution, _BatchedCategoricalDistributions):
        return distribution.weights.T[values.astype(np.int64)]
    from scipy.special import ndtr

    assert distribution.step, "a continuous setting has no masses"
    edges = values[:, None] + np.array([-0.5, 0.5]) * distribution.step
    if distribution.is_log:
        edges = np.log(edges)

    def below(edge: Floats | float) -> Floats:
        found: Floats = ndtr((edge - distribution.mu) / distribution.sigma)
        return found

    whole = below(distribution.adapted_high) - below(distribution.adapted_low)
    return (below(edges[:, 1:]) - below(edges[:, :1])) / whole

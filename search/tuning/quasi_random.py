"""The quasi-random sampler: points of a scrambled Sobol sequence, spread evenly over the space.

The n-th trial takes the n-th point, which has a coordinate for each searched setting: the share of
the way through its choices or its range. A coordinate of a setting that is not active is not used.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from facesiam.config import Value
from search.space import SearchSpace
from search.space.combinations import base
from search.space.domains import active
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.nearest import nearest_untried
from search.tuning.trial_ranking import Progress, TrialEnd


class QuasiRandom:
    """The points of a space, one after the other.

    Args:
        space: what is searched; its seed scrambles the sequence.
    """

    keeps_state = False

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._count = 0
        self._points: npt.NDArray[np.float64] = np.empty((0, 0))

    def enter(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Count a trial."""
        self._count += 1

    def tell(self, trial: str, end: TrialEnd) -> None:
        """Nothing: scores do not matter."""

    def ready(self, startup: int, running: Mapping[str, Progress]) -> bool:
        """Return that it chooses every trial."""
        return True

    def suggest(self, seed: int) -> dict[str, Value]:
        """Return the settings at the next point."""
        if self._count >= len(self._points):
            self._points = self._first(self._count + 1)
        settings, point = base(self.space.fixed), self._points[self._count].tolist()
        for (name, domain), share in zip(self.space.ordered(), point, strict=True):
            if active(domain, settings):
                settings[name] = domain.at(share)
        return settings

    def untried(self, pool: ConfigurationPool, seed: int) -> dict[str, Value] | None:
        """Return the untried configuration that is nearest to the next point."""
        return nearest_untried(self.space, pool, self.suggest(seed), seed)

    def _first(self, count: int) -> npt.NDArray[np.float64]:
        """Return at least so many of the sequence's first points, in [0, 1), a row each."""
        from scipy.stats.qmc import Sobol

        sequence = Sobol(len(self.space.search), rng=np.random.default_rng(self.space.seed))
        found: npt.NDArray[np.float64] = sequence.random_base2((count - 1).bit_length())
        return found

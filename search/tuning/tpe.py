"""The TPE sampler: Optuna's Parzen estimators over trials ordered by ``trial_ranking.py``.

The best tenth of the trials of which something is known are the good ones, of which the density l
is estimated. All others, those that run included, make the density g. Of 24 configurations drawn
from l the one with the greatest l / g is suggested. Where that one was tried before, the untried
ones are ranked by the same ratio: all of a finite space, or those among 512 draws from l.

Settings without a condition are drawn together. A setting with a condition is drawn by itself,
from the trials in which it was active. The ratio of a configuration is the product over the parts.

Optuna's own ``TPESampler`` does the same, and a test holds them equal, but for three things that
it cannot be told: the order of the trials, that a trial which learned nothing is never a good one,
and that a configuration is tried once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_gamma, default_weights

from facesiam.config import Value
from search.space import SearchSpace
from search.space.domains import Domain, active
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.density import log_density
from search.tuning.distributions import distributions, settings_of
from search.tuning.trial_ranking import Progress, TrialEnd, TrialRanking

CANDIDATES = 24
"""Draws from l, of which the best is suggested; Optuna's number."""
MORE = 512
"""Draws from l where that one was tried before and the space cannot be listed."""
PARAMETERS = _ParzenEstimatorParameters(
    prior_weight=1.0,
    consider_magic_clip=True,
    consider_endpoints=False,
    weights=default_weights,
    multivariate=True,
)
"""Optuna's defaults."""
Points = npt.NDArray[np.float64]
"""A configuration a row, a searched setting a column, as Optuna's distributions count; NaN where
a setting is not active."""


class Tpe:
    """The trials of a search and their outcomes, from which the next settings are chosen.

    Args:
        space: what is searched.
    """

    keeps_state = False

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.ranking = space, TrialRanking(space.objective)
        ordered = [(name, domain) for name, domain in space.ordered() if domain.count() != 1]
        self.domains: dict[str, Domain] = dict(ordered)
        self.shapes = distributions(space)
        self.columns = {name: column for column, name in enumerate(self.domains)}
        self.parts = [sorted(name for name, domain in ordered if not domain.when)]
        self.parts += [[name] for name, domain in ordered if domain.when]
        self.parts = [part for part in self.parts if part]
        self._points: Points = np.empty((16, len(ordered)))
        self._numbers: dict[str, int] = {}
        """By trial that has not ended, its row in the points."""
        self._count = 0
        self._forgotten: set[int] = set()
        """Rows of trials that failed before they had a score."""
        self._running: dict[int, Progress] = {}
        self._listed: Points | None = None
        """Every configuration of the space, where it is listed."""

    def enter(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Enter a trial that runs."""
        if self._count == len(self._points):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
        self._points[self._count] = self.point(settings)
        self._numbers[trial] = self._count
        self._count += 1

    def tell(self, trial: str, end: TrialEnd) -> None:
        """Enter the end of a trial."""
        number = self._numbers.pop(trial, None)
        if number is None:
            return
        if not self.ranking.tell(number, end):
            self._forgotten.add(number)

    def ready(self, startup: int, running: Mapping[str, Progress]) -> bool:
        """Say whether TPE is to choose the next trial.

        Args:
            startup: how many trials are drawn at random first.
            running: progress of the trials that run; the next suggestion rests on it, too.

        Returns:
            Whether so many trials have begun, without those that failed before they had a score,
            and at least one has a score.
        """
        went = running.items()
        self._running = {self._numbers[name]: it for name, it in went if name in self._numbers}
        _, known = self.ranking.order(self._running)
        return self._count - len(self._forgotten) >= startup and known > 0

    def point(self, settings: Mapping[str, Value]) -> list[float]:
        """Return settings as a row of points; NaN where a value is not in the space."""
        return [
            float(self.shapes[name].to_internal_repr(settings[name]))
            if active(domain, settings) and domain.holds(settings[name])
            else np.nan
            for name, domain in self.domains.items()
        ]

    def state(self) -> tuple[Any, ...]:
        """Return all that the suggestions depend on."""
        points = [tuple(map(str, point)) for point in self._points[: self._count]]
        known = [self.ranking.expected().tolist(), self.ranking.worst]
        return points, sorted(self._numbers.items()), self._forgotten, known

    def suggest(self, seed: int) -> dict[str, Value]:
        """Return the best of some draws from l, part by part, tried before or not."""
        rng, models = np.random.RandomState(seed), self._models()
        settings = self._base()
        known: dict[str, float] = {}
        for part, (good, bad) in zip(self.parts, models, strict=True):
            if active(self.domains[part[0]], settings):
                drawn = good.sample(rng, CANDIDATES)
                best = int(np.argmax(good.log_pdf(drawn) - bad.log_pdf(drawn)))
                known |= {name: float(values[best]) for name, values in drawn.items()}
                settings = self._settings(known)
        return settings

    def untried(self, pool: ConfigurationPool, seed: int) -> dict[str, Value] | None:
        """Return the untried configuration that is ranked best; None where none is found."""
        if not pool.few():
            draws = self.draws(seed)
            return next((settings for settings in draws if pool.new(settings)), None)
        left = pool.left()
        if self._listed is None:
            self._listed = self.points(pool.names, pool.listed())
        if not left.size:
            return None
        return pool.settings(int(left[int(self.rank(self._listed[left]).argmax())]))

    def draws(self, seed: int) -> list[dict[str, Value]]:
        """Return distinct draws from l, the best first."""
        rng, models = np.random.RandomState(seed), self._models()
        columns = {
            name: values for good, _ in models for name, values in good.sample(rng, MORE).items()
        }
        drawn = [
            self._settings({name: float(values[draw]) for name, values in columns.items()})
            for draw in range(MORE)
        ]
        points = np.array([self.point(each) for each in drawn])
        ratios = self._ratios(models, points, _log_pdf)
        return [drawn[place] for place in np.argsort(-ratios, kind="stable")]

    def rank(self, points: Points) -> npt.NDArray[np.float64]:
        """Return log l - log g, (n,), of configurations of a finite space, (n, settings)."""
        return self._ratios(self._models(), points, log_density)

    def points(self, names: Sequence[str], listed: Iterable[Sequence[Value]]) -> Points:
        """Return configurations, given by the values of these settings, as points."""
        base = self._base()
        rows = [self.point(base | dict(zip(names, values, strict=True))) for values in listed]
        return np.array(rows).reshape(len(rows), len(self.domains))

    def _models(self) -> list[tuple[_ParzenEstimator, _ParzenEstimator]]:
        """Return the estimators of l and g, for each part of the settings."""
        best, known = self.ranking.order(self._running)
        good = np.zeros(self._count, dtype=np.bool_)
        good[best[: default_gamma(known)]] = True
        bad = ~good
        bad[list(self._forgotten)] = False
        points = self._points[: self._count]
        return [
            (self._estimator(part, points[good]), self._estimator(part, points[bad]))
            for part in self.parts
        ]

    def _estimator(self, part: Sequence[str], points: Points) -> _ParzenEstimator:
        seen = points[:, [self.columns[name] for name in part]]
        seen = seen[~np.isnan(seen).any(axis=1)]
        values = {name: seen[:, column] for column, name in enumerate(part)}
        return _ParzenEstimator(values, {name: self.shapes[name] for name in part}, PARAMETERS)

    def _ratios(
        self,
        models: Sequence[tuple[_ParzenEstimator, _ParzenEstimator]],
        points: Points,
        log: Callable[[_ParzenEstimator, Points], Points],
    ) -> npt.NDArray[np.float64]:
        ratios = np.zeros(len(points))
        for part, (good, bad) in zip(self.parts, models, strict=True):
            values = points[:, [self.columns[name] for name in part]]
            there = ~np.isnan(values).any(axis=1)
            if there.any():
                ratios[there] += log(good, values[there]) - log(bad, values[there])
        return ratios

    def _base(self) -> dict[str, Value]:
        return self._settings({})

    def _settings(self, values: Mapping[str, float]) -> dict[str, Value]:
        return settings_of(self.space, values)


def _log_pdf(estimator: _ParzenEstimator, points: Points) -> Points:
    names = estimator._search_space
    return estimator.log_pdf({name: points[:, column] for column, name in enumerate(names)})

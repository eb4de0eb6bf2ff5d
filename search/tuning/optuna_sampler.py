"""Optuna's samplers gp, cmaes, nsga2 and, for several metrics, tpe.

They are told of trials as ``trial_ranking.py`` values them.

Optuna keeps the trials in a study in memory. A trial that a rule stopped counts by its predicted
final score, and one that learned nothing like the worst of the others: these samplers know
complete trials only. Values are predicted anew before each suggestion.

Where the front of a metric against costs is searched, the study has a direction for each. A trial
has the predicted final score for its metric and the logarithm of what its net costs, which is
known from its first epoch on: half the latency is worth as much everywhere. One that learned
nothing costs as much as the dearest: a cheap net that guesses would be on the front otherwise.
Optuna refuses to prune such a study, and is not asked to: the search's own rules prune by the
metric.

CMA-ES and NSGA-II keep their state in the trials that they have suggested. A run that is resumed
has them suggest each of its trials again, from the same seeds, and comes to the same state.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from facesiam.config import Value
from search.space import SearchSpace
from search.space.algorithms import population
from search.space.domains import active
from search.tuning.configuration_pool import ConfigurationPool
from search.tuning.distributions import distributions
from search.tuning.nearest import nearest_untried
from search.tuning.trial_ranking import Progress, TrialEnd, TrialRanking

KINDS: dict[str, Callable[[SearchSpace, int], BaseSampler]] = {
    "tpe": lambda space, seed: TPESampler(seed=seed, n_startup_trials=1, multivariate=True),
    "gp": lambda space, seed: GPSampler(
        seed=seed, n_startup_trials=1, warn_independent_sampling=False
    ),
    "cmaes": lambda space, seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "nsga2": lambda space, seed: NSGAIISampler(
        seed=seed, population_size=population(space.count() or 0)
    ),
}
"""By name, what makes the sampler of a space with a seed."""


LEAST = 1e-9
"""A cost that has a logarithm, for one of 0."""


class OptunaSampler:
    """The trials of a search in a study of Optuna's.

    Args:
        space: what is searched, by one of KINDS.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.ranking = space, TrialRanking(space.objective)
        self.domains, self.shapes = dict(space.ordered()), distributions(space)
        self.keeps_state = space.algorithm not in ("gp", "tpe")
        with _quiet():
            down = StudyDirection.MINIMIZE
            directions = [StudyDirection.MAXIMIZE, *(down for _ in space.costs)]
            self._study = optuna.create_study(directions=directions)
        self._precisions: dict[int, Value | None] = {}
        """By number of a trial, the precision that it computes in."""
        self._nets: dict[int, tuple[Value | None, ...]] = {}
        """By number of a trial that has ended, what nets of the same cost share: their parameters,
        products and precision."""
        self._costs: dict[int, list[float]] = {}
        """By number of a trial that has ended, the logarithms of its costs; NaN: not known."""
        self._asked: int | None = None
        """Number of the trial that was suggested and not yet entered."""
        self._proposed: dict[str, Value] = {}
        self._numbers: dict[str, int] = {}
        """By trial that has not ended, its number in the study."""
        self._told = 0
        """How many of those that have ended had a score."""

    def enter(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Enter a trial that runs; its settings may be others than the suggested ones."""
        params = {
            name: settings[name]
            for name in self.shapes
            if active(self.domains[name], settings) and self.domains[name].holds(settings[name])
        }
        shapes = {name: self.shapes[name] for name in params}
        if self._asked is None and self.space.algorithm == "nsga2":
            self._sampler(0)
            self._asked = self._study.ask().number  # a member of the generation
        if self._asked is None:
            running = create_trial(state=TrialState.RUNNING, params=params, distributions=shapes)
            self._study.add_trial(running)
            self._asked = len(self._trials()) - 1
        else:
            frozen = self._trials()[self._asked]
            frozen.params, frozen.distributions = params, shapes
            # TPE's note of what it suggested, which a resumed run does not have.
            kept = {n: value for n, value in frozen.system_attrs.items() if "tpe:" not in n}
            frozen.system_attrs = kept
        self._precisions[self._asked] = settings.get("precision")
        self._numbers[trial], self._asked = self._asked, None

    def tell(self, trial: str, end: TrialEnd) -> None:
        """Enter the end of a trial."""
        number = self._numbers.pop(trial, None)
        if number is None:
            return
        if self.ranking.tell(number, end):
            cost = end.cost or {}
            known = [cost.get(name, math.nan) for name in self.space.costs]
            alike = cost.get("params"), cost.get("macs"), self._precisions[number]
            self._nets[number] = alike
            self._costs[number] = [math.log(max(each, LEAST)) for each in known]
            self._study.tell(number, [0.0, *(0.0 for _ in known)])  # until its value is predicted
            self._told += 1
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def ready(self, startup: int, running: Mapping[str, Progress]) -> bool:
        """Say whether so many trials have begun and one has a score; what runs has none here."""
        return self._told > 0 and self._told + len(self._numbers) >= startup

    def suggest(self, seed: int) -> dict[str, Value]:
        """Return what Optuna's sampler would try next, tried before or not."""
        trials = self._trials()
        for number, values in self._values().items():
            trials[number].values = values
        self._sampler(seed)
        with _quiet():
            asked = self._study.ask()
            self._asked, self._proposed = asked.number, self.space.suggest(asked)
        return self._proposed

    def untried(self, pool: ConfigurationPool, seed: int) -> dict[str, Value] | None:
        """Return the untried configuration that is nearest to what was suggested last."""
        return nearest_untried(self.space, pool, self._proposed, seed)

    def state(self) -> tuple[Any, ...]:
        """Return all that the suggestions depend on, but for what follows from the rest."""
        trials = [
            # CMA-ES pickles its optimizer with memory that it has not written to.
            (each.state, each.params, [i for i in each.system_attrs.items() if ":opt" not in i[0]])
            for each in self._trials()
        ]
        return trials, sorted(self._numbers.items()), self._values()

    def _values(self) -> dict[int, list[float]]:
        """Return by number what each trial counts for: its score, and the logarithms of its costs.

        What is not known of a cost counts as the dearest. Equal nets have the median of their
        costs: a measured latency scatters with the load of its machine.
        """
        scores, worst = self.ranking.values(), set(self.ranking.worst)
        of_net: dict[tuple[Value | None, ...], list[list[float]]] = {}
        for number, net in self._nets.items():
            of_net.setdefault(net, []).append(self._costs[number])
        counted = {
            number: self._costs[number]
            if None in net
            else [statistics.median(each) for each in zip(*of_net[net], strict=True)]
            for number, net in self._nets.items()
        }
        most = [
            max((cost for cost in costs if not math.isnan(cost)), default=0.0)
            for costs in zip(*counted.values(), strict=True)
        ]
        return {
            number: [
                score,
                *(
                    dearest if number in worst or math.isnan(cost) else cost
                    for cost, dearest in zip(counted[number], most, strict=True)
                ),
            ]
            for number, score in scores.items()
        }

    def _sampler(self, seed: int) -> None:
        self._study.sampler = KINDS[self.space.algorithm](self.space, seed)

    def _trials(self) -> list[FrozenTrial]:
        """Return the study's own trials, by number."""
        return self._study.get_trials(deepcopy=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this Optuna logs errors only: not each study, nor each package it could use."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)

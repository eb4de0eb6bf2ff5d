"""The samplers that bench_sampler.py compares: ours, the former one, Optuna's, and random."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

import optuna

from facesiam.config import Value
from search.pruning.scheduler import Scheduler
from search.pruning.stop_decision import StopDecision
from search.space import SearchSpace
from search.tuning.configuration_pool import key_of
from search.tuning.sampler import Sampler
from search.tuning.trial_ranking import TrialEnd, progress_of

Settings = dict[str, Value]


class SamplerUnderTest(Protocol):
    """What a search asks of a sampler."""

    def ask(self, scheduler: Scheduler) -> tuple[str, Settings] | None:
        """Return the next trial."""

    def epoch(self, trial: str, number: int, score: float) -> None:
        """Report an epoch."""

    def tell(
        self, trial: str, score: float, stop: StopDecision | None, scheduler: Scheduler
    ) -> None:
        """Report a trial's end."""


class Ours:
    """search.tuning.sampler, with the space's algorithm."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.sampler = space, Sampler(space)

    def ask(self, scheduler: Scheduler) -> tuple[str, Settings] | None:
        """Return the next trial, as the Recorder does."""
        going = scheduler.histories.items()
        found = self.sampler.next({name: progress_of(it, self.space) for name, it in going})
        return (found.trial, found.settings) if found else None

    def epoch(self, trial: str, number: int, score: float) -> None:
        """Nothing: it is told of ends."""

    def tell(
        self, trial: str, score: float, stop: StopDecision | None, scheduler: Scheduler
    ) -> None:
        """Report a trial's end as the Recorder does."""
        history = scheduler.histories.get(trial)
        went = progress_of(history, self.space) if history else None
        step, status = scheduler.step(trial) if history else 1, "stopped" if stop else "done"
        self.sampler.tell(trial, TrialEnd(score, step, status, stop.rule if stop else None, went))


def random_of(space: SearchSpace) -> Ours:
    """Return random search."""
    return Ours(dataclasses.replace(space, algorithm="random"))


class Optuna:
    """Optuna's own study and sampler, used as its tutorials use it."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=space.seed)
        )
        self.trials: dict[str, optuna.Trial] = {}

    def ask(self, scheduler: Scheduler) -> tuple[str, Settings] | None:
        """Return the next trial."""
        if len(self.trials) == self.space.trials:
            return None
        trial = self.study.ask()
        name = f"{len(self.trials) + 1:04d}"
        self.trials[name] = trial
        return name, self.space.suggest(trial)

    def epoch(self, trial: str, number: int, score: float) -> None:
        """Report an epoch."""
        self.trials[trial].report(score, number)

    def tell(
        self, trial: str, score: float, stop: StopDecision | None, scheduler: Scheduler
    ) -> None:
        """Report a trial's end."""
        if stop:
            self.study.tell(self.trials[trial], state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(self.trials[trial], score)


class Before(Optuna):
    """What search.tuning.sampler did before it had an order of its own."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.seen: set[str] = set()

    def ask(self, scheduler: Scheduler) -> tuple[str, Settings] | None:
        """Return the next trial: of 200 draws the first that is new, or the file's first."""
        number = len(self.trials)
        if number == self.space.trials:
            return None
        for attempt in range(200):
            rng = random.Random(f"{self.space.seed}/{number}/{attempt}")
            self.study.sampler = optuna.samplers.TPESampler(seed=rng.getrandbits(31))
            trial = self.study.ask()
            settings = self.space.suggest(trial)
            if key_of(settings) not in self.seen:
                return self._take(trial, settings)
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        settings = next(s for s in self.space.grid() if key_of(s) not in self.seen)
        self.study.enqueue_trial(dict(settings))
        trial = self.study.ask()
        return self._take(trial, self.space.suggest(trial))

    def epoch(self, trial: str, number: int, score: float) -> None:
        """Nothing: it is told of ends."""

    def tell(
        self, trial: str, score: float, stop: StopDecision | None, scheduler: Scheduler
    ) -> None:
        """Report a trial's end: of one that was stopped its best score, at its last step."""
        if stop:
            self.trials[trial].report(score, scheduler.step(trial))
        super().tell(trial, score, stop, scheduler)

    def _take(self, trial: optuna.Trial, settings: Settings) -> tuple[str, Settings]:
        name = f"{len(self.trials) + 1:04d}"
        self.trials[name] = trial
        self.seen.add(key_of(settings))
        return name, settings


SAMPLERS: dict[str, Callable[[SearchSpace], SamplerUnderTest]] = {
    "ours": Ours,
    "before": Before,
    "optuna": Optuna,
    "random": random_of,
}

"""Ray's own schedulers as policies of the simulator.

A score of NaN is handed over as the worst infinity: HyperBand ranks a NaN as Python's sort happens
to, and ASHA stops no trial that has one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule

from facesiam.config.rounding import rounded_up
from facesiam.objective import Objective
from search.pruning.simulator import Arrival, NoPruning
from search.pruning.stop_decision import PAUSE, StopDecision

AGE = "age"
"""What the schedulers read a trial's epochs from."""


class RayAsha(NoPruning):
    """Ray's own ASHAScheduler, given the score of each epoch.

    Args:
        settings: grace and factor of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """

    def __init__(self, settings: Mapping[str, Any], objective: Objective, longest: int) -> None:
        self.objective, self.metric = objective, objective.metric
        self.ray: Any = ASHAScheduler(
            time_attr=AGE,
            metric=objective.metric,
            mode=objective.mode,
            max_t=longest,
            stop_last_trials=False,
            grace_period=settings["grace"],
            reduction_factor=settings["factor"],
        )

    def begin(self, run: Arrival) -> None:
        """Add a run that starts."""
        self.add(run.name)

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Return a decision where Ray stops the run."""
        score = _score(run, epoch, self.objective)
        if score is None or not self.stops(run.name, epoch + 1, score):
            return None
        return StopDecision("asha", "", epoch)

    def add(self, trial: str) -> None:
        """Take note of a trial."""
        self.ray.on_trial_add(None, _Trial(trial))

    def stops(self, trial: str, epochs: int, score: float) -> bool:
        """Enter the score after so many epochs, and say whether the trial stops."""
        result = {AGE: epochs, self.metric: score}
        return bool(self.ray.on_trial_result(None, _Trial(trial), result) == ASHAScheduler.STOP)


class RayPausing(NoPruning):
    """A scheduler of Ray's that pauses trials; this is the controller that it expects.

    It knows all runs from the start, as those of Ray's own generator are pending at once.

    Args:
        scheduler: of Ray, which reads AGE.
        rule: what a stop is called.
        objective: what the scheduler compares.
        scale: AGE of a trial after one epoch.
    """

    def __init__(
        self, scheduler: Any, rule: str, objective: Objective, scale: float = 1.0
    ) -> None:
        self.ray, self.rule, self.objective, self.scale = scheduler, rule, objective, scale
        self.trials: dict[str, _Trial] = {}

    def expect(self, runs: Sequence[Arrival]) -> None:
        """Add the runs as pending trials."""
        for run in runs:
            self.trials[run.name] = _Trial(run.name)
            self.ray.on_trial_add(self, self.trials[run.name])

    def begin(self, run: Arrival) -> None:
        """Set a run's status."""
        self.trials[run.name].status = Trial.RUNNING

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Return Ray's decision; a run that ends goes to no scheduler's decision, as in Tune."""
        trial, score = self.trials[run.name], _score(run, epoch, self.objective)
        trial.last_result = {AGE: (epoch + 1) * self.scale, self.objective.metric: score}
        if epoch + 1 == len(run.curve.rows):
            self.stop_trial(trial)
            return None
        action = (
            None if score is None else self.ray.on_trial_result(self, trial, trial.last_result)
        )
        if action == HyperBandScheduler.STOP:
            self.stop_trial(trial)
            return StopDecision(self.rule, "", epoch)
        if action == HyperBandScheduler.PAUSE:
            trial.status = Trial.PAUSED
            return PAUSE
        return None

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Return the run that Ray chooses."""
        trial = self.ray.choose_trial_to_run(self)
        if trial is None:
            return None
        if trial.status == Trial.PAUSED:
            trial.status = Trial.RUNNING
            return paused[trial.trial_id]
        return new.get(trial.trial_id)

    def stop_trial(self, trial: _Trial) -> None:
        """End a trial, as the scheduler asks for, and tell it so."""
        if trial.status in (Trial.PENDING, Trial.PAUSED):
            self.ray.on_trial_remove(self, trial)
        elif trial.status == Trial.RUNNING:
            self.ray.on_trial_complete(self, trial, trial.last_result)
        trial.status = Trial.TERMINATED

    def get_trials(self) -> list[_Trial]:
        """Return all trials."""
        return list(self.trials.values())

    def get_live_trials(self) -> list[_Trial]:
        """Return the trials that have not ended."""
        return [trial for trial in self.trials.values() if trial.status != Trial.TERMINATED]


def hyperband(objective: Objective, longest: int, factor: int = 3) -> RayPausing:
    """Return Ray's HyperBandScheduler, which has no grace; its factor is 3 by default.

    It rounds the epochs of each bracket down, so that for 50 the trials of one bracket would end
    after 48 and those of another after 27. So that all of them can come to their end, age is
    counted in parts of a trial of which there are a power of the factor.
    """
    logging.getLogger(HyperBandScheduler.__module__).setLevel(logging.WARNING)
    parts = factor ** rounded_up(math.log(longest, factor))
    scheduler: Any = HyperBandScheduler(
        AGE, objective.metric, objective.mode, max_t=parts, reduction_factor=factor
    )
    return RayPausing(scheduler, "hyperband", objective, parts / longest)


def median(objective: Objective, grace: int = 1) -> RayPausing:
    """Return Ray's MedianStoppingRule. By default its grace is a minute, not epochs: here 1."""
    scheduler: Any = MedianStoppingRule(AGE, objective.metric, objective.mode, grace_period=grace)
    return RayPausing(scheduler, "median", objective)


def _score(run: Arrival, epoch: int, objective: Objective) -> float | None:
    score = run.curve.rows[epoch].get(objective.metric)
    return objective.worst if score is not None and math.isnan(score) else score


class _Trial:
    """What Ray's schedulers read of a trial; ASHA only its id."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id, self.status, self.is_saving = trial_id, Trial.PENDING, False
        self.last_result: dict[str, Any] = {}

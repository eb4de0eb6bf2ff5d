"""Ray's own ASHA, with which ``search.replay`` compares ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler

from facesiam.objective import Objective
from search.pruning.simulator import Arrival, NoPruning
from search.pruning.stop_decision import StopDecision


class RayAsha(NoPruning):
    """Ray's own ASHAScheduler as a policy, given the score of each epoch.

    Args:
        settings: grace and factor of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """

    def __init__(self, settings: Mapping[str, Any], objective: Objective, longest: int) -> None:
        self.metric = objective.metric
        self.ray: Any = ASHAScheduler(
            time_attr="age",
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
        score = run.curve.rows[epoch].get(self.metric)
        if score is None or not self.stops(run.name, epoch + 1, score):
            return None
        return StopDecision("asha", "", epoch)

    def add(self, trial: str) -> None:
        """Take note of a trial."""
        self.ray.on_trial_add(None, _Named(trial))

    def stops(self, trial: str, epochs: int, score: float) -> bool:
        """Enter the score after so many epochs, and say whether the trial stops."""
        result = {"age": epochs, self.metric: score}
        return bool(self.ray.on_trial_result(None, _Named(trial), result) == ASHAScheduler.STOP)


class _Named(NamedTuple):
    """All that Ray's ASHA reads of a trial."""

    trial_id: str

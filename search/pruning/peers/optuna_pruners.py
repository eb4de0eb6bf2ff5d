"""Optuna's own pruners as policies of the simulator."""

from __future__ import annotations

import math

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState

from facesiam.objective import Objective
from search.pruning.simulator import Arrival, NoPruning
from search.pruning.stop_decision import StopDecision

STUDY = "replay"
"""Name of the study, by which Optuna's Hyperband puts trials into brackets."""


class OptunaPruner(NoPruning):
    """A pruner that is asked after each epoch of the trials of a study in memory.

    Args:
        pruner: of Optuna.
        objective: what the trials report, by epoch from 0.
    """

    def __init__(self, pruner: BasePruner, objective: Objective) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.metric = objective.metric
        self.study = optuna.create_study(
            sampler=RandomSampler(seed=0),
            pruner=pruner,
            study_name=STUDY,
            direction="maximize" if objective.maximizes else "minimize",
        )
        self.trials: dict[str, Trial] = {}

    def begin(self, run: Arrival) -> None:
        """Begin a trial."""
        self.trials[run.name] = self.study.ask()

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Report the epoch, and return a decision where the pruner stops the run."""
        trial, score = self.trials[run.name], run.curve.rows[epoch].get(self.metric)
        if score is not None:
            trial.report(score, epoch)
        if epoch + 1 == len(run.curve.rows):
            if score is None or not math.isfinite(score):
                self.study.tell(trial, state=TrialState.FAIL)
            else:
                self.study.tell(trial, score)
            return None
        if score is None or not trial.should_prune():
            return None
        self.study.tell(trial, state=TrialState.PRUNED)
        return StopDecision("pruned", "", epoch)

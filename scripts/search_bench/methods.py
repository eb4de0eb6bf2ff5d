"""The searches that are compared: this package, Ray Tune and Optuna, each by its own code."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    TrialScheduler,
)
from ray.tune.search.optuna import OptunaSearch

from search.pruning.peers import ray_schedulers
from search.pruning.peers.ray_schedulers import AGE
from search.pruning.stop_decision import PAUSE
from search.space import SearchSpace
from search.space.prune import pruning
from search.tuning.search_state import SearchState

from . import bohb
from .playing import Decision, Method, Rows, Trial
from .table import Settings

METRIC, MODE = "val_acc", "max"
OUR_ASHA = pruning(True)["asha"]
"""Options of `asha: true`."""
IN_ADVANCE = 200
"""Trials of a random search that Ray makes before they run."""


class Ours:
    """The state of a search of this package, told of its trials as the Recorder tells it."""

    def __init__(self, space: SearchSpace) -> None:
        self.state = SearchState(space)
        self.trials: dict[str, Trial] = {}

    def next(self, rows: Rows) -> Trial | None:
        """Return the next trial, new or paused."""
        found = self.state.next_trial(lambda name: True)
        if found is None or found.trial in self.trials:
            return self.trials[found.trial] if found else None
        trial = rows.trial(found.trial, found.settings)
        if trial is None:
            return None
        self.trials[trial.id] = trial
        # The sampler knows what it suggested; the rules and the rungs are about the row's curve.
        self.state.running[trial.id] = dataclasses.replace(found, settings=trial.curve.settings)
        self.state.scheduler.begin(trial.id, trial.curve.settings)
        return trial

    def decide(self, trial: Trial, row: dict[str, float]) -> Decision:
        """Ask the rules, ASHA and halving; the end of any trial is told to the sampler."""
        state, epoch = self.state, {"epoch": trial.epochs - 1}
        stop = state.scheduler.observe(trial.id, row | epoch, trial.over)
        if stop is PAUSE:
            state.pause(trial.id)
        elif stop:
            state.end(trial.id, "stopped", stop.rule)
        elif trial.over:
            state.end(trial.id, "done", None)
        for name in state.scheduler.out_while_paused(state.paused):
            state.end(name, "stopped", state.scheduler.stops[name].rule)
        if stop is PAUSE:
            return "pause"
        return "stop" if stop or trial.over else "go on"


class Searcher:
    """Random draws, with the methods of Ray's searchers."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.rng = space, random.Random(f"{space.seed}/random")

    def suggest(self, id: str) -> Settings:
        """Return a draw."""
        return self.space.sample(self.rng)

    def on_trial_result(self, id: str, result: dict[str, Any]) -> None:
        """Do nothing."""

    def on_trial_complete(self, id: str, result: dict[str, Any] | None = None) -> None:
        """Do nothing."""


@dataclasses.dataclass(eq=False)
class Stub:
    """What Ray's schedulers read of a trial, and the played one."""

    played: Trial
    status: str = RayTrial.PENDING
    is_saving: bool = False
    last_result: dict[str, Any] | None = None

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.played.id


class RayTune:
    """A searcher and a scheduler of Ray Tune, called in the order of Ray's TuneController.

    Args:
        searcher: of Ray, or what has its methods.
        scheduler: of Ray.
        waiting: how many new trials wait for a worker. Ray makes 200 of a random search in
            advance, and of a searcher as many as workers are idle.
        scale: AGE of a trial after one epoch, for a scheduler that reads that.
    """

    def __init__(
        self, searcher: Any, scheduler: Any, waiting: int = 1, scale: float = 1.0
    ) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self.waiting, self.scale = waiting, scale
        self.search_alg = SimpleNamespace(searcher=searcher)
        self.stubs: list[Stub] = []
        self.by_id: dict[str, Stub] = {}

    def next(self, rows: Rows) -> Trial | None:
        """Return what the scheduler chooses of the trials that wait or were paused."""
        waits = sum(stub.status == RayTrial.PENDING for stub in self.stubs)
        while waits < self.waiting and self._add(rows):
            waits += 1
        chosen = self.scheduler.choose_trial_to_run(self)
        if chosen is None:
            return None
        chosen.status = RayTrial.RUNNING
        return chosen.played

    def _add(self, rows: Rows) -> bool:
        """Make a new trial, where there is a row for it."""
        id = f"{len(self.by_id) + 1:04d}"
        trial = rows.trial(id, self.searcher.suggest(id)) if rows.left else None
        if trial:
            self.by_id[id] = Stub(trial)
            self.stubs.append(self.by_id[id])
            self.scheduler.on_trial_add(self, self.by_id[id])
        return trial is not None

    def decide(self, trial: Trial, row: dict[str, float]) -> Decision:
        """Report an epoch to the scheduler, then to the searcher."""
        stub = self.by_id[trial.id]
        result = {
            "training_iteration": trial.epochs,
            AGE: trial.epochs * self.scale,
            METRIC: row[METRIC],
            "done": False,
        }
        decision = self.scheduler.on_trial_result(self, stub, result)
        if decision != TrialScheduler.STOP:
            self.searcher.on_trial_result(trial.id, result)
        stub.last_result = result
        if decision == TrialScheduler.PAUSE:
            stub.status = RayTrial.PAUSED
            return "pause"
        # After its last epoch the training function returns, and the trial is done.
        if decision == TrialScheduler.STOP or trial.over:
            self.stop_trial(stub)
            return "stop"
        return "go on"

    def get_trials(self) -> list[Stub]:
        """Return the trials that have not ended."""
        return self.stubs

    def stop_trial(self, stub: Stub) -> None:
        """End a trial, as TuneController.stop_trial does."""
        if stub.status == RayTrial.TERMINATED:
            return
        if stub.status == RayTrial.RUNNING:
            self.scheduler.on_trial_complete(self, stub, stub.last_result)
            self.searcher.on_trial_complete(stub.trial_id, result=stub.last_result)
        else:
            self.scheduler.on_trial_remove(self, stub)
            self.searcher.on_trial_complete(stub.trial_id)
        stub.status = RayTrial.TERMINATED
        self.stubs.remove(stub)


class OptunaAlone:
    """A study of Optuna with its TPE and a pruner, as Optuna's tutorials have it."""

    def __init__(self, space: SearchSpace, pruner: optuna.pruners.BasePruner) -> None:
        self.space = space
        sampler = optuna.samplers.TPESampler(seed=space.seed)
        # Hyperband draws a trial's bracket by the name of its study, which is drawn otherwise.
        self.study = optuna.create_study(
            study_name=f"seed {space.seed}", direction="maximize", sampler=sampler, pruner=pruner
        )
        self.asked: dict[str, optuna.Trial] = {}

    def next(self, rows: Rows) -> Trial | None:
        """Ask the study."""
        if not rows.left:
            return None
        asked = self.study.ask()
        self.asked[str(asked.number)] = asked
        return rows.trial(str(asked.number), self.space.suggest(asked))

    def decide(self, trial: Trial, row: dict[str, float]) -> Decision:
        """Report an epoch and ask the pruner; the objective is the last epoch's accuracy."""
        asked = self.asked[trial.id]
        asked.report(row[METRIC], trial.epochs)
        if trial.over:
            self.study.tell(asked, row[METRIC])
        elif asked.should_prune():
            self.study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            return "go on"
        return "stop"


def optuna_search(space: SearchSpace) -> OptunaSearch:
    """Return Ray's searcher over the space, which is given to it as a define-by-run function."""
    return OptunaSearch(space.suggest, metric=METRIC, mode=MODE, seed=space.seed)


def asha(space: SearchSpace, **given: int) -> ASHAScheduler:
    """Return Ray's ASHA, with its own defaults where nothing else is given."""
    return ASHAScheduler(metric=METRIC, mode=MODE, max_t=space.max_epochs(), **given)


def under_asha(space: SearchSpace) -> SearchSpace:
    """Return the space with what `prune: {asha: true}` says."""
    return dataclasses.replace(space, prune=pruning() | {"asha": OUR_ASHA})


def _fewer(space: SearchSpace, share: float) -> SearchSpace:
    return dataclasses.replace(space, trials=round(share * space.trials))


def ray_hyperband(space: SearchSpace) -> RayTune:
    """Return random search with Ray's HyperBand at its own factor."""
    of_replay = ray_schedulers.hyperband(space.objective, space.max_epochs())
    return RayTune(Searcher(space), of_replay.ray, IN_ADVANCE, of_replay.scale)


def _random(space: SearchSpace, scheduler: Any) -> RayTune:
    return RayTune(Searcher(space), scheduler, IN_ADVANCE)


def _bohb(space: SearchSpace) -> RayTune:
    scale = ray_schedulers.hyperband(space.objective, space.max_epochs()).scale
    scheduler = HyperBandForBOHB(AGE, METRIC, MODE, max_t=round(scale * space.max_epochs()))
    return RayTune(bohb.Bohb(space, METRIC, MODE), scheduler, scale=scale)


def _optuna_hyperband(space: SearchSpace) -> OptunaAlone:
    pruner = optuna.pruners.HyperbandPruner(max_resource=space.max_epochs())
    return OptunaAlone(space, pruner)


METHODS: dict[str, Callable[[SearchSpace], Method]] = {
    "ours": Ours,
    "ours, 60 % of the trials": lambda space: Ours(_fewer(space, 0.6)),
    "ours, 30 % of the trials": lambda space: Ours(_fewer(space, 0.3)),
    "ours, random": lambda space: Ours(dataclasses.replace(space, algorithm="random")),
    "ours, ASHA": lambda space: Ours(under_asha(space)),
    "ours, ASHA, random": lambda space: Ours(
        dataclasses.replace(under_asha(space), algorithm="random")
    ),
    "Ray OptunaSearch + ASHA": lambda space: RayTune(optuna_search(space), asha(space)),
    "Ray OptunaSearch + ASHA (3, 4)": lambda space: RayTune(
        optuna_search(space),
        asha(space, grace_period=OUR_ASHA["grace"], reduction_factor=OUR_ASHA["factor"]),
    ),
    "Ray HyperBand": ray_hyperband,
    "Optuna TPE + Hyperband": _optuna_hyperband,
    "random + Ray ASHA": lambda space: _random(space, asha(space)),
    "random": lambda space: _random(space, FIFOScheduler()),
}
"""By name, what makes a method for a space with its seed."""
if bohb.is_installed():
    METHODS["Ray BOHB"] = _bohb

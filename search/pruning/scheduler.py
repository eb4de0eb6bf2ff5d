"""The Ray scheduler of a search, which asks the pruning rules, ASHA and halving after each epoch.

It is a scheduler and not a Ray Stopper, because a result that a Stopper ends never reaches the
scheduler. On a resume ``replay_epoch`` and ``replay_decision`` restore its state from the journal.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Container, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from facesiam.config import Value
from search.pruning import recorded_runs, rules
from search.pruning.asha import AshaBySchedule
from search.pruning.halving import GROWTH, Halving
from search.pruning.history import LEVEL, History
from search.pruning.late_start import Odds
from search.pruning.leaderboard import Leaderboard
from search.pruning.scatter import Noise
from search.pruning.stop_decision import PAUSE, StopDecision
from search.space import SearchSpace


class Scheduler(FIFOScheduler):
    """Asks the pruning rules, then ASHA, then halving, and keeps every decision.

    Args:
        space: whose `prune:` it follows.
        odds: of a late start; without, those learned from the runs of the 2019 study.
        growth: age at a rung of halving over the age at the one before.
    """

    def __init__(
        self, space: SearchSpace, odds: Odds | None = None, growth: float = GROWTH
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.space = space
        self.rules = rules.active(space, odds or Odds(recorded_runs.shipped()))
        rows = space.algorithm == "rows"
        asha, halving = (space.prune.get(name) and not rows for name in ("asha", "halving"))
        self._asha = AshaBySchedule(space, "chance" in self.rules) if asha else None
        self.asha = self._asha.first if self._asha else None
        """ASHA's rungs for trials of the space's first schedule; None: it is off."""
        self.paused: set[str] = set()
        """Trials that wait at a rung, of which Ray knows nothing."""
        self.histories: dict[str, History] = {}
        """By our own trial id, which outlives a session as Ray's ids do not."""
        self.stops: dict[str, StopDecision] = {}
        self.controls: dict[str, StopDecision] = {}
        """The control group: trials that run on, and what would have stopped them."""
        self.halving = Halving(space, self.controls, growth) if halving else None
        """The rungs at which trials are paused; None: it is off."""
        self._decided: dict[str, int] = {}
        """By trial the number of epochs that have been decided about. An epoch that is run again,
        after a worker or a driver died, is not decided a second time by what has come since."""
        self._noise = Noise()
        self._leaders = Leaderboard(
            space.objective,
            float(space.prune["plateau"]["within"]) if "plateau" in self.rules else None,
        )

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the newest pending trial, so that Ray gives it a worker that is idle, if any.

        Ray's own choice is the oldest one, which may have a worker of its own that is starting;
        Ray throws that away for an idle one. Where trials are shorter than the start of a worker,
        no second worker would ever come up.
        """
        trials = reversed(tune_controller.get_trials())
        return next((trial for trial in trials if trial.status == Trial.PENDING), None)

    def add_epoch(self, name: str, metrics: Mapping[str, Any]) -> None:
        """Add an epoch to a trial's history; an epoch that is run again replaces what it was."""
        history = self._history(name)
        del history.rows[int(metrics["epoch"]) :]
        history.rows.append(dict(metrics))
        if not history.measured:
            self._estimate_noise(name, history)
        # What the control group reaches after its decision must not stop others.
        if name not in self.controls:
            self._leaders.add(name, history)

    def begin(self, name: str, settings: Mapping[str, Value]) -> None:
        """Set a trial's settings."""
        history = self._history(name)
        history.settings = dict(settings)
        if self.halving:
            self.halving.begin(name, settings)
        self.paused.discard(name)
        # Also where the rule is off: what has learned is asked of every trial (``has_learned``).
        chance = self.space.prune.get("chance") or {}
        history.level = float(chance.get("level", LEVEL))
        history.guess = history.said_guess(chance)

    def forget(self, name: str) -> None:
        """Free the epochs of a trial that has ended: a search may have 10,000 trials."""
        self.histories.pop(name, None)
        self._decided.pop(name, None)
        self._leaders.forget(name)
        self.paused.discard(name)
        if self.halving:
            self.halving.forget(name)

    def next_paused(self) -> str | None:
        """Return the paused trial that goes on next; None: none does, or none yet."""
        return self.halving.first_waiting() if self.halving else None

    def out_while_paused(self, paused: Container[str]) -> list[str]:
        """Stop those of the paused trials that are out by now, or spare them; return them."""
        found = []
        for name, stop in self.halving.all_out() if self.halving else ():
            if name in paused:
                decisions = self.controls if self._in_control(name) else self.stops
                decisions.setdefault(name, stop)  # a resumed one may have been spared before
                self.paused.discard(name)
                found.append(name)
        return found

    def pauses(self, settings: Mapping[str, Value]) -> list[int]:
        """Return the numbers of epochs after which a trial may be paused."""
        return self.halving.pauses(settings) if self.halving else []

    def replay_epoch(
        self,
        name: str,
        metrics: Mapping[str, Any],
        stop: StopDecision | None,
        control: bool = False,
        last: bool = False,
    ) -> StopDecision | None:
        """Add an epoch that an earlier session noted, with what it decided after it.

        The rungs are filled in the order in which they were; earlier decisions stay.

        Args:
            name: the trial, for which ``begin`` was called.
            metrics: of the epoch.
            stop: the decision about the trial in the journal, after this epoch or another.
            control: the trial was of the control group.
            last: the last known epoch of a trial that had not ended. The driver may have been
                killed before it noted its decision, so that is made again and returned.
        """
        if name in self.paused:
            self.begin(name, self.histories[name].settings)
        epoch = int(metrics["epoch"])
        end = math.inf if stop is None or stop.epoch is None else stop.epoch
        self.add_epoch(name, metrics)
        if epoch < self._decided.get(name, 0) or name in self.controls:
            return None
        if last and stop is None:
            return self.decide(name, last=epoch + 1 == self.histories[name].planned)
        self._decided[name] = epoch + 1
        stopped_by = stop.rule if stop and epoch >= end else None
        if stopped_by in (None, "asha", "halving"):
            self._ask_asha(name)
        else:  # ASHA is not asked about what a rule has stopped
            self._peer(name)
        ended = epoch + 1 == self.histories[name].planned
        if stopped_by in (None, "halving") and self._ask_halving(name, ended) is PAUSE:
            self.paused.add(name)
        if stop and control and epoch >= end:  # as live: it leads no more, and comes to no rung
            self.controls[name] = stop
        return None

    def replay_decision(self, name: str, stop: StopDecision | None, control: bool = False) -> None:
        """Set the decision about a trial, once its epochs have been replayed."""
        if stop and stop.epoch is None and self.histories[name].rows:
            self._peer(name)
        if stop and control:
            self.controls[name] = stop

    def score(self, name: str) -> float:
        """Return the best finite score so far; without one the worst that there is."""
        values = [row.get(self.space.metric, math.nan) for row in self.histories[name].rows]
        objective = self.space.objective
        return objective.best(filter(math.isfinite, values), default=objective.worst)

    def step(self, name: str) -> int:
        """Return a trial's step, as Optuna calls it: its age in epochs, as ASHA compares them."""
        history = self.histories.get(name)
        if history is None:
            return 0
        return math.ceil(self._asha.age(history)) if self._asha else len(history.rows)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Set the trial's settings."""
        self.begin(trial.config["trial"], trial.config.get("settings", {}))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return STOP or CONTINUE for the result that has just come in."""
        # A paused trial is over for Ray: when it goes on, it is a new one of Ray's.
        return self.STOP if self.observe(trial.config["trial"], result) else self.CONTINUE

    def observe(
        self, name: str, metrics: Mapping[str, Any], last: bool = False
    ) -> StopDecision | None:
        """Add an epoch and decide about the trial, unless that epoch was decided about before."""
        again = metrics["epoch"] < self._decided.get(name, 0)
        self.add_epoch(name, metrics)
        return None if again else self.decide(name, last)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Add the last epoch, whose result Ray hands to no other method."""
        name = trial.config["trial"]
        if "epoch" in result and name not in self.stops:
            self.observe(name, result, last=True)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Do nothing: the scores of a failed trial stay in the rungs."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Do nothing, as for a failed trial."""

    def debug_string(self) -> str:
        """Name the rules in force, for Ray's own files."""
        on = [name for name in ("asha", "halving") if getattr(self, name)]
        return f"rules: {', '.join([*self.rules, *on]) or 'none'}"

    def decide(self, name: str, last: bool = False) -> StopDecision | None:
        """Decide about a trial after an epoch; return why it stops, PAUSE, or None: it goes on.

        Args:
            name: the trial.
            last: it has no epoch left, so that only ``diverged`` is of interest.
        """
        if name in self.controls:
            return None
        self._decided[name] = len(self.histories[name].rows)
        stop = self._ask_rules(name, last)
        if stop is None:
            stop = self._ask_asha(name) or self._ask_halving(name, last)
            if stop is None or last:
                return None
        if stop is PAUSE:
            self.paused.add(name)
            return PAUSE
        if not last and self._in_control(name):
            self.controls[name] = stop
            return None
        self.stops[name] = stop
        return stop

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles the scheduler for its own restore, which nothing here uses.
        return {}

    def _ask_rules(self, name: str, last: bool) -> StopDecision | None:
        history = self.histories[name]
        history.leader = self._leader(name)
        history.leader_score = self._leaders.score(name, history)
        history.gain = functools.partial(self._leaders.gain, name, history)
        for rule, decide in self.rules.items():
            if (rule == "diverged" or not last) and (stop := decide(history)):
                self._peer(name)
                return stop
        return None

    def _ask_asha(self, name: str) -> StopDecision | None:
        if self._asha is None:
            return None
        return self._asha.decide(name, self.histories[name], self.score(name))

    def _ask_halving(self, name: str, last: bool) -> StopDecision | None:
        if self.halving is None:
            return None
        if last:
            self.halving.enter(name, self.histories[name])
            return None
        return self.halving.decide(name, self.histories[name])

    def _peer(self, name: str) -> None:
        if self._asha:
            self._asha.peer(name, self.histories[name], self.score(name))

    def _in_control(self, name: str) -> bool:
        """Draw whether a trial that would be stopped runs on; the same draw on every resume."""
        draw = random.Random(f"{self.space.seed}/control/{name}").random()
        return draw < float(self.space.prune.get("control", 0.0))

    def _estimate_noise(self, name: str, history: History) -> None:
        """Estimate the noise of a metric that has no exact one."""
        history.scatter.update([row.get(history.metric, math.nan) for row in history.rows])
        self._noise.add(history.contest, name, history.scatter.deviation)
        history.typical = self._noise.typical(history.contest)

    def _leader(self, name: str) -> float:
        return self._leaders.accuracy(name, self.histories[name])

    def _history(self, name: str) -> History:
        """Return a trial's history, which begins where it is not known yet."""
        if name not in self.histories:
            metric, mode = self.space.metric, self.space.mode
            self.histories[name] = History(name=name, metric=metric, mode=mode)
        return self.histories[name]

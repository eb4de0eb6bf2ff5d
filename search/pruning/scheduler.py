"""The rules and ASHA as Ray's scheduler: asked after each epoch, and every answer kept.

The rules sit in the scheduler and not in a Ray Stopper, because a result that a Stopper ends never
reaches the scheduler. What they see outlives a session: ``replay`` enters it from the journal.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from facesiam.config.trial import Value
from search.pruning import noise, recorded_runs, schedule_progress
from search.pruning.asha import Asha, Cut
from search.pruning.history import History, take_off, waited_for
from search.pruning.late_start import Odds
from search.pruning.leaders import Leaders
from search.pruning.rules import CERTAIN, RULES, Reason
from search.space import SearchSpace


class Stop(NamedTuple):
    """Why a trial was stopped, and the numbers that this rests on."""

    rule: str | None
    reason: str | None
    epoch: int | None = None
    """Of the verdict, from 0."""
    rung: float | None = None
    """Age at ASHA's rung, in epochs."""
    value: float | None = None
    """The score that was judged."""
    cutoff: float | None = None
    """What it was held against."""
    peers: int | None = None
    """Trials at the rung, or recorded runs behind the odds."""

    def noted(self) -> dict[str, Any]:
        """Return the fields of the journal."""
        return {f"stop_{name}": value for name, value in self._asdict().items()}


class Scheduler(FIFOScheduler):
    """Asks our rules, then ASHA, and remembers why a trial was stopped.

    Args:
        space: whose `prune:` it follows.
        odds: of a late start; without, those that the documents' own runs teach.
    """

    def __init__(self, space: SearchSpace, odds: Odds | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.space = space
        self.rules = _rules(space, odds or Odds(recorded_runs.shipped()))
        self.asha = _asha(space)
        """Its rungs for trials of the space's first schedule; see ``_asha_of``."""
        self._schedule = str(space.possible("schedule")[0])
        self._others: dict[str, Asha] = {}
        self.histories: dict[str, History] = {}
        """By our own trial id, which outlives a session as Ray's ids do not."""
        self.stops: dict[str, Stop] = {}
        self.spared: dict[str, Stop] = {}
        """The control group: what would have stopped them."""
        self._judged: dict[str, int] = {}
        """How many epochs of a trial have had their verdict: one that is run again, after a
        worker or a driver died, is not judged a second time by what has come since."""
        self._leaders = Leaders(
            space.objective,
            float(space.prune["plateau"]["within"]) if "plateau" in self.rules else None,
        )

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the newest trial that waits, for which Ray takes a worker that is idle, if any.

        The oldest one, Ray's own choice, may have a worker of its own that is starting, which Ray
        throws away for an idle one: as long as trials were shorter than a worker takes to start,
        no second worker ever came up.
        """
        trials = reversed(tune_controller.get_trials())
        return next((trial for trial in trials if trial.status == Trial.PENDING), None)

    def enter(self, name: str, metrics: Mapping[str, Any]) -> None:
        """Add an epoch to a trial's history; an epoch that is run again replaces what it was."""
        history = self._history(name)
        del history.rows[int(metrics["epoch"]) :]
        history.rows.append(dict(metrics))
        # What the control group reaches after its verdict must not stop others.
        if name not in self.spared:
            self._leaders.enter(name, history)

    def begin(self, name: str, settings: Mapping[str, Value]) -> None:
        """Take note of a trial's settings."""
        history = self._history(name)
        history.settings = dict(settings)
        if self.space.prune.get("chance"):
            history.level = float(self.space.prune["chance"]["level"])

    def forget(self, name: str) -> None:
        """Let go of the epochs of a trial that has ended: a search may have 10,000."""
        self.histories.pop(name, None)
        self._judged.pop(name, None)
        self._leaders.forget(name)

    def replay(
        self,
        name: str,
        metrics: Mapping[str, Any],
        stop: Stop | None,
        control: bool = False,
        last: bool = False,
    ) -> Stop | None:
        """Enter an epoch that an earlier session noted, and what was decided after it.

        The rungs are filled anew, in the order in which they were; what was decided stays.

        Args:
            name: the trial, which has begun.
            metrics: the epoch's.
            stop: what the journal knows of the trial's verdict, of this epoch or another.
            control: it was spared.
            last: the last that is known of a trial that had not ended. The driver may have been
                killed before it noted what it decided, so that is decided again and returned.
        """
        epoch = int(metrics["epoch"])
        end = math.inf if stop is None or stop.epoch is None else stop.epoch
        if stop and control and epoch > end:
            self.spared[name] = stop  # before it is entered: it leads no more
        self.enter(name, metrics)
        if epoch < self._judged.get(name, 0) or name in self.spared:
            return None
        if last and stop is None:
            return self.verdict(name, last=epoch + 1 == self.histories[name].planned)
        self._judged[name] = epoch + 1
        if epoch < end or (stop and stop.rule == "asha"):
            self._ask_asha(name)
        else:  # ASHA is not asked about what a rule has stopped
            self._peer(name)
        return None

    def replayed(self, name: str, stop: Stop | None, control: bool = False) -> None:
        """Take in the verdict on a trial, once its epochs have been replayed."""
        if stop and stop.epoch is None and self.histories[name].rows:
            self._peer(name)
        if stop and control:
            self.spared[name] = stop

    def score(self, name: str) -> float:
        """Return the best value of the space's metric so far; the worst there is without one."""
        values = [row.get(self.space.metric, math.nan) for row in self.histories[name].rows]
        objective = self.space.objective
        return objective.best(filter(math.isfinite, values), default=objective.worst)

    def step(self, name: str) -> int:
        """Return how far a trial came as Optuna counts it: epochs, as ASHA compares them."""
        history = self.histories.get(name)
        if history is None:
            return 0
        epochs, asha = len(history.rows), self._asha_of(history)
        return math.ceil(asha.age(epochs, history.planned)) if asha else epochs

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take note of the settings."""
        self.begin(trial.config["trial"], trial.config.get("settings", {}))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return STOP or CONTINUE for the result that has just come in."""
        return self.STOP if self.hear(trial.config["trial"], result) else self.CONTINUE

    def hear(self, name: str, metrics: Mapping[str, Any], last: bool = False) -> Stop | None:
        """Enter an epoch, and judge the trial where that epoch has had no verdict before."""
        again = metrics["epoch"] < self._judged.get(name, 0)
        self.enter(name, metrics)
        return None if again else self.verdict(name, last)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take the last result of a trial: Ray shows that of its last epoch nowhere else."""
        name = trial.config["trial"]
        if "epoch" in result and name not in self.stops:
            self.hear(name, result, last=True)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: what a failed trial scored before stays in its rungs."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing, as for a failed trial."""

    def debug_string(self) -> str:
        """Name the rules in force, for Ray's own files."""
        return f"rules: {', '.join(self.rules) or 'none'}; asha: {'on' if self.asha else 'off'}"

    def verdict(self, name: str, last: bool = False) -> Stop | None:
        """Judge a trial after an epoch; return why it stops, or None where it goes on.

        Args:
            name: the trial.
            last: it has no epoch left, so only a broken loss is worth a verdict.
        """
        if name in self.spared:
            return None
        self._judged[name] = len(self.histories[name].rows)
        stop = self._ask_rules(name, last)
        if stop is None:
            cut = self._ask_asha(name)
            stop = self._worded(name, cut) if cut and not last else None
        if stop is None:
            return None
        if not last and self._in_control(name):
            self.spared[name] = stop
            return None
        self.stops[name] = stop
        return stop

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles the scheduler for its own restore, which nothing here uses.
        return {}

    def _ask_rules(self, name: str, last: bool) -> Stop | None:
        history = self.histories[name]
        history.leader = self._leader(name)
        history.top = self._leaders.score(name, history)
        history.gain = functools.partial(self._leaders.gain, name, history)
        for rule, judge in self.rules.items():
            if last and rule != "diverged":
                continue
            if reason := judge(history):
                self._peer(name)
                return _stop(rule, reason, history.epoch)
        return None

    def _ask_asha(self, name: str) -> Cut | None:
        history, guesses = self.histories[name], False
        asha = self._asha_of(history)
        if asha is None:
            return None
        if "chance" in self.rules:
            guesses = take_off(history) is None
            if guesses and waited_for(history, len(history.rows)):
                if self._age(history, 0) >= asha.rungs[-1][0]:
                    asha.peer(name, self.score(name), final=False)
                return None
        cut = asha.judge(
            name,
            self._age(history, self._start(history)),
            self.score(name),
            history.pairs,
            guesses,
        )
        return None if cut and asha.as_the_leader(name, cut.rung, history.pairs) else cut

    def _asha_of(self, history: History) -> Asha | None:
        """Return the rungs that a trial is judged at: those of its schedule.

        At the same epoch a rate that is to fall yet and one that has fallen are not alike, nor
        are two at unequal shares of the same fall.
        """
        schedule = schedule_progress.family(history.settings)
        if self.asha is None or schedule == self._schedule:
            return self.asha
        if schedule not in self._others:
            self._others[schedule] = _rungs(self.space, schedule)
        return self._others[schedule]

    def _start(self, history: History) -> int:
        """Return the epoch that a trial's age counts from: its take-off, if it was waited for.

        One that was judged while it guessed goes on at that age: younger, it would come once more
        to rungs that have what it guessed.
        """
        found = take_off(history) if "chance" in self.rules else None
        return found if found is not None and waited_for(history, found) else 0

    def _age(self, history: History, start: int) -> float:
        """Return a trial's age from an epoch on; while its rate rises it ages more slowly."""
        asha = self._asha_of(history)
        assert asha is not None
        return asha.age(history.climbed() - history.climbed(start), history.planned)

    def _peer(self, name: str) -> None:
        if asha := self._asha_of(self.histories[name]):
            asha.peer(name, self.score(name), final=True)

    def _worded(self, name: str, cut: Cut) -> Stop:
        asha = self._asha_of(self.histories[name])
        assert asha is not None
        start = self._start(self.histories[name])
        age = f"{cut.rung:g} epochs" + asha.share * f" of {asha.longest}"
        age += f" from its take-off at epoch {start}" if start else ""
        text = (
            f"best {self.space.metric} {cut.value:.4f} at the rung of {age}, cutoff "
            f"{cut.cutoff:.4f} of {cut.peers} peers"
        )
        epoch = self.histories[name].epoch
        return Stop("asha", text, epoch, cut.rung, _number(cut.value), cut.cutoff, cut.peers)

    def _in_control(self, name: str) -> bool:
        """Draw whether a trial that would be stopped runs on; the same draw on every resume."""
        draw = random.Random(f"{self.space.seed}/control/{name}").random()
        return draw < float(self.space.prune.get("control", 0.0))

    def _leader(self, name: str) -> float:
        return self._leaders.accuracy(name, self.histories[name])

    def _history(self, name: str) -> History:
        """Return a trial's history, which begins where it is not known yet."""
        if name not in self.histories:
            self.histories[name] = History(name=name, metric=self.space.metric)
        return self.histories[name]


def _rules(space: SearchSpace, odds: Odds) -> dict[str, Callable[[History], Reason | None]]:
    """Return the rules that are on, in their order, with their settings filled in.

    Rows are run to compare them with published figures, so nothing ends them but the certainty
    that no epoch would change their best one.
    """
    found: dict[str, Callable[[History], Reason | None]] = {}
    for name, rule in RULES.items():
        settings = space.prune.get(name)
        if not settings or (space.algorithm == "rows" and name not in CERTAIN):
            continue
        if name == "plateau" and not noise.is_known(space.objective):
            continue  # it needs to know what is noise
        given = dict(settings) if isinstance(settings, Mapping) else {}
        if name == "chance":
            given = {"care": given["care"], "odds": odds}
        found[name] = functools.partial(rule, **given)
    return found


def _asha(space: SearchSpace) -> Asha | None:
    if not space.prune.get("asha") or space.algorithm == "rows":
        return None
    return _rungs(space, str(space.possible("schedule")[0]))


def _rungs(space: SearchSpace, schedule: str) -> Asha:
    """Return ASHA's rungs for the trials of a schedule."""
    settings, epochs = dict(space.prune["asha"]), space.possible("epochs")
    # Trials of one length are compared by epochs either way, and their reasons say so.
    if schedule_progress.falls({"schedule": schedule}) and len(epochs) > 1:
        settings["compare"] = "share"
    return Asha(settings, space.objective, space.max_epochs())


def _stop(rule: str, reason: Reason, epoch: int) -> Stop:
    value, cutoff = _number(reason.value), _number(reason.cutoff)
    return Stop(rule, reason.text, epoch, None, value, cutoff, reason.peers)


def _number(value: float) -> float | None:
    """Return a number that JSON has: None for NaN and the infinities."""
    return value if math.isfinite(value) else None

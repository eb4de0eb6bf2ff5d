"""SearchState: the trials that run, wait and have ended, with the sampler and the scheduler.

The state writes nothing. The recorder notes each change in the journal, and
``journal_replay.replay`` comes from there to the same state.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from search.pruning import going_on
from search.pruning.scheduler import Scheduler
from search.pruning.stop_decision import StopDecision
from search.space import SearchSpace
from search.tuning import failures
from search.tuning.sampler import Sampler, Suggestion
from search.tuning.trial_ranking import Progress, TrialEnd, progress_of
from search.tuning.warm_start import WarmStartTrial

NO_STOP = StopDecision(None, None)
"""Of a trial that nothing has stopped."""
INTERRUPTED = StopDecision("interrupted", "interrupted")
"""Of a trial that --resume goes on with."""


class StopReason(enum.Enum):
    """Why a search ends before its trials are through."""

    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    TIME_UP = "time is up"
    FAILED = "failed"
    """The storage or Ray has failed; the message says how."""


class SearchStop(NamedTuple):
    """That a search ends before its trials are through, and why."""

    reason: StopReason
    message: str = ""

    @classmethod
    def failed(cls, error: OSError) -> SearchStop:
        """Return that the system refused something: a full disk, storage that is gone."""
        return cls(StopReason.FAILED, failures.describe(error))

    def __str__(self) -> str:
        return self.message or self.reason.value


class PastEnd(NamedTuple):
    """The end of a trial of an earlier session."""

    trial: str
    status: str
    value: float | None
    """Best value of the space's metric."""
    reason: str | None
    settings: Mapping[str, Any]
    epochs: int
    missing: dict[str, Any] | None = None
    """Fields of the line that the journal lacks, as the driver was killed before it noted the end;
    None: the journal has it."""


class SearchState:
    """The trials of a search.

    Args:
        space: what is searched.
        known: trials of earlier runs that TPE begins with.
    """

    def __init__(self, space: SearchSpace, known: Iterable[WarmStartTrial] = ()) -> None:
        self.space = space
        self.scheduler = Scheduler(space)
        self.sampler = Sampler(space, known)
        self.running: dict[str, Suggestion] = {}
        self.waiting: list[Suggestion] = []
        """Trials that are to go on, or to be tried again."""
        self.paused: dict[str, Suggestion] = {}
        """Trials that wait for the others at a rung of `halving`."""
        self.ended: set[str] = set()
        """Trials of this run that have ended, failed ones too: only their files are removed."""
        self.failed: set[str] = set()
        self.interrupted: set[str] = set()
        """Trials that --resume goes on with."""
        self.best: list[tuple[float, int, str]] = []
        """(score turned, less is better; best epoch; trial) of those ended whose weights stay."""
        self.doublings: dict[str, int] = {}
        """How often a trial's share was doubled, as it ran out of memory."""
        self.ran_with: dict[str, Any] = {}
        """What a trial that has not ended was computed with (facesiam.device.arithmetic)."""
        self.costs: dict[str, Mapping[str, float]] = {}
        """What a trial's net costs in use, by name (facesiam.config.costs)."""
        self.exhausted = False
        """Whether the sampler has no more trials."""
        self.prospects = going_on.Prospects(space)
        self.past_ends: list[PastEnd] = []
        """How the trials of earlier sessions ended, in that order."""

    def next_trial(self, is_ready: Callable[[str], bool]) -> Suggestion | None:
        """Return the next trial, which runs from now on, or None when there is none, or none yet.

        Args:
            is_ready: says whether a trial that waits may start again.
        """
        ready = next((one for one in self.waiting if is_ready(one.trial)), None)
        if ready:
            self.running[ready.trial] = ready  # before it leaves the queue: see ``removable``
            self.waiting.remove(ready)
            return ready
        if not self.exhausted:
            if paused := self._unpaused():
                return paused
            if self.waiting and not self.running:
                return None  # with no other trial running, what waits comes first, in its order
            if suggestion := self.sampler.next(self.progress()):
                self.running[suggestion.trial] = suggestion
                return suggestion
            self.exhausted = not self.sampler.waits()
        if self.scheduler.halving:  # with a race, which may have trials yet, there is none
            self.scheduler.halving.no_more()
        return self._unpaused()

    def _unpaused(self) -> Suggestion | None:
        """Return the paused trial that goes on now; None: there is none, or none yet."""
        name = self.scheduler.next_paused()
        if name not in self.paused:
            return None
        suggestion = self.running[name] = self.paused[name]  # see ``removable``
        del self.paused[name]
        self.scheduler.begin(name, suggestion.settings)
        return suggestion

    def progress(self) -> dict[str, Progress]:
        """Return how far each trial has come that runs, or waits to go on."""
        histories = self.scheduler.histories
        return {name: progress_of(history, self.space) for name, history in histories.items()}

    def epochs_noted(self, trial: str) -> int:
        """Return how many epochs of a trial are in the journal."""
        history = self.scheduler.histories.get(trial)
        return len(history.rows) if history else 0

    def keep_threshold(self) -> float | None:
        """Return the score that a trial must reach for its weights to be kept; None: any does."""
        sure = [place for place in self.best if place[2] not in self.failed]
        if len(sure) < self.space.keep:  # a failed one may do worse when it is tried again
            return None
        return self.space.objective.key(-sure[-1][0])

    def requeue(self, trial: str) -> None:
        """Put a trial that runs back into the queue, as the first one."""
        self.waiting.insert(0, self.running[trial])  # before it is removed: see ``removable``
        self.running.pop(trial)

    def pause(self, trial: str) -> None:
        """Have a trial that runs wait at its rung."""
        self.paused[trial] = self.running[trial]  # before it is removed: see ``removable``
        self.running.pop(trial)

    def spare(self, trial: str) -> None:
        """Queue a paused trial of the control group to go on."""
        self.waiting.append(self.paused[trial])  # before it is removed: see ``removable``
        del self.paused[trial]

    def known(self, trial: str) -> Suggestion:
        """Return a trial that runs or is paused."""
        return self.running.get(trial) or self.paused[trial]

    def interrupt(self, trial: str) -> None:
        """Mark a trial that runs as one that --resume goes on with."""
        self.interrupted.add(trial)
        self.running.pop(trial)

    def end(self, trial: str, status: str, rule: str | None) -> float | None:
        """Enter the end of a trial: into TPE's study, and among the best.

        Args:
            trial: its id.
            status: done, stopped or failed.
            rule: that stopped it; None: it ended by itself.

        Returns:
            Its best score; None: it has none.
        """
        self.ended.add(trial)
        history, objective = self.scheduler.histories.get(trial), self.space.objective
        values = [float(row[self.space.metric]) for row in history.rows] if history else []
        epoch = objective.best_epoch(values)
        value = None if epoch is None else values[epoch]
        went = progress_of(history, self.space) if history else None
        step, cost = self.scheduler.step(trial), self.costs.get(trial)
        self.sampler.tell(trial, TrialEnd(value, step, status, rule, went, cost))
        if epoch is not None:
            # The order of the ranked table, so that the weights kept are those of its first rows.
            self.best.append((-objective.key(value), epoch, trial))
            self.best = sorted(self.best)[: self.space.keep]
        if status == "failed":  # --resume tries it again, from its state
            self.failed.add(trial)
        self.running.pop(trial, None)
        self.paused.pop(trial, None)
        self.look_ahead(trial, rule if status == "stopped" else None)
        self.ran_with.pop(trial, None)
        self.scheduler.forget(trial)
        return value

    def look_ahead(self, trial: str, stopped_by: str | None) -> None:
        """Enter the end of a trial in what the others would gain; no other begins if that ends."""
        history, ran = self.scheduler.histories.get(trial), self.ran_with.get(trial, ())
        ended = going_on.ended(history, stopped_by, ran)
        if self.prospects.add(trial, ended, self.sampler.handed_out):
            self.exhausted = True
            if self.scheduler.halving:
                self.scheduler.halving.no_more()

    def removable(self) -> dict[str, set[str]]:
        """Return, by folder, the trials whose files are needed no more.

        Another thread may ask, hence the copies: a trial is always in one of the collections.
        """
        going = {*self.running.copy(), *self.interrupted.copy(), *self.paused.copy()}
        going |= {suggestion.trial for suggestion in self.waiting.copy()}
        ended = self.ended.copy() - going
        unfailed = ended - self.failed.copy()
        best = {trial for _, _, trial in self.best.copy()}
        return {"weights": ended - best, "state": unfailed, "logs": unfailed}

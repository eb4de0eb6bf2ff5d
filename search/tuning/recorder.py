"""Ray's callback: what becomes of each trial of a running search, and when the search is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from ray import tune

from facesiam.fingerprint import Key
from search.pruning.stop_decision import PAUSE, StopDecision
from search.resources.allocation import Allocation
from search.runs.mirror import Mirror
from search.runs.reuse import ReusableTrial
from search.tracking.callback import Callback
from search.tracking.dispatcher import CUT_PATIENCE, PATIENCE
from search.tuning import failures
from search.tuning.live_table import LiveTable
from search.tuning.ray_cluster import forget_results
from search.tuning.run_record import RunRecord
from search.tuning.sampler import Suggestion
from search.tuning.search_state import SearchState, SearchStop, StopReason
from search.tuning.shutdown import end_now


def ends_search_on_failure(note: Callable[..., None]) -> Callable[..., None]:
    """Have the search end where an event cannot be noted, and note nothing from then on.

    A journal with a gap would tell of another run. Ray would only wrap the error, and print it.
    """

    @wraps(note)
    def guarded(self: Recorder, *given: Any, **more: Any) -> None:
        """Note the event, or end the search."""
        try:
            note(self, *given, **more)
        except OSError as error:
            self.stop = SearchStop.failed(error)
            self.journal_failed = True
            raise KeyboardInterrupt from error

    return guarded


class Recorder(tune.Callback):
    """Decides what follows from every event of Ray's, and has the record note it.

    Args:
        state: what the search knows; that of a resumed run is replayed from its journal.
        run: folder of the run.
        table: shows the search.
        shares: what each trial gets; None: one that runs out of memory cannot get more.
        key: gives a trial's key; None: none has one.
        reusable: finished trials of earlier runs, by key, that are not run again.
        mirror: brings the run to where it lies; None: it lies in its folder.
        callbacks: are told of what is noted.
    """

    def __init__(
        self,
        state: SearchState,
        run: Path,
        table: LiveTable,
        shares: Allocation | None = None,
        key: Key | None = None,
        reusable: Mapping[str, ReusableTrial] | None = None,
        mirror: Mirror | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.state, self.space = state, state.space
        self.run, self.table, self.shares = run, table, shares
        self.key, self.reusable, self.mirror = key, reusable or {}, mirror
        self.record = RunRecord(state, run, table, mirror, callbacks)
        self.retries = failures.Retries()
        self.stop: SearchStop | None = None
        """Why no trial starts any more; None: nothing keeps them."""
        self.terminate: Callable[[list[Any]], None] = lambda trials: None
        """Has the workers of Ray's trials save their states and end."""
        self.journal_failed = False
        """Whether the journal could not be written, so that nothing more may be."""
        self.machines: dict[str, str] = {}
        """Address of the machine that a trial's last epoch came from."""
        self.trials: dict[str, Any] = {}
        """Ray's trials that run, by our id."""

    def start(self) -> None:
        """Note what a killed driver had not noted, show what has ended, remove files left over."""
        if self.mirror:
            self.mirror.on_lost = self.lost
        self.record.start()
        self._end_paused()

    def next(self) -> Suggestion | None:
        """Return the next trial to run, or None when there is none, or none yet."""
        self._end_paused()
        while not self.stop and (suggestion := self.state.next_trial(self.retries.is_ready)):
            name = suggestion.trial
            key = self.key(suggestion.settings) if self.key else None
            if not (reused := self.reusable.get(key or "")):
                self.record.note(name, "pending", key=key)
                return suggestion
            self.record.note(name, "pending", key=key, reused=f"{reused.run}/{reused.trial}")
            self._reuse(suggestion, reused)
        # Fewer go on from a rung where fewer have begun than were to: `stop_when` ended the rest.
        return self.next() if not self.stop and self._end_paused() else None

    def over(self) -> bool:
        """Say whether nothing runs and nothing will."""
        if self.state.running:  # it may run out of memory, or die, and be tried again
            return False
        left = self.state.waiting or self.state.paused
        return bool(self.stop) or (self.state.exhausted and not left)

    def lost(self, why: str) -> None:
        """End at once, from any thread: another driver has the run, so nothing may be noted."""
        self.journal_failed, self.stop = True, SearchStop(StopReason.FAILED, why)
        end_now()

    @ends_search_on_failure
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial runs."""
        name = trial.config["trial"]
        self.trials[name] = trial
        if self.stop:  # it had been waiting for room in Ray
            self.terminate([trial])
        self.record.started(name)

    @ends_search_on_failure
    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note what an epoch measured."""
        self.machines[trial.config["trial"]] = str(result.get("node_ip"))
        for line in result.get("said") or ():
            self.table.say(f"{trial.config['trial']}: {line}")
        self._note_worker(trial.config["trial"], "running", result.get("ran"), result.get("cost"))
        # A state that an older version saved may lack a field.
        metrics = {k: result.get(k, math.nan) for k in self.space.metrics()}
        self.record.epoch(trial.config["trial"], metrics, result)
        self._end_paused()

    def _note_worker(self, name: str, status: str, ran: Any, cost: Any) -> None:
        """Note what a trial is computed with and what its net costs, where that is new.

        Its key rests on what it is computed with.
        """
        new: dict[str, Any] = {}
        if ran and ran != self.state.ran_with.get(name):
            self.state.ran_with[name] = new["ran"] = ran
            if self.key and status == "running":
                new["key"] = self.key(self.state.running[name].settings, ran)
        if cost and name not in self.state.costs:
            self.state.costs[name] = new["cost"] = cost
        if new:
            self.record.worker_told(name, status, new)

    @ends_search_on_failure
    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Note that a trial ran to its end, or why it was stopped."""
        name = trial.config["trial"]
        self._forget(trial)
        if name in self.state.scheduler.paused:
            self.record.pause(name)
        else:
            stop = self.state.scheduler.stops.get(name)
            self._end(name, "stopped" if stop else "done", stop)
        self._end_paused()

    @ends_search_on_failure
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why a trial failed, or have it tried again where that may help."""
        name, error = trial.config["trial"], failures.error_of(trial)
        self._forget(trial)
        kind, reason = failures.kind_of(error), failures.reason_of(error)
        if kind == failures.MEMORY and self._give_more(name, reason):
            return
        if self.stop and kind != failures.BUG:
            self.record.interrupt(name)
            return
        if kind == failures.PREEMPTED:
            self.record.again(name, f"{reason}; goes on from there")
            return
        if kind in (failures.LOST, failures.STORAGE):
            wait = self.retries.next_delay(name, self.state.epochs_noted(name))
            if wait is not None:
                self.record.again(name, f"{reason}; tried again in {wait:g} s")
                return
            if kind == failures.STORAGE:  # that of all trials
                raise OSError(0, reason)
        stop, spared = StopDecision("error", reason), self.state.scheduler.controls.get(name)
        if spared:  # the decision outlives the failure
            stop = spared._replace(reason=f"failed: {reason}; spared before: {spared.reason}")
        self._end(name, "failed", stop, log=failures.last_lines(self.run / "logs" / f"{name}.log"))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show how far the search is: Ray comes here all the time, ten times a second or more."""
        self.table.look()

    def close(self) -> SearchStop | None:
        """Mark what is still running as interrupted.

        Returns:
            What cut the search short; None where it came to its end.
        """
        self.journal_failed |= self.record.journal.foreign is not None
        if not self.journal_failed:
            for name in list(self.state.running):
                self.record.interrupt(name)
            self.record.sweep()  # what is swept is what the journal says is over
        state = self.state
        left = state.running or state.interrupted or state.waiting or state.paused
        ended = self.state.exhausted and not left and not self.journal_failed
        stop = None if ended else self.stop or SearchStop(StopReason.INTERRUPTED)
        due = stop is None or stop.reason is StopReason.TIME_UP
        self.record.callbacks.close(stop and str(stop), PATIENCE if due else CUT_PATIENCE)
        return stop

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles the callbacks for its own restore, which nothing here uses.
        return {}

    def _end_paused(self) -> bool:
        """End the paused trials that too many others have overtaken; say whether any were."""
        scheduler = self.state.scheduler
        found = scheduler.out_while_paused(self.state.paused)
        for name in found:
            if name in scheduler.controls:
                self.record.note(name, "pending")
                self.state.spare(name)
            else:
                self._end(name, "stopped", scheduler.stops[name])
        return bool(found)

    def _forget(self, trial: Any) -> None:
        """Forget one of Ray's trials, which runs no more."""
        forget_results(trial)
        self.trials.pop(trial.config["trial"], None)

    def _end(self, name: str, status: str, stop: StopDecision | None, **more: Any) -> None:
        """Note the end of a trial, and forget what was known of it while it ran."""
        self.record.end(name, status, stop, machine=self.machines.pop(name, None), **more)
        self.retries.forget(name)

    def _reuse(self, suggestion: Suggestion, reused: ReusableTrial) -> None:
        """Take a trial from an earlier run; the rules judge it as if it ran now."""
        name, stop, scheduler = suggestion.trial, None, self.state.scheduler
        scheduler.begin(name, suggestion.settings)
        self.record.show_start(name)
        self._note_worker(name, "pending", reused.ran, reused.cost)  # for search.retrain
        for row in reused.rows:
            metrics = {key: row.get(key, math.nan) for key in self.space.metrics()}
            last = metrics["epoch"] + 1 == suggestion.settings["epochs"]
            stop = scheduler.observe(name, metrics, last)
            self.record.epoch(name, metrics, row)
            stop = None if stop is PAUSE else stop  # it costs nothing to go on
            if stop:
                break
        values = [row[self.space.metric] for row in scheduler.histories[name].rows]
        missing = reused.lacks(self.space.objective.best_epoch(values))
        if missing is None:
            self.record.storage.put(reused.weights, Path("weights") / f"{name}.pt")
        self._end(name, "stopped" if stop else "done", stop)
        if missing and name in {trial for _, _, trial in self.state.best}:
            self.table.say(
                f"{name}: ranked as {reused.run}/{reused.trial} was, but its weights are not "
                f"kept: {missing}; search.retrain trains it again"
            )

    def _give_more(self, name: str, reason: str) -> bool:
        """Queue a trial again with twice its share, where there is more to give; say whether."""
        net = str(self.state.running[name].settings["net"])
        doublings = self.state.doublings.get(name, 0)
        if self.shares is None or not self.shares.can_double(net, doublings):
            return False
        self.state.doublings[name] = doublings + 1
        self.record.again(
            name, f"{reason}; tried again with {self.shares.describe(net, doublings + 1)}"
        )
        return True

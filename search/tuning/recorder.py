"""What happens in a run: told by Ray, written to the journal and TensorBoard, shown on the board.

The Recorder is also where an earlier session is taken up: it replays the journal into TPE,
ASHA's rungs and the race for the best, and hands out the unfinished trials first.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any

from ray import tune

from facesiam.config.trial import EpochMetrics
from facesiam.fingerprint import Key
from facesiam.storage import Folder, Storage
from facesiam.storage import sweep as storage_sweep
from search.pruning.scheduler import Scheduler, Stop
from search.resources.allocation import Allocation
from search.runs.journal import Journal
from search.runs.reuse import ReusableTrial
from search.space.model import SearchSpace
from search.tuning import failures, warm_start
from search.tuning.live_table import Board
from search.tuning.outcomes import Progress, progress_of
from search.tuning.ray_cluster import forget_results
from search.tuning.resume import NO_STOP, take_up
from search.tuning.sampler import Sampler, Suggestion
from search.tuning.tensorboard import TensorBoard

Over = Mapping[str, set[str]]
"""By folder the trials whose files are needed no more."""
Sweep = Callable[[Callable[[], Over]], None]
"""Removes the files of the trials that are over, which it asks for when it does."""
INTERRUPTED = Stop("interrupted", "interrupted")
EPOCH_FIELDS = tuple(item.name for item in fields(EpochMetrics))
OF_PAIRS = ("val_distinct", "val_right")
"""Of an epoch's validation pairs: how many are not of the pictures of an earlier one, and which
were judged right. Older runs lack them."""


def ends_on_a_full_disk(noting: Callable[..., None]) -> Callable[..., None]:
    """Have the search end where what happened cannot be noted.

    Nothing is noted any more then: a journal with a gap would tell of a run that never was. And
    Ray would only wrap the error, and print it.
    """

    @wraps(noting)
    def guarded(self: Recorder, *given: Any, **more: Any) -> None:
        """Note it, or end the search."""
        try:
            noting(self, *given, **more)
        except OSError as error:
            self.halted = failures.told(error)
            self.deaf = True
            raise KeyboardInterrupt from error

    return guarded


class Recorder(tune.Callback):
    """Told by Ray of everything that happens in a run; the run's state between sessions."""

    def __init__(
        self,
        space: SearchSpace,
        run: Path,
        board: Board,
        shares: Allocation | None = None,
        key: Key | None = None,
        lent: Mapping[str, ReusableTrial] | None = None,
        storage: Storage | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        self.space, self.run, self.board, self.shares = space, run, board, shares
        self.key, self.lent = key, lent or {}
        self.storage = storage or Folder(run)
        self.sweep = sweep or (lambda over: storage_sweep(self.storage, over()))
        self.retries = failures.Retries()
        self.halted: str | None = None
        """Why no trial starts any more; None: nothing keeps them."""
        self.tell: Callable[[list[Any]], None] = lambda trials: None
        """Tells the workers of Ray's trials to save and end."""
        self.deaf = False
        """Whether the journal could not be written, so that nothing more may be."""
        self.machines: dict[str, str] = {}
        """Address of the machine that a trial's last epoch came from."""
        self.trials: dict[str, Any] = {}
        """Ray's trials that run, by our id."""
        self.scheduler = Scheduler(space)
        self.suggester = Sampler(space, warm_start.read(run))
        self.journal = Journal(run)
        self.events = TensorBoard(run / "tensorboard", board.say)
        self.session = len(list((run / "ray").glob("session*"))) + 1
        self.running: dict[str, Suggestion] = {}
        self.best: list[tuple[float, int, str]] = []
        """(metric turned so that less is better, best epoch, trial) of those that have ended and
        keep their weights, the best first."""
        self.larger: dict[str, int] = {}
        """How often a trial's share was doubled, as it ran out of memory."""
        self.ended: set[str] = set()
        """Trials of this journal that have ended, failed ones too: nothing else is swept."""
        self.ran: dict[str, Any] = {}
        """What a trial that has not ended was computed with: see facesiam.device.numerics."""
        self.failed: set[str] = set()
        self.interrupted: set[str] = set()
        """Trials that --resume goes on with."""
        self.exhausted = False
        self.waiting = take_up(self)
        if isinstance(self.storage, Folder):  # of workers that were killed while they wrote
            going = {suggestion.trial for suggestion in self.waiting}
            self.storage.clear_halves(self.ended | going)
        self._sweep()

    def next(self) -> Suggestion | None:
        """Return the next trial to run, or None when there is none, or none yet."""
        while suggestion := self._next():
            self.running[suggestion.trial] = suggestion
            key = self.key(suggestion.settings) if self.key else None
            if not (lent := self.lent.get(key or "")):
                self._note(suggestion.trial, "pending", key=key)
                return suggestion
            self._note(suggestion.trial, "pending", key=key, reused=f"{lent.run}/{lent.trial}")
            if lent.ran:  # for search.retrain
                self.journal.trial(suggestion.trial, "pending", ran=lent.ran)
            self._borrow(suggestion, lent)
        return None

    def _next(self) -> Suggestion | None:
        if self.halted:
            return None
        ready = next((one for one in self.waiting if self.retries.ready(one.trial)), None)
        if ready:
            self.running[ready.trial] = ready
            self.waiting.remove(ready)
            return ready
        if self.exhausted or (self.waiting and not self.running):
            return None  # alone, a search keeps its order: what waits comes first
        suggestion = self.suggester.next(self._progress())
        self.exhausted = suggestion is None
        return suggestion

    def _progress(self) -> dict[str, Progress]:
        """Return how the trials went so far that run, or wait to go on."""
        histories = self.scheduler.histories
        return {name: progress_of(history, self.space) for name, history in histories.items()}

    def over(self) -> bool:
        """Say whether nothing runs and nothing will."""
        if self.running:  # it may run out of memory, or die, and be tried again
            return False
        return bool(self.halted) or (self.exhausted and not self.waiting)

    def lost(self, why: str) -> None:
        """End at once, from any thread: another driver has the run, so nothing may be noted."""
        self.deaf, self.halted = True, why
        if callable(signal.getsignal(signal.SIGALRM)):  # see shutdown.py
            os.kill(os.getpid(), signal.SIGALRM)

    def bar(self) -> float | None:
        """Return the score that a trial must reach for its weights to be kept; None: any does."""
        sure = [place for place in self.best if place[2] not in self.failed]
        if len(sure) < self.space.keep:  # a failed one may do worse when it is tried again
            return None
        return self.space.objective.key(-sure[-1][0])

    def noted(self, trial: str) -> int:
        """Return how many epochs of a trial are in the journal."""
        history = self.scheduler.histories.get(trial)
        return len(history.rows) if history else 0

    @ends_on_a_full_disk
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial runs."""
        name = trial.config["trial"]
        self.trials[name] = trial
        if self.halted:  # it had been waiting for room in Ray
            self.tell([trial])
        self._note(name, "running")
        self.board.started(name, int(self.running[name].settings["epochs"]))

    @ends_on_a_full_disk
    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note what an epoch measured."""
        self.machines[trial.config["trial"]] = str(result.get("node_ip"))
        for line in result.get("said") or ():
            self.board.say(f"{trial.config['trial']}: {line}")
        self._note_ran(trial.config["trial"], result.get("ran"))
        # A state that an older version saved may lack a field.
        metrics = {k: result.get(k, math.nan) for k in EPOCH_FIELDS}
        self._epoch(trial.config["trial"], metrics, result)

    def _note_ran(self, name: str, ran: Any) -> None:
        """Note what a trial is computed with, where that is not known yet; its key is of that."""
        if ran and ran != self.ran.get(name):
            self.ran[name] = ran
            settings = self.running[name].settings
            key = {"key": self.key(settings, ran)} if self.key else {}
            self.journal.trial(name, "running", ran=ran, **key)

    def _epoch(self, name: str, metrics: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Note an epoch, and what was told of its validation pairs besides."""
        self.scheduler.enter(name, metrics)
        self.journal.epoch(name, {**metrics, **{key: told.get(key) for key in OF_PAIRS}})
        spared = self.scheduler.spared.get(name)
        if spared and spared.epoch == metrics["epoch"]:
            self._note(name, "running")
        self.events.epoch(name, metrics)
        self.board.epoch(name, metrics)

    @ends_on_a_full_disk
    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        """Note that a trial ran to its end, or why it was stopped."""
        forget_results(trial)
        stop = self.scheduler.stops.get(trial.config["trial"])
        self._end(trial.config["trial"], "stopped" if stop else "done", stop)

    @ends_on_a_full_disk
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why a trial failed, or have it tried again where that may help."""
        name, error = trial.config["trial"], failures.error_of(trial)
        forget_results(trial)
        kind, reason = failures.kind_of(error), failures.reason_of(error)
        if kind == failures.MEMORY and self._give_more(name, reason):
            return
        if kind == failures.PREEMPTED and not self.halted:
            self._again(name, f"{reason}; goes on from there")
            return
        if kind in (failures.LOST, failures.STORAGE) and not self.halted:
            wait = self.retries.again(name, self.noted(name))
            if wait is not None:
                self._again(name, f"{reason}; tried again in {wait:g} s")
                return
            if kind == failures.STORAGE:  # that of all trials
                raise OSError(0, reason)
        if self.halted and kind != failures.BUG:
            self._interrupt(name)
            return
        stop, spared = Stop("error", reason), self.scheduler.spared.get(name)
        if spared:  # the verdict outlives the failure
            stop = spared._replace(reason=f"failed: {reason}; spared before: {spared.reason}")
        self._end(name, "failed", stop, log=failures.last_lines(self.run / "logs" / f"{name}.log"))

    def close(self) -> str | None:
        """Mark what is still running as interrupted.

        Returns:
            What cut the search short; None where it came to its end.
        """
        self.deaf |= self.journal.foreign is not None
        for name in [] if self.deaf else list(self.running):
            self._interrupt(name)
        if not self.deaf:  # what is swept is what the journal says is over
            self._sweep()
        left = self.running or self.interrupted or self.waiting
        ended = self.exhausted and not left and not self.deaf
        return None if ended else self.halted or "interrupted"

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles the callbacks for its own restore, which nothing here uses.
        return {}

    def _note(self, name: str, status: str, stop: Stop | None = None, **more: Any) -> None:
        suggestion, spared = self.running[name], self.scheduler.spared.get(name)
        if name in self.larger:
            more["larger"] = self.larger[name]
        self.journal.trial(
            name,
            status,
            row=suggestion.row,
            settings=suggestion.settings,
            **(stop or spared or NO_STOP).noted(),
            control=spared is not None,
            **more,
        )

    def _end(self, name: str, status: str, stop: Stop | None, **more: Any) -> None:
        self._note(name, status, stop, machine=self.machines.pop(name, None), **more)
        settings = self.running[name].settings
        value = self.enter_end(name, status, stop.rule if stop else None)
        if status == "failed":  # --resume tries it again, from its state
            self.failed.add(name)
        self._forget(name)
        self.ran.pop(name, None)
        self.scheduler.forget(name)
        self.retries.forget(name)
        self._sweep()
        self.events.ended(name, settings, value, self.space.metric)
        spared = self.scheduler.spared.get(name)
        said = stop or spared
        reason = said and (f"{said.rule}: " * (said.rule != "error") + str(said.reason))
        if spared and not stop:
            reason = f"ran on as control; {reason}"
        self.board.ended(name, status, value, reason)

    def _forget(self, name: str) -> None:
        self.trials.pop(name, None)
        self.running.pop(name)

    def _interrupt(self, name: str) -> None:
        # What the control group was spared from must outlive the interruption.
        self._note(name, "interrupted", self.scheduler.spared.get(name) or INTERRUPTED)
        self.interrupted.add(name)
        self._forget(name)

    def _again(self, name: str, why: str) -> None:
        """Put a trial back into the queue, as the first one."""
        self._note(name, "pending")
        self.waiting.insert(0, self.running[name])  # before it is no more among those that run
        self._forget(name)
        self.board.again(name, why)

    def _borrow(self, suggestion: Suggestion, lent: ReusableTrial) -> None:
        """Take a trial from an earlier run, and judge it as if it ran now."""
        name, stop = suggestion.trial, None
        self.scheduler.begin(name, suggestion.settings)
        self.board.started(name, int(suggestion.settings["epochs"]))
        for row in lent.rows:
            metrics = {key: row.get(key, math.nan) for key in EPOCH_FIELDS}
            last = metrics["epoch"] + 1 == suggestion.settings["epochs"]
            stop = self.scheduler.hear(name, metrics, last)
            self._epoch(name, metrics, row)
            if stop:
                break
        values = [row[self.space.metric] for row in self.scheduler.histories[name].rows]
        best = self.space.objective.best_epoch(values)
        missing = lent.lacks(best)
        if missing is None:
            self.storage.put(lent.weights, Path("weights") / f"{name}.pt")
        self._end(name, "stopped" if stop else "done", stop)
        if missing and name in {trial for _, _, trial in self.best}:
            self.board.say(
                f"{name}: ranked as {lent.run}/{lent.trial} was, but its weights are not kept: "
                f"{missing}; search.retrain trains it again"
            )

    def enter_end(self, name: str, status: str, rule: str | None) -> float | None:
        """Tell TPE and the race for the best of a trial that has ended, by a rule or by itself."""
        self.ended.add(name)
        history = self.scheduler.histories.get(name)
        values = [float(row[self.space.metric]) for row in history.rows] if history else []
        epoch = self.space.objective.best_epoch(values)
        value = None if epoch is None else values[epoch]
        went = progress_of(history, self.space) if history else None
        self.suggester.tell(name, value, self.scheduler.step(name), status, rule, went)
        if epoch is not None:
            # The order of the ranked table, so that the weights kept are those of its first rows.
            self.best.append((-self.space.objective.key(value), epoch, name))
            self.best = sorted(self.best)[: self.space.keep]
        return value

    def _sweep(self) -> None:
        """Remove the files of trials that have ended, but for the best ones' weights.

        All of them, not only those of the last one: a worker may still have been writing when its
        trial was stopped.
        """
        self.sweep(self._over)

    def _over(self) -> Over:
        going = {*self.running.copy(), *self.interrupted.copy()}  # copies: a mirror's thread asks
        going |= {suggestion.trial for suggestion in self.waiting.copy()}
        over = self.ended.copy() - going
        unfailed = over - self.failed.copy()
        best = {trial for _, _, trial in self.best.copy()}
        return {"weights": over - best, "state": unfailed, "logs": unfailed}

    def _give_more(self, name: str, reason: str) -> bool:
        """Queue a trial again with twice its share, where there is more to give; say whether."""
        net, larger = str(self.running[name].settings["net"]), self.larger.get(name, 0)
        if self.shares is None or not self.shares.grows(net, larger):
            return False
        self.larger[name] = larger + 1
        self._again(name, f"{reason}; tried again with {self.shares.told(net, larger + 1)}")
        return True

"""What a running search leaves of its trials: the journal, the live table, TensorBoard, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facesiam.storage.folder import Folder, sweep
from search.pruning.stop_decision import PAUSE, StopDecision
from search.runs.journal_writer import Journal
from search.runs.mirror import Mirror
from search.tracking.callback import Callback, reason_of, recorded_trials
from search.tracking.dispatcher import Dispatcher
from search.tuning.live_table import LiveTable
from search.tuning.search_state import INTERRUPTED, NO_STOP, SearchState
from search.tuning.tensorboard import TensorBoard
from search.tuning.time_left_halving import HalvingTimeLeft

OF_PAIRS = ("val_distinct", "val_right")
"""Of an epoch's validation pairs: how many are not of the pictures of an earlier one, and which
were predicted right. Older runs lack them."""


class RunRecord:
    """Enters what becomes of a trial in the search's state, and notes it where it is to be seen.

    A method that writes the journal, or removes files, raises OSError where it cannot.

    Args:
        state: what the search knows.
        run: folder of the run.
        table: shows the search.
        mirror: brings the run to where it lies; None: it lies in its folder.
        callbacks: are told of what is noted.
    """

    def __init__(
        self,
        state: SearchState,
        run: Path,
        table: LiveTable,
        mirror: Mirror | None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.state, self.table, self.mirror = state, table, mirror
        self.storage = mirror.bucket if mirror else Folder(run)
        self.journal = Journal(run)
        self.events = TensorBoard(run / "tensorboard", table.say)
        tried = [name for first in state.space.enqueue for name in first]
        self.varied = [*dict.fromkeys([*state.space.varied(), *tried])]
        """Settings that can differ between trials."""
        self.callbacks = Dispatcher(callbacks, table.say)
        self._begun: set[str] = set()
        """Trials of whose start the callbacks were told."""

    def start(self) -> None:
        """Note what a killed driver had not noted, show what has ended, remove files left over."""
        scheduler = self.state.scheduler
        left = [*self.state.waiting, *self.state.paused.values()]
        if scheduler.halving:
            halving, total = scheduler.halving, self.table.left.total
            self.table.left = HalvingTimeLeft(
                total, halving.factor, halving.arrivals, self.table.clock
            )
        for past in self.state.past_ends:
            if past.missing is not None:
                self.journal.trial(past.trial, past.status, **past.missing)
            self.table.past(past.trial, past.status, past.value, past.settings, past.epochs)
        for one in left:
            done, paused = self.state.epochs_noted(one.trial), one.trial in self.state.paused
            self.table.wait(one.trial, one.settings, done, paused)
        if isinstance(self.storage, Folder):  # of workers that were killed while they wrote
            self.storage.clear_halves(self.state.ended | {one.trial for one in left})
        self.sweep()
        self._look_ahead()
        if self.callbacks.feeds:
            run = self.journal.run
            self.callbacks.tell("on_search_start", run, self.state.space, recorded_trials(run))

    def note(self, name: str, status: str, stop: StopDecision | None = None, **more: Any) -> None:
        """Note the status of a trial that runs.

        Args:
            name: the trial.
            status: one of ``line_format.STATUSES``.
            stop: why it is stopped; None: what the control group spared it from, or nothing.
            more: further fields of its line.
        """
        suggestion, spared = self.state.known(name), self.state.scheduler.controls.get(name)
        if name in self.state.doublings:
            more["larger"] = self.state.doublings[name]
        self.journal.trial(
            name,
            status,
            row=suggestion.row,
            settings=suggestion.settings,
            chosen_by=suggestion.chosen_by,
            **(stop or spared or NO_STOP).noted(),
            control=spared is not None,
            **more,
        )

    def started(self, name: str) -> None:
        """Note that a worker has begun with a trial."""
        self.note(name, "running")
        self.show_start(name)

    def show_start(self, name: str) -> None:
        """Show that a trial begins: by a worker, or as one that is taken from an earlier run."""
        settings = self.state.running[name].settings
        done = self.state.epochs_noted(name)
        self.table.started(name, int(settings["epochs"]), settings, done)
        self._tell_start(name, settings)

    def worker_told(self, name: str, status: str, fields: Mapping[str, Any]) -> None:
        """Note what a trial is computed with, or what its net costs in use, or both."""
        self.journal.trial(name, status, **fields)
        if "cost" in fields:
            self.callbacks.tell("on_cost", name, fields["cost"])

    def epoch(self, name: str, metrics: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Note an epoch.

        Args:
            name: the trial.
            metrics: by name, as the space has them.
            result: what the worker reported; its fields of the validation pairs are noted too.
        """
        scheduler = self.state.scheduler
        scheduler.add_epoch(name, metrics)
        noted = {**metrics, **{key: result.get(key) for key in OF_PAIRS}}
        self.journal.epoch(name, noted)
        spared = scheduler.controls.get(name)
        if spared and spared.epoch == metrics["epoch"]:
            self.note(name, "running")
        self.events.epoch(name, metrics)
        self.table.epoch(name, metrics)
        self.callbacks.tell("on_epoch", name, noted)

    def end(self, name: str, status: str, stop: StopDecision | None, **more: Any) -> None:
        """Note the end of a trial, and remove the files that nobody needs from then on.

        Args:
            name: the trial.
            status: done, stopped or failed.
            stop: why it was stopped, or failed.
            more: further fields of its line.
        """
        self.note(name, status, stop, **more)
        settings = self.state.known(name).settings
        self._tell_start(name, settings, again=False)
        value = self.state.end(name, status, stop.rule if stop else None)
        self.sweep()
        differing = {key: settings[key] for key in self.varied if key in settings}
        costs = self.state.costs.get(name, {})
        self.events.ended(name, {**differing, **costs}, value, self.state.space.metric)
        spared = self.state.scheduler.controls.get(name)
        shown = stop or spared or NO_STOP
        reason = reason_of(shown.rule, shown.reason, spared is not None and not stop)
        self._look_ahead()
        self.table.ended(name, status, value, reason)
        self.callbacks.tell("on_trial_end", name, status, reason)

    def _look_ahead(self) -> None:
        """Show what the trials that have not begun would gain, and once that it is too little."""
        prospects, table = self.state.prospects, self.table
        outlook = prospects.enough or prospects.outlook
        table.outlook = outlook.text(self.state.space.objective) if outlook else None
        if prospects.ended_by and not table.ended_by:
            table.end_with(prospects.begun, prospects.ended_by)
            table.say(f"no trial begins any more; {table.ended_by}")

    def interrupt(self, name: str) -> None:
        """Note that a trial is left to --resume."""
        # What the control group was spared from must outlive the interruption.
        self.note(name, "interrupted", self.state.scheduler.controls.get(name) or INTERRUPTED)
        self._tell_start(name, self.state.running[name].settings, again=False)
        self.state.interrupt(name)
        self.callbacks.tell("on_trial_end", name, "interrupted", None)

    def pause(self, name: str) -> None:
        """Note that a trial waits at a rung, with its state saved."""
        self.note(name, "pending", PAUSE._replace(rule=None))
        self.state.pause(name)
        self.table.requeue(name, paused=True)
        self.callbacks.tell("on_trial_end", name, "pending", PAUSE.reason)

    def again(self, name: str, why: str) -> None:
        """Have a trial tried again as the next one, and show why."""
        self.note(name, "pending")
        self._tell_start(name, self.state.running[name].settings, again=False)
        self.state.requeue(name)
        self.table.requeued(name, why)
        self.callbacks.tell("on_trial_end", name, "pending", why)

    def sweep(self) -> None:
        """Remove the files of all trials that have ended, as a worker may have written since."""
        if self.mirror:
            self.mirror.sweep(self.state.removable)
        else:
            sweep(self.storage, self.state.removable())

    def _tell_start(self, name: str, settings: Mapping[str, Any], again: bool = True) -> None:
        """Tell the callbacks that a trial begins: also one that ends before a worker had it."""
        if again or name not in self._begun:
            self._begun.add(name)
            self.callbacks.tell("on_trial_start", name, dict(settings))

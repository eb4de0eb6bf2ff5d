"""Tracker: a callback that keeps a copy of the run's trials elsewhere up to date."""

from __future__ import annotations

import hashlib
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from facesiam.cli import program
from facesiam.config import Value
from facesiam.errors import UserError, counted, named
from search.runs import layout
from search.runs.line_format import EpochLine
from search.space import SearchSpace
from search.tracking.callback import Callback, TrialRecord

PAUSES = 5.0, 60.0
"""Seconds without a new attempt after a failure; it doubles with each failure in a row."""


EXPORT = "export"
"""Folder of a run with its exported net, of facesiam.export; also the name of the artifact."""


class TrackerError(UserError):
    """A tracker that cannot be used; the text says why."""


class Tracker(Callback, ABC):
    """Has the records of all trials, and brings those that changed to where they are copied.

    What fails is due until it succeeds: a server that was away for an hour has everything once it
    is back. A run that goes on, or that is copied once more, only brings what is not there.
    """

    title: str
    """What messages call it."""
    option: str
    """Of ``search.results``, which brings what is missing."""

    def __init__(self) -> None:
        self.run, self.space = Path(), SearchSpace(path=Path(), name="")
        self.trials: dict[str, TrialRecord] = {}
        self.due: dict[str, None] = {}
        """Trials whose copy may lack something, in the order of their change."""
        self.opened = False
        self._pause, self._until = PAUSES[0], 0.0

    @property
    def label(self) -> str:
        """What the messages call this tracker."""
        return self.title

    @property
    def lacks(self) -> str:
        """What is missing in the copy, and what brings it; empty: nothing."""
        if self.opened and not self.due:
            return ""
        what = f"{len(self.due)} of {self.many}" if self.opened else "this run"
        command = f"{program('search.results')} {shlex.quote(str(self.run))} {self.option}"
        missing = f"{self.title} lacks {what}, or a part of it"
        return f"{missing}; what is missing is brought by\n  {command}"

    @property
    def kept(self) -> str:
        """Where the copy is, and what shows it; empty: something is missing in it."""
        return "" if self.lacks else self.summary()

    @property
    def many(self) -> str:
        """How many trials the run has, in words."""
        return counted(len(self.trials), "trial")

    # What a subclass has to do; each may raise any Exception.

    @abstractmethod
    def open(self) -> None:
        """Find or make the place of the run's copy, and what it has so far."""

    @abstractmethod
    def update(self, trial: str, record: TrialRecord) -> None:
        """Bring what the copy of a trial lacks."""

    @abstractmethod
    def summary(self) -> str:
        """Return where the copy is, and what shows it."""

    def finish(self, stop: str | None) -> None:
        """Note the end of the search, where there is a place for it."""

    def leave(self) -> None:
        """Let go of what is open in the copy of a run that goes on elsewhere."""

    # The events

    def on_search_start(
        self, run: Path, space: SearchSpace, resumed: Mapping[str, TrialRecord]
    ) -> None:
        """Bring what earlier sessions left."""
        self.run, self.space = run, space
        # Copies, as each tracker changes its own, on its own thread.
        own = {name: replace(one, epochs=dict(one.epochs)) for name, one in resumed.items()}
        self.trials.update(own)
        self.due.update(dict.fromkeys(resumed))
        self.bring()

    def on_trial_start(self, trial: str, settings: Mapping[str, Value]) -> None:
        """Note that a trial runs."""
        record = self.trials.setdefault(trial, TrialRecord(settings))
        record.status, record.reason, record.ended = "running", None, None
        record.began = record.began or time.time()
        self._changed(trial)

    def on_cost(self, trial: str, cost: Mapping[str, float]) -> None:
        """Keep what a trial's net costs; the epoch that follows brings it."""
        self.trials[trial].cost = cost

    def on_epoch(self, trial: str, record: EpochLine) -> None:
        """Note an epoch."""
        self.trials[trial].epochs[record["epoch"]] = record
        self._changed(trial)

    def on_trial_end(self, trial: str, status: str, reason: str | None) -> None:
        """Note the end of a trial."""
        record = self.trials[trial]
        record.status, record.reason, record.ended = status, reason, time.time()
        self._changed(trial)

    def on_search_end(self, stop: str | None) -> None:
        """Bring what is left, whatever failed before."""
        try:
            self.bring(now=True)
        finally:
            if self.opened:
                self._guarded(self.finish, stop)

    def bring(self, now: bool = False) -> None:
        """Bring what is due.

        Args:
            now: also shortly after a failure.

        Raises:
            TrackerError: the other side fails; what is due stays so.
        """
        if not now and time.monotonic() < self._until:
            return
        if not self.opened:
            self._guarded(self.open)
            self.opened = True
        failure: UserError | None = None
        again = False
        for trial in list(self.due):
            try:
                self._guarded(self.update, trial, self.trials[trial])
            except UserError as error:
                if again:  # the other side is away, whatever the trial
                    raise
                failure, again = error, True  # it alone must not keep the others from coming
            else:
                again = False
                del self.due[trial]
        if failure:
            raise failure
        self._pause = PAUSES[0]

    def best_epoch(self, record: TrialRecord) -> EpochLine | None:
        """Return what the best epoch of a trial measured; None: no epoch has a score."""
        rows = list(record.epochs.values())
        metric = self.space.metric
        best = self.space.objective.best_epoch([float(row[metric]) for row in rows])
        return None if best is None else rows[best]

    def let_go(self) -> None:
        """Let go of the copy of a run that may go on elsewhere.

        Raises:
            TrackerError: the other side fails.
        """
        self._guarded(self.leave)

    def _changed(self, trial: str) -> None:
        self.due[trial] = None
        self.bring()

    def _guarded(self, work: Any, *given: Any) -> None:
        """Do some work of the subclass; leave the other side alone for a while where it fails."""
        try:
            work(*given)
        except Exception as error:
            self._until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, PAUSES[1])
            if isinstance(error, UserError):
                raise
            raise TrackerError(named(error)) from error


def identity(run: Path) -> str:
    """Return eight characters that stand for a run, wherever its folder is moved."""
    parts = [run.name]
    with suppress(UserError):
        manifest = layout.manifest(run)
        parts = [str(manifest.get(key)) for key in ("name", "started", "command")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]

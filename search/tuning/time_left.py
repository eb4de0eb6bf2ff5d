"""How long a search still takes, estimated from its trials so far.

A trial that waits is taken to run as many epochs as trials of this search do: the share that goes
on after each epoch is counted from those that have come so far (the estimate of Kaplan and Meier,
1958), so that early stops do not make the survivors look short, nor survivors the others long. The
trials are then laid onto the slots in which trials run, each as one is free; the last slot that
empties ends the search. ``scripts/time_left.py`` measures how far off this is.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from facesiam.config import Value


@dataclass
class _Trial:
    """A trial as far as its time is concerned."""

    planned: int
    since: float
    """When it started, or reported its last epoch."""
    epochs: int = 0
    seconds: list[float] = field(default_factory=list)
    """Wall time of each epoch in this session, from the report before it."""


class TimeLeft:
    """Estimates how long a search still takes.

    Args:
        total: how many trials the search has; None: not known, so nothing is estimated.
        clock: returns the time in seconds.
    """

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self.running: dict[str, _Trial] = {}
        self.ended = 0
        self.slots = 1
        """Trials that run at once, as of the last one that started."""
        self._reached: Counter[int] = Counter()
        """Trials by the epochs after which it was decided whether they go on."""
        self._stopped: Counter[int] = Counter()
        """Those of them that did not."""
        self._planned: list[int] = []
        self._speeds: list[float] = []
        """Mean wall time of an epoch of each trial that has ended, in seconds."""

    def start(
        self, name: str, planned: int, done: int = 0, settings: Mapping[str, Value] | None = None
    ) -> None:
        """Enter a trial that starts, with the epochs that it would run and those it has."""
        if name not in self.running:
            self.running[name] = _Trial(planned, self.clock(), done)
            self._planned.append(planned)
            self.slots = len(self.running)

    def known(
        self, name: str, planned: int, done: int, settings: Mapping[str, Value] | None = None
    ) -> None:
        """Enter how far a trial has come that does not run: of no use here."""

    def epoch(self, name: str, done: int, seconds: float) -> None:
        """Enter that a trial has so many epochs done, the last in so many seconds."""
        trial, now = self.running[name], self.clock()
        if now - trial.since > seconds / 2:  # else it is taken from an earlier run
            trial.seconds.append(now - trial.since)
        trial.since, trial.epochs = now, done
        if done < trial.planned:
            self._reached[done] += 1

    def end(self, name: str, again: bool = False) -> None:
        """Enter that a trial has ended, or goes back into the queue."""
        trial = self.running.pop(name, None)
        self.ended += not again
        if trial and trial.seconds:
            self._speeds.append(statistics.mean(trial.seconds))
        if trial and not again and 0 < trial.epochs < trial.planned:
            self._stopped[trial.epochs] += 1

    def epochs_left(self) -> float | None:
        """Return the epochs that are expected of all trials to come and of those that run."""
        if self.total is None or not self._planned:
            return None
        rest = sum(self._rest(trial.planned, trial.epochs) for trial in self.running.values())
        return rest + self._waiting() * self._of_a_trial()

    def seconds(self) -> float | None:
        """Return the seconds until the search ends; None: nothing can be said yet."""
        trials = self.running.values()
        speeds = self._speeds + [statistics.mean(one.seconds) for one in trials if one.seconds]
        if self.total is None or not speeds:
            return None
        usual, now = statistics.mean(speeds), self.clock()
        free = []
        for trial in trials:
            pace = statistics.mean(trial.seconds) if trial.seconds else usual
            rest = self._rest(trial.planned, trial.epochs) * pace
            free.append(max(rest - min(now - trial.since, pace), 0.0))
        free += [0.0] * (self.slots - len(free))
        heapq.heapify(free)
        whole = self._of_a_trial() * usual
        for _ in range(self._waiting()):
            heapq.heapreplace(free, free[0] + whole)
        return max(free)

    def _waiting(self) -> int:
        return max(0, (self.total or 0) - self.ended - len(self.running))

    def _of_a_trial(self) -> float:
        """Return the epochs that are expected of a trial that has not started."""
        return statistics.mean(self._rest(planned, 0) for planned in self._planned)

    def _rest(self, planned: int, done: int) -> float:
        """Return the epochs that are expected of a trial after so many."""
        expected, chance = 0.0, 1.0
        for after in range(done + 1, planned + 1):
            expected += chance
            if reached := self._reached[after]:
                chance *= 1 - self._stopped[after] / (reached + 1)  # as if one more had gone on
        return expected

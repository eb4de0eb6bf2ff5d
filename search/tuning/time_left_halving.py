"""How long a search with `halving` still takes, from how many trials go from rung to rung.

Of n trials n go to the first rung, n / factor from there to the second, and so on; what they have
done already is taken off. A stretch between two rungs takes one trial's time at least, however
many workers are free, so that the last trials are not taken to run on all of them. Its epochs are
taken to be as slow as those of the trials that have come to it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from facesiam.config import Value
from facesiam.config.rounding import rounded_up
from search.tuning.time_left import TimeLeft


class _Stretch(NamedTuple):
    """The epochs from one rung, or the start, to the next one, or the end."""

    begin: int
    end: int
    trials: float
    """That have yet to run it, those that run it counted by the share that is left."""


class HalvingTimeLeft(TimeLeft):
    """Estimates how long a search with `halving` still takes.

    Args:
        total: how many trials the search has; None: not known, so nothing is estimated.
        factor: one trial in this many goes on from a rung.
        pauses: returns the numbers of epochs after which a trial comes to the rungs.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total: int | None,
        factor: float,
        pauses: Callable[[Mapping[str, Value]], list[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(total, clock)
        self.factor, self.pauses = factor, pauses
        self._stops: list[int] = []
        """The rungs of the trial that started last, and its end, in epochs."""
        self._done: dict[str, int] = {}
        """Epochs of all trials that have begun."""
        self._paces: dict[str, float] = {}
        """Seconds of an epoch of the trials that have ended or wait."""
        self._most = 1
        """The most trials that ran at once."""

    def start(
        self, name: str, planned: int, done: int = 0, settings: Mapping[str, Value] | None = None
    ) -> None:
        """Enter a trial that starts, or goes on."""
        super().start(name, planned, done)
        self.known(name, planned, done, settings)
        self._most = max(self._most, self.slots)

    def known(
        self, name: str, planned: int, done: int, settings: Mapping[str, Value] | None = None
    ) -> None:
        """Enter how far a trial has come that does not run: it waits, or has ended."""
        self._done[name] = done
        self._stops = [*self.pauses(settings or {"epochs": planned}), planned]

    def epoch(self, name: str, done: int, seconds: float) -> None:
        """Enter that a trial has so many epochs done, the last in so many seconds."""
        super().epoch(name, done, seconds)
        self._done[name] = done

    def end(self, name: str, again: bool = False) -> None:
        """Enter that a trial has ended, or waits; where too many overtook it, another goes on."""
        self._paces |= self._running_paces(name)
        super().end(name, again)
        if not again and name in self._done:
            self._done[name] = max((at for at in self._stops if at <= self._done[name]), default=0)

    def epochs_left(self) -> float | None:
        """Return the epochs that are expected of all trials to come and of those that run."""
        if self.total is None or not self._stops:
            return None
        return sum(each.trials * (each.end - each.begin) for each in self._stretches(0.0))

    def seconds(self) -> float | None:
        """Return the seconds until the search ends; None: nothing can be said yet."""
        paces = self._paces | self._running_paces(*self.running)
        if self.total is None or not paces or not self._stops:
            return None
        seconds, pace = 0.0, statistics.mean(paces.values())
        for begin, end, trials in self._stretches(pace):
            here = [paces[name] for name in paces if self._done[name] > begin]
            pace = statistics.mean(here) if here else pace
            seconds += max(trials / self._most, min(1.0, trials)) * (end - begin) * pace
        return seconds

    def _running_paces(self, *names: str) -> dict[str, float]:
        """Return the seconds of an epoch of those of the trials that run and have one."""
        running = {name: self.running[name] for name in names if name in self.running}
        return {name: statistics.mean(one.seconds) for name, one in running.items() if one.seconds}

    def _stretches(self, pace: float) -> list[_Stretch]:
        """Return the stretches of a trial, with the time since a last epoch as a part of one."""
        now, total, found = self.clock(), self.total or 0, []
        for number, (begin, end) in enumerate(itertools.pairwise([0, *self._stops])):
            running = [
                one.epochs + (min(1.0, (now - one.since) / pace) if pace else 0.0)
                for one in self.running.values()
                if begin <= one.epochs < end
            ]
            left = sum((end - done) / (end - begin) for done in running)
            over = sum(
                done >= end or (name not in self.running and (done > begin or not number))
                for name, done in self._done.items()
            )
            places = max(1, rounded_up(total / self.factor**number))
            to_come = max(0, places - over - len(running))
            found.append(_Stretch(begin, end, to_come + left))
        return found

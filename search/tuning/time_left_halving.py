"""How long a search with `halving` still takes, from how many trials go from rung to rung.

Of n trials n go to the first rung, n / factor from there to the second, and so on; what they have
done already is taken off. A stretch between two rungs is as long for a trial that has yet to begin
it as on average for those that are known, as trials may be of different lengths. It takes one
trial's time at least, however many workers are free, so that the last trials are not taken to run
on all of them. Its epochs are taken to be as slow as those of the trials that have come to it.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from facesiam.config import Value
from facesiam.config.rounding import rounded_up
from search.tuning.time_left import TimeLeft


class _Stretch(NamedTuple):
    """The epochs from one rung, or the start, to the next one, or the end."""

    length: float
    """Of a trial, on average."""
    to_come: int
    """Trials that have yet to begin it."""
    left: list[float]
    """Epochs that each trial which is in the midst of it has left of it."""

    @property
    def epochs(self) -> float:
        """The epochs of all these trials."""
        return self.to_come * self.length + sum(self.left)


class _Known(NamedTuple):
    """How far trials have come that have begun."""

    bounds: tuple[int, ...]
    """The start, the rungs and the end, in epochs."""
    done: int
    """Epochs; of one that has ended those up to its last rung."""
    ended: bool
    runs: bool = False
    share: float = 0.0
    """Of the next epoch, that one which runs is taken to have done."""


class HalvingTimeLeft(TimeLeft):
    """Estimates how long a search with `halving` still takes.

    Args:
        total: how many trials the search has; None: not known, so nothing is estimated.
        factor: one trial in this many goes on from a rung.
        arrivals: returns by rung the number of epochs after which a trial comes to it.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total: int | None,
        factor: float,
        arrivals: Callable[[Mapping[str, Value]], list[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(total, clock)
        self.factor, self.arrivals = factor, arrivals
        self._bounds: dict[str, tuple[int, ...]] = {}
        """Of all trials that have begun the start, the rungs and the end, in epochs."""
        self._ended: set[str] = set()
        self._done: dict[str, int] = {}
        """Epochs of the same trials; of one that has ended those up to its last rung."""
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
        self._bounds[name] = (0, *self.arrivals(settings or {"epochs": planned}), planned)
        self._ended.discard(name)

    def epoch(self, name: str, done: int, seconds: float) -> None:
        """Enter that a trial has so many epochs done, the last in so many seconds."""
        super().epoch(name, done, seconds)
        self._done[name] = done

    def end(self, name: str, again: bool = False) -> None:
        """Enter that a trial has ended, or waits; where too many overtook it, another goes on."""
        self._paces |= self._running_paces(name)
        super().end(name, again)
        if not again and name in self._done:
            self._ended.add(name)
            self._done[name] = max(at for at in self._bounds[name] if at <= self._done[name])

    def epochs_left(self) -> float | None:
        """Return the epochs that are expected of all trials to come and of those that run."""
        if self.total is None or not self._bounds:
            return None
        return sum(stretch.epochs for stretch in self._stretches(0.0))

    def seconds(self) -> float | None:
        """Return the seconds until the search ends; None: nothing can be said yet."""
        paces = self._paces | self._running_paces(*self.running)
        if self.total is None or not paces or not self._bounds:
            return None
        seconds, pace = 0.0, statistics.mean(paces.values())
        for number, stretch in enumerate(self._stretches(pace)):
            here = [
                paces[name]
                for name in paces
                if self._done[name] > _bound(self._bounds[name], number)
            ]
            pace = statistics.mean(here) if here else pace
            one = min(max([stretch.length, *stretch.left]), stretch.epochs)
            seconds += max(stretch.epochs / self._most, one) * pace
        return seconds

    def _running_paces(self, *names: str) -> dict[str, float]:
        """Return the seconds of an epoch of those of the trials that run and have one."""
        running = {name: self.running[name] for name in names if name in self.running}
        return {name: statistics.mean(one.seconds) for name, one in running.items() if one.seconds}

    def _stretches(self, pace: float) -> list[_Stretch]:
        """Return the stretches of a trial, with the time since a last epoch as a part of one."""
        known = Counter(self._known(name, pace) for name in self._done)
        found = []
        for number in range(max(len(one.bounds) for one in known) - 1):
            over, left, length = 0, list[float](), 0
            for one, count in known.items():
                begin, end = _bound(one.bounds, number), _bound(one.bounds, number + 1)
                length += (end - begin) * count
                if one.done >= end or (one.ended and not number):
                    over += count
                elif one.done > begin or (one.done == begin and (one.runs or not number)):
                    left += [end - one.done - one.share] * count
            places = max(1, rounded_up((self.total or 0) / self.factor**number))
            to_come = max(0, places - over - len(left))
            found.append(_Stretch(length / known.total(), to_come, left))
        return found

    def _known(self, name: str, pace: float) -> _Known:
        bounds, done = self._bounds[name], self._done[name]
        if not (running := self.running.get(name)):
            return _Known(bounds, done, name in self._ended)
        share = min(1.0, (self.clock() - running.since) / pace) if pace else 0.0
        return _Known(bounds, done, False, True, share)


def _bound(bounds: Sequence[int], number: int) -> int:
    """Return where a stretch begins; the end of the trial where it comes there at its end."""
    return bounds[min(number, len(bounds) - 1)]

"""How far a running search is: what runs, the best, the last that ended, the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from facesiam.errors import counted
from facesiam.objective import Objective
from search.resources.cost import human_seconds
from search.runs.line_format import OVER
from search.space.effect import has_effect
from search.tuning.time_left import TimeLeft

BEST, LAST = 3, 5
"""Trials that are shown of the best, and of those that ended last."""
NAMED = 8
"""Running trials that a line names."""
NOTHING = "–"


class End(NamedTuple):
    """The end of a trial, as it is shown."""

    trial: str
    epochs: str
    value: float | None
    status: str
    reason: str | None

    @property
    def why(self) -> str:
        """Its status and the reason, where there is one."""
        return f"{self.status}: {self.reason}" if self.reason else self.status


class SearchProgress:
    """Counts the trials that run and that have ended.

    Args:
        total: how many trials the search has; None: not known.
        objective: of the search.
        varied: names of the settings that can differ between trials, which are shown.
        minutes: after which the search halts; 0: never.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total: int | None,
        objective: Objective,
        varied: Sequence[str] = (),
        minutes: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.objective = total, objective
        self.varied, self.minutes, self.clock = varied, minutes, clock
        self.metric = objective.metric
        self.counts = dict.fromkeys(OVER, 0)
        self.running: dict[str, dict[str, Any]] = {}
        self.queued: dict[str, dict[str, Any]] = {}
        """Trials that are paused, or to be tried again."""
        self.places: dict[str, float] = {}
        """Best score of each trial that has one."""
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.ends: deque[End] = deque(maxlen=LAST)
        """The last ends, the last one first."""
        self.epochs_done = 0
        self.resumed = False
        """Whether trials ended in an earlier session, whose epochs are not among those done."""
        self.outlook: str | None = None
        """What the trials that have not begun would gain, as a sentence; None: not known."""
        self.ended_by = ""
        """Why no trial begins any more though there are some; "": nothing keeps them."""
        self.left = TimeLeft(total, clock)
        self.began = clock()

    def start(self, name: str, epochs: int, settings: Mapping[str, Any] | None, done: int) -> None:
        """Enter a trial that starts."""
        self.queued.pop(name, None)
        self.running.setdefault(name, {"epochs": epochs, "last": None, "done": done})
        self.settings[name] = settings or {}
        self.left.start(name, epochs, done, settings)

    def enter_epoch(self, name: str, metrics: Mapping[str, float]) -> None:
        """Enter the metrics of an epoch."""
        done = int(metrics["epoch"]) + 1
        self.running[name] |= {"last": metrics, "done": done}
        self.epochs_done += 1
        self.left.epoch(name, done, metrics["seconds"])
        self._compare(name, metrics[self.metric])

    def end(self, name: str, status: str, value: float | None, reason: str | None) -> End:
        """Enter the end of a trial, and return it as it is shown."""
        known = self.running.pop(name, None) or self.queued.pop(name, None)
        self.counts[status] += 1
        self.left.end(name)
        if value is not None:
            self._compare(name, value)
        epochs = f"{known['done']}/{known['epochs']}" if known else NOTHING
        return End(name, epochs, value, status, reason)

    def past(
        self,
        name: str,
        status: str,
        value: float | None,
        settings: Mapping[str, Any],
        done: int = 0,
    ) -> None:
        """Enter a trial that ended in an earlier session, which counts and is no new end."""
        self.resumed, self.settings[name] = True, settings
        self.left.known(name, int(settings.get("epochs", done)), done, settings)
        self.end(name, status, value, None)

    def end_with(self, trials: int, why: str) -> None:
        """Enter that no trial begins any more, though only so many have, and why."""
        self.left.total, self.ended_by = trials, why

    def wait(self, name: str, settings: Mapping[str, Any], done: int, paused: bool) -> None:
        """Enter a trial of an earlier session that is to go on, or is paused."""
        epochs = int(settings["epochs"])
        self.queued[name] = {"epochs": epochs, "last": None, "done": done, "paused": paused}
        self.resumed, self.settings[name] = True, settings
        self.left.known(name, epochs, done, settings)

    def requeue(self, name: str, paused: bool = False) -> None:
        """Enter that a trial goes back into the queue, or is paused."""
        if name in self.running:
            self.queued[name] = self.running.pop(name) | {"paused": paused}
        self.left.end(name, again=True)

    @property
    def best(self) -> tuple[float, str] | None:
        """The best score, and the trial that has it."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[tuple[float, str]]:
        """Return the best scores with their trials, the best first."""
        key = self.objective.key
        places = sorted(self.places.items(), key=lambda place: (-key(place[1]), place[0]))
        return [(value, name) for name, value in places[:BEST]]

    def told(self, name: str) -> str:
        """Return the settings of a trial that differ between trials."""
        from search.analysis.formatting import shown_value  # with pandas, which Ray Tune has too

        known = self.settings.get(name, {})
        shown = [key for key in self.varied if key in known and has_effect(key, known)]
        return ", ".join(f"{key} {shown_value(known[key])}" for key in shown)

    def line(self, end: End) -> str:
        """Return the line of a trial that ended, where there is no table."""
        parts = [end.why, f"{end.epochs} epochs", "no score"]
        if end.value is not None:
            parts[-1] = f"{self.metric} {self._scored(end.value)}"
        parts += [told] if (told := self.told(end.trial)) else []
        parts.append(f"{sum(self.counts.values())} of {self._total} ended")
        return f"trial {end.trial}: {'; '.join(parts + self._best_and_left())}"

    def standing(self) -> str:
        """Return the line that says how far the search is, where there is no table."""
        parts = [self._epochs(), f"{sum(self.counts.values())} of {self._total} ended"]
        if self.running:
            known = sorted(self.running.items())
            told = [f"{name} {one['done']}/{one['epochs']}" for name, one in known[:NAMED]]
            told += [f"{len(known) - NAMED} more"] if known[NAMED:] else []
            parts.append(f"running {', '.join(told)}")
        parts += [f"{len(self.queued)} in the queue"] if self.queued else []
        return f"search: {'; '.join(parts + self._best_and_left())}"

    def _best_and_left(self) -> list[str]:
        """Return how the lines without a table end: the best trial and the time left."""
        parts = []
        if self.best:
            parts.append(f"best {self._scored(self.best[0])} ({self.best[1]})")
        return parts + ([left] if (left := self.time_left()) else [])

    def _epochs(self) -> str:
        """Return how many epochs there were, of how many."""
        epochs = counted(self.epochs_done, "epoch")
        if rest := self.left.epochs_left():
            epochs += f" of about {self.epochs_done + rest:.0f}"
        return f"since the resume: {epochs}" if self.resumed else epochs

    def lines(self) -> list[str]:
        """Return how far it is, in two lines that fit 80 columns, and what it would still gain."""
        ended = sum(self.counts.values())
        trials = "trial" if self._total == "1" else "trials"
        first = [f"{ended} of {self._total} {trials} ended", f"{len(self.running)} running"]
        paused = sum(one["paused"] for one in self.queued.values())
        queued = {"paused": paused, "waiting": len(self.queued) - paused}
        first += [f"{count} {name}" for name, count in queued.items() if count]
        first += [f"{count} {name}" for name, count in self.counts.items() if count]
        passed = human_seconds(self.clock() - self.began)
        second = [self._epochs(), passed if self.resumed else f"{passed} so far"]
        second += [left] if (left := self.time_left()) else []
        third = [self.outlook] if self.outlook else []
        if self.outlook and self.ended_by:
            third = [f"ends early: {self.outlook}"]
        return [" · ".join(first), " · ".join(second), *third]

    def time_left(self) -> str | None:
        """Return what there is to say of the time left; None: nothing."""
        seconds = self.left.seconds()
        if self.minutes:
            limit = max(0.0, 60 * self.minutes - (self.clock() - self.began))
            if seconds is None or seconds > limit:
                return f"halts in {human_seconds(limit)}"
        if not seconds:
            return None
        guess = "" if any(self.counts.values()) else "; no trial has ended yet"
        return f"about {human_seconds(seconds)} left{guess}"

    def _compare(self, name: str, value: float) -> None:
        if self.objective.better(value, self.places.get(name)):
            self.places[name] = value

    def _scored(self, value: float) -> str:
        return f"{self.objective.shown(value)}{self.objective.unit}"

    @property
    def _total(self) -> str:
        return "?" if self.total is None else str(self.total)

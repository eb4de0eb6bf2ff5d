"""A whole search played on a recorded table: a simulated clock, workers, a method that chooses.

Every method is given the same: a suggestion becomes the nearest row of the table that no trial of
the search has had, an epoch takes its recorded seconds, and what it measured is reported. The
method is told the scores under the settings that it suggested, as no peer has a way to be told
others.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from search.pruning.recorded_runs import Curve

from .table import Settings, Table

Decision = Literal["go on", "pause", "stop"]


@dataclass(eq=False)
class Trial:
    """A trial of a played search."""

    id: str
    suggested: Settings
    curve: Curve
    """The row of the table that stands for what was suggested."""
    epochs: int = 0
    """So many have run."""

    @property
    def over(self) -> bool:
        """Whether its last epoch has run."""
        return self.epochs == len(self.curve.rows)


class Method(Protocol):
    """What a search program does."""

    def next(self, rows: Rows) -> Trial | None:
        """Return a trial for an idle worker, new or paused; None: there is none at the moment."""

    def decide(self, trial: Trial, row: dict[str, float]) -> Decision:
        """Report an epoch; return what becomes of the trial, of one that is over `stop`."""


class Rows:
    """The rows of a table that no trial has had."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.taken = np.zeros(len(table.curves), dtype=bool)
        self.order: list[Trial] = []
        """The trials that were made, in their order."""

    @property
    def left(self) -> bool:
        """Whether there are any."""
        return not self.taken.all()

    def trial(self, id: str, suggested: Settings) -> Trial | None:
        """Return a new trial, of equally near rows the first; None: every row is taken."""
        if not self.left:
            return None
        nearest = int(np.where(self.taken, np.inf, self.table.distances(suggested)).argmin())
        self.taken[nearest] = True
        self.order.append(Trial(id, suggested, self.table.curves[nearest]))
        return self.order[-1]


class Point(NamedTuple):
    """The state of a played search after an epoch."""

    epochs: int
    seconds: float
    best: float
    """The best validation accuracy so far."""


class Played(NamedTuple):
    """A played search."""

    points: list[Point]
    order: list[Trial]


def play(table: Table, method: Method, workers: int) -> Played:
    """Play a search to the end of the table."""
    rows, events, count = Rows(table), list[tuple[float, int, Trial]](), itertools.count()
    points = [Point(0, 0.0, 0.0)]
    idle = workers

    def go_on(now: float, trial: Trial) -> None:
        seconds = trial.curve.rows[trial.epochs]["seconds"]
        heapq.heappush(events, (now + seconds, next(count), trial))

    def started() -> Iterator[Trial]:
        while idle and (trial := method.next(rows)):
            yield trial

    now = 0.0
    while True:
        for trial in started():
            idle -= 1
            go_on(now, trial)
        if not events:
            return Played(points, rows.order)
        now, _, trial = heapq.heappop(events)
        row = trial.curve.rows[trial.epochs]
        trial.epochs += 1
        best = max(points[-1].best, row["val_acc"])
        points.append(Point(points[-1].epochs + 1, now, best))
        if method.decide(trial, dict(row)) == "go on" and not trial.over:
            go_on(now, trial)
        else:
            idle += 1

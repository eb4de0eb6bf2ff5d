"""Who leads each contest, and where those that got as far had been at each point of their way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from facesiam.config import Value
from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History

Contest = tuple[str, int]
Best = dict[Contest, list[tuple[float, str]]]


@dataclass
class Way:
    """The best so far of one trial, turned so that more is better, after each of its epochs."""

    settings: Mapping[str, Value]
    best: list[float] = field(default_factory=list)
    ended: bool = False


@dataclass
class Leaders:
    """The best of each contest, which is a protocol and a number of validation pairs.

    Args:
        objective: of the search.
        within: how near to the best a trial must come for its way to be kept when it has ended;
            None: nobody asks for ways.
    """

    objective: Objective
    within: float | None = None
    accuracies: Best = field(default_factory=dict)
    """By contest the two best val_acc of two trials: of all, and of all others."""
    scores: Best = field(default_factory=dict)
    """The same of the metric, turned so that more is better."""
    ways: dict[Contest, dict[str, Way]] = field(default_factory=dict)

    def enter(self, name: str, history: History) -> None:
        """Take in the last epoch of a trial; one that is run again replaces what it was."""
        row, contest = history.rows[-1], history.contest
        _lead(self.accuracies, contest, name, row.get("val_acc", math.nan))
        score = self.objective.key(row.get(self.objective.metric))
        _lead(self.scores, contest, name, score)
        if self.within is None:
            return
        way = self.ways.setdefault(contest, {}).setdefault(name, Way(history.settings))
        del way.best[len(history.rows) - 1 :]
        way.best.append(max(score, way.best[-1]) if way.best else score)

    def accuracy(self, name: str, history: History) -> float:
        """Return the best val_acc of all others; NaN where there is none."""
        return _other(self.accuracies, history.contest, name)

    def score(self, name: str, history: History) -> float:
        """Return the best of the metric of all others; NaN where there is none."""
        best = _other(self.scores, history.contest, name)
        return best if math.isnan(best) else self.objective.key(best)

    def gain(self, name: str, history: History, within: float) -> float:
        """Return the most that a trial as good as the leader has gained since it was here.

        Counted are trials of the same schedule that have come within so much of the contest's
        best, from the point of it at which this one is, and that had an epoch there; 0 if none.
        """
        top = self.scores.get(history.contest, [(math.nan, "")])[0][0]
        found = 0.0
        for other, way in self.ways.get(history.contest, {}).items():
            alike = schedule_progress.family(way.settings) == schedule_progress.family(
                history.settings
            )
            if other == name or not alike or not way.best[-1] >= top - within:
                continue
            epochs = schedule_progress.same_point(
                history.settings,
                len(history.rows),
                history.planned,
                way.settings,
                int(way.settings.get("epochs", 0)),
            )
            if epochs <= len(way.best) and math.isfinite(way.best[epochs - 1]):
                found = max(found, way.best[-1] - way.best[epochs - 1])
        return found

    def forget(self, name: str) -> None:
        """Let go of the ways of trials that have ended and are no longer among the best."""
        for contest, ways in self.ways.items():
            if name in ways:
                ways[name].ended = True
                top = self.scores.get(contest, [(math.nan, "")])[0][0]
                for other in [
                    other
                    for other, way in ways.items()
                    if way.ended and not way.best[-1] >= top - (self.within or 0.0)
                ]:
                    del ways[other]


def _lead(table: Best, contest: Contest, name: str, value: float) -> None:
    if not math.isfinite(value):
        return
    known = table.get(contest, [])
    if len(known) == 2:  # in most cases nothing changes
        (first, leader), (second, _) = known
        if value <= second or (value <= first and name == leader):
            return
    best = {other: best for best, other in known}
    best[name] = max(value, best.get(name, value))
    table[contest] = sorted(((v, n) for n, v in best.items()), reverse=True)[:2]


def _other(table: Best, contest: Contest, name: str) -> float:
    return next((value for value, other in table.get(contest, []) if other != name), math.nan)

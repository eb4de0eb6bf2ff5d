"""The leaderboard of a search: the best trials of each contest, and how they got there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from facesiam.config import Value
from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History

Contest = tuple[str, int]
"""Protocol and number of validation pairs: trials that share both are compared."""
Best = dict[Contest, list[tuple[float, str]]]
"""By contest the best scores of two trials, the better one first, and their names."""


@dataclass
class Trajectory:
    """The best score of one trial so far, as ``Objective.key`` has it, after each epoch."""

    settings: Mapping[str, Value]
    best: list[float] = field(default_factory=list)
    ended: bool = False


@dataclass
class Leaderboard:
    """The best trials of each contest.

    Args:
        objective: of the search.
        within: trajectories of ended trials are kept where they come within so much of the best;
            None: no trajectories are kept.
    """

    objective: Objective
    within: float | None = None
    accuracies: Best = field(default_factory=dict)
    """The best val_acc."""
    scores: Best = field(default_factory=dict)
    """The best of the metric, as ``Objective.key`` has it."""
    trajectories: dict[Contest, dict[str, Trajectory]] = field(default_factory=dict)

    def add(self, name: str, history: History) -> None:
        """Add the last epoch of a trial; an epoch that is run again replaces what it was."""
        row, contest = history.rows[-1], history.contest
        _lead(self.accuracies, contest, name, row.get("val_acc", math.nan))
        score = self.objective.key(row.get(self.objective.metric))
        _lead(self.scores, contest, name, score)
        if self.within is None:
            return
        trajectories = self.trajectories.setdefault(contest, {})
        best = trajectories.setdefault(name, Trajectory(history.settings)).best
        del best[len(history.rows) - 1 :]
        best.append(max(score, best[-1]) if best else score)

    def accuracy(self, name: str, history: History) -> float:
        """Return the best val_acc of all other trials; NaN where there is none."""
        return _other(self.accuracies, history.contest, name)

    def score(self, name: str, history: History) -> float:
        """Return the best score of all other trials; NaN where there is none."""
        best = _other(self.scores, history.contest, name)
        return best if math.isnan(best) else self.objective.key(best)

    def gain(self, name: str, history: History, within: float) -> float:
        """Return the most that a trial as good as the leader has gained since this point.

        Args:
            name: the trial.
            history: its epochs; the point is how far it is on its schedule.
            within: the trials that count are of the same schedule, came within so much of the
                contest's best, and had an epoch at that point.

        Returns:
            The gain; 0 where no such trial is known.
        """
        top, schedule = self._top(history.contest), schedule_progress.family(history.settings)
        gains = [0.0]
        for other, known in self.trajectories.get(history.contest, {}).items():
            alike = schedule_progress.family(known.settings) == schedule
            if other == name or not alike or not known.best[-1] >= top - within:
                continue
            epochs = schedule_progress.same_point(
                history.settings,
                len(history.rows),
                history.planned,
                known.settings,
                int(known.settings.get("epochs", 0)),
            )
            if epochs <= len(known.best) and math.isfinite(known.best[epochs - 1]):
                gains.append(known.best[-1] - known.best[epochs - 1])
        return max(gains)

    def forget(self, name: str) -> None:
        """Mark a trial as ended; free the ended ones that are no longer among the best."""
        for contest, trajectories in self.trajectories.items():
            if name not in trajectories:
                continue
            trajectories[name].ended = True
            lowest = self._top(contest) - (self.within or 0.0)
            for other, known in list(trajectories.items()):
                if known.ended and not known.best[-1] >= lowest:
                    del trajectories[other]

    def _top(self, contest: Contest) -> float:
        return self.scores.get(contest, [(math.nan, "")])[0][0]


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

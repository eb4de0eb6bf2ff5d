"""The rows of a race: which training comes next, given how those before it ended."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from search.analysis.elimination import Standing, standing
from search.space import SearchSpace
from search.space.finalists import Race, row_of

FIRST = 2
"""Rounds that run at once: one score of each finalist tells nothing of the noise."""


def seeds_of(space: SearchSpace, race: Race) -> list[int]:
    """Return the seeds of a race's rounds, in their order."""
    first = next(iter(race.trials))
    seeds = (int(space.row_settings(id)["seed"]) for id in space.rows)
    return [seed for seed in sorted(set(seeds)) if row_of(first, seed) in space.rows]


class RacedRows:
    """The trainings of a race, a round of one seed after the other.

    A round begins when the trainings of the one before have ended, but for the first two, which
    are there at once. What is decided rests on whole rounds only, so that a race that goes on from
    its journal decides as it did.

    Args:
        space: of the race's run.
        race: what is raced in it.
    """

    def __init__(self, space: SearchSpace, race: Race) -> None:
        self.space, self.race = space, race
        self.trials, self.seeds = list(race.trials), seeds_of(space, race)
        self.scores: NDArray[np.float64] = np.full((len(self.trials), len(self.seeds)), math.nan)
        """(finalists, seeds) turned so that greater is better; NaN: none yet, or it failed."""
        self.ended = np.zeros(self.scores.shape, dtype=np.bool_)
        """Which trainings have ended, (finalists, seeds)."""
        self._begun: set[str] = set()
        self._costs = [one.cost for one in race.trials.values()]
        self._standing: Standing | None = None
        self._cell = {
            row_of(trial, seed): (finalist, at)
            for finalist, trial in enumerate(self.trials)
            for at, seed in enumerate(self.seeds)
        }

    def next(self) -> str | None:
        """Return the row that comes next; None: there is none, or none yet."""
        now = self.standing()
        if now.over:
            return None
        for at in range(min(max(FIRST, now.rounds + 1), len(self.seeds))):
            for finalist in now.alive:
                row = row_of(self.trials[finalist], self.seeds[at])
                if row not in self._begun:
                    return row
        return None

    def waits(self) -> bool:
        """Say whether trainings may come once those that run have ended."""
        return not self.standing().over

    def begin(self, row: str) -> None:
        """Enter a training that has begun, in this session or an earlier one."""
        self._begun.add(row)

    def cell(self, row: str) -> tuple[int, int]:
        """Return the finalist of a training and its round, both from 0."""
        return self._cell[row]

    def end(self, row: str, status: str, value: float | None) -> None:
        """Enter the end of a training.

        One that a rule has stopped without a finite score counts as the worst training of the
        search and the race; one that failed by a fault of the machine does not count.

        Args:
            row: of the race.
            status: done, stopped or failed.
            value: its best value of the metric.
        """
        self._standing = None
        finalist, at = self.cell(row)
        self.ended[finalist, at] = True
        if status == "failed":
            return
        if value is not None:
            self.scores[finalist, at] = self.space.objective.key(value)
        elif status == "stopped":
            self.scores[finalist, at] = -math.inf

    def standing(self) -> Standing:
        """Return what the whole rounds say."""
        if self._standing is None:
            self._standing = standing(self.known(), self.ended, self._costs, self.race.terms)
        return self._standing

    def known(self) -> NDArray[np.float64]:
        """Return the scores; a training that was stopped without one has the worst of all."""
        worst = self.space.objective.key(self.race.worst)
        lowest = self.scores[np.isfinite(self.scores)].min(initial=worst)
        return np.where(np.isneginf(self.scores), lowest, self.scores)

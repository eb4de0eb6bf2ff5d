"""The ranking of trials for TPE: one order of all, though they ended at different ages.

- *The worst* are the trials that a rule stopped as dead, at chance or diverged, and those that
  never left chance or never had a finite score. They are never among the good trials that TPE
  imitates, however few others there are.
- *A trial that learned and was stopped* counts by its predicted final score: its best score so far
  plus the mean gain of other trials from its age to its planned end. The gain from one age to the
  next is the mean over all learners of the same schedule that were seen at both ages (chain
  ladder, as insurers predict claims). Two trials that were stopped at the same age therefore
  compare by their scores there; and a trial that came further compares with a stopped one at the
  age of the stop, since its later gain is granted to both.
- *A trial that runs* counts by its prediction as soon as it has left chance: of many trials at
  once the first to end are those that were stopped, while the better ones still run.
- *A trial that ran to its end* counts by its score alone, and is not ahead of the others: one that
  ended at 0.60, as control or because nothing was pruned, ranks below one that ASHA stopped at
  0.78, which could only have got better, as the best epoch counts.

Optuna itself puts complete trials first and orders pruned ones by how far they came. Under our
rules trials that guess come further than the learners that ASHA stops, so Optuna took the former
for the better ones: with 12 trials at once TPE suggested more of them than a draw at random.

A loss counts as exp(-loss), the mean probability of the right answer. Losses have no bound, so the
mean gain would otherwise be that of a single trial which began at 1e9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facesiam.config.rounding import rounded_down
from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History, take_off, waited_for
from search.pruning.stop_decision import HOPELESS
from search.space import SearchSpace

END = 1 << 40
"""An age that no trial reaches."""


class Progress(NamedTuple):
    """The progress of a trial, as far as it has run."""

    scores: tuple[float, ...] = ()
    """The best score so far at age 1, 2, …; NaN where there was none yet."""
    planned: int | None = None
    """Age at its planned end; None: not known."""
    learned: bool = True
    """False: it never left chance."""
    schedule: str = ""
    """Of its learning rate: gains late in a cosine do not occur in a constant one."""


class TrialEnd(NamedTuple):
    """The end of a trial."""

    value: float | None
    """Its best value of the space's metric; None: it has no finite one."""
    step: int
    """Its age in epochs, where ``progress`` does not say it."""
    status: str
    """done, stopped, or another of a trial that failed."""
    rule: str | None = None
    """Rule that stopped it."""
    progress: Progress | None = None
    """Its scores by age; None: its value counts as of ``step``."""
    cost: Mapping[str, float] | None = None
    """What its net costs in use; None: not known."""


def progress_of(history: History, space: SearchSpace) -> Progress:
    """Return the progress of a trial, at the ages at which ASHA compares.

    Args:
        history: its epochs and settings.
        space: whose metric counts.

    Returns:
        Its progress. Age counts from take-off where ASHA waited for that; epochs of a rate that
        still rises count by its share of the highest. With `compare: share`, and where the rate
        falls in the end, ages are those of the longest trial.
    """
    asha = space.prune.get("asha") or {"compare": "epoch"}
    share = asha["compare"] == "share" or schedule_progress.falls(history.settings)
    scale = space.max_epochs() / history.planned if share and history.planned else 1.0
    start = take_off(history)
    learned = start is not None or history.metric != space.metric
    start = start if start is not None and waited_for(history, start) else 0
    # A history without planned epochs has no schedule to go by.
    clock = history.warmup_adjusted if history.planned else float
    begun = clock(start)
    best, scores = math.nan, list[float]()
    for epoch, row in enumerate(history.rows):
        score = float(row.get(space.metric, math.nan))
        if math.isfinite(score) and space.objective.better(score, best):
            best = score
        age = rounded_down((clock(epoch + 1) - begun) * scale)
        if age >= 1:
            held = scores[-1] if scores else math.nan
            scores += [held] * (age - 1 - len(scores))
            scores[age - 1 :] = [best]
    planned = None
    if history.planned:
        planned = rounded_down((clock(history.planned) - begun) * scale)
    return Progress(tuple(scores), planned, learned, schedule_progress.family(history.settings))


class _Ladder:
    """By age, from 0: the summed gain up to the next age, and the number of learners behind it."""

    def __init__(self) -> None:
        self.gained: list[float] = []
        self.seen: list[int] = []

    def add(self, scores: Sequence[float]) -> None:
        """Add the scores of a learner by age, turned so that more is better."""
        for age in range(1, len(scores)):
            while len(self.seen) <= age:
                self.gained.append(0.0)
                self.seen.append(0)
            gain = scores[age] - scores[age - 1]
            if math.isfinite(gain):
                self.gained[age] += gain
                self.seen[age] += 1

    def means(self, otherwise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the mean gain from each age to the next, (ages,); ``otherwise`` where unknown."""
        seen, found = np.array(self.seen, dtype=np.int64), otherwise.copy()
        np.divide(np.array(self.gained), seen, out=found[: len(seen)], where=seen > 0)
        return found


class TrialRanking:
    """The trials that have ended or run, in their order.

    Args:
        objective: of the search.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.worst: list[int] = []
        """Numbers of those that are never good."""
        self._numbers: list[int] = []
        """Of those that have learned; the next four lists go with it."""
        self._scores: list[float] = []
        """The best scores, turned so that more is better."""
        self._ages: list[int] = []
        self._planned: list[int] = []
        """Age at the planned end; END: as far as any has come."""
        self._schedules: list[str] = []
        self._all = _Ladder()
        self._ladders: dict[str, _Ladder] = {}
        """By schedule."""

    def tell(self, number: int, end: TrialEnd) -> bool:
        """Enter the end of a trial, whose number is whichever the caller counts by.

        Returns:
            Whether anything is known of it: nothing is of one that failed before it had a score.
        """
        value, step, status, rule, progress, _ = end
        scored = value is not None and math.isfinite(value)
        went = progress or Progress()
        judged = status in ("done", "stopped")
        if not scored and not judged:
            return False
        hopeless = rule in HOPELESS and status == "stopped"
        if not scored or hopeless or (judged and not went.learned):
            self.worst.append(number)
            return True
        assert value is not None
        age = step if progress is None or went.planned is None else len(went.scores)
        self._numbers.append(number)
        self._scores.append(self._turned(value))
        self._ages.append(age)
        self._planned.append(age if status == "done" else _end(went))
        self._schedules.append(went.schedule)
        turned = [self._turned(score) for score in went.scores]
        for ladder in (self._all, self._ladders.setdefault(went.schedule, _Ladder())):
            ladder.add(turned)
        return True

    def order(self, running: Mapping[int, Progress]) -> tuple[npt.NDArray[np.int64], int]:
        """Return the numbers of those that have learned, the best first, ties as they came.

        Args:
            running: by number, those that run, as far as they have come.

        Returns:
            The numbers, and of how many trials in all something is known.
        """
        left = {n: went for n, went in running.items() if went.learned and went.scores}
        left = {n: went for n, went in left.items() if math.isfinite(went.scores[-1])}
        numbers = np.array([*self._numbers, *left], dtype=np.int64)
        best_first = np.argsort(-self.expected(list(left.values())), kind="stable")
        return numbers[best_first], len(numbers) + len(self.worst)

    def expected(self, running: Sequence[Progress] = ()) -> npt.NDArray[np.float64]:
        """Return what is predicted of those that have learned, as they came; more is better."""
        scores = [*self._scores, *(self._turned(went.scores[-1]) for went in running)]
        ages = np.array([*self._ages, *(len(went.scores) for went in running)], dtype=np.int64)
        ends = np.array([*self._planned, *(_end(went) for went in running)], dtype=np.int64)
        schedules = np.array([*self._schedules, *(went.schedule for went in running)])
        to_come = np.zeros(len(scores))
        most = self._all.means(np.zeros(len(self._all.seen)))
        for name in set(schedules.tolist()):
            means = self._ladders.get(name, self._all).means(most)
            until = np.concatenate([[0.0], np.cumsum(means)])  # all that is gained up to an age
            such = schedules == name
            now, then = (until[np.clip(each[such], 0, len(means))] for each in (ages, ends))
            to_come[such] = np.maximum(0.0, then - now)
        return to_come + scores

    def values(self) -> dict[int, float]:
        """Return by number what each trial counts for, more is better; of the worst the least."""
        expected = self.expected().tolist()
        least = min(expected, default=0.0)
        return dict(zip(self._numbers, expected, strict=True)) | dict.fromkeys(self.worst, least)

    def _turned(self, score: float) -> float:
        if self.objective.maximizes:
            return score
        return math.exp(min(-score, 700.0))  # a larger one than any that a float can hold


def _end(went: Progress) -> int:
    return END if went.planned is None else went.planned

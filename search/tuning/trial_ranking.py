"""How trials compare, for TPE: one order of all, though they have come to different ages.

- *What a rule stopped as dead, at chance or diverged is worst*, and so is what never left chance
  or never had a finite score. None of it is ever among the good trials that TPE imitates,
  however few others there are.
- *All others have learned, and count by what is predicted of them*: the best score so far plus
  what those that came further gained from that age on. The gain from an age to the next is the
  mean over all learners of the same schedule that were seen at both; what a trial has to come is
  their sum up to its planned end (chain ladder, as insurers predict claims). Two that were
  stopped at the same age therefore count by their scores there; and where one other came
  further, it is met at the age at which the first was stopped, since all that it gained from
  there on is granted to both.
- *A trial that runs* counts by what is predicted of it as soon as it has left chance. Of many
  at once those that end first are those that were stopped, and the better ones still run.
- *A trial that ran to its end counts by its score alone.* That is no rank above the others: one
  that ended at 0.60, as control or because nothing was pruned, lies below one that ASHA stopped
  at 0.78, which can only have got better, as the best epoch counts.

Optuna by itself puts complete trials first and orders pruned ones by how far they came. Under our
rules those that guess come further than the learners that ASHA stops, so that it took them for
the better ones: with 12 trials at once TPE had more of them than a draw at random.

A loss counts as exp(-loss), the mean probability that the right answer got: the gains of losses,
which have no bound, would otherwise be those of the one trial that began with 1e9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History, take_off, waited_for
from search.space import SearchSpace

HOPELESS = ("dead", "chance", "diverged")
"""Rules whose verdict makes a trial the worst there is."""
END = 1 << 40
"""An age that no trial comes to."""


class Progress(NamedTuple):
    """How a trial went, as far as it ran."""

    scores: tuple[float, ...] = ()
    """The best score so far at age 1, 2, …; NaN where there was none yet."""
    planned: int | None = None
    """Age at its planned end; None: not known."""
    learned: bool = True
    """False: it never left chance."""
    schedule: str = ""
    """Of its learning rate: what is gained late in a cosine is not gained in a constant one."""


def progress_of(history: History, space: SearchSpace) -> Progress:
    """Return how a trial went, at the ages at which ASHA compares.

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
        age = math.floor((clock(epoch + 1) - begun) * scale + 1e-9)
        if age >= 1:
            held = scores[-1] if scores else math.nan
            scores += [held] * (age - 1 - len(scores))
            scores[age - 1 :] = [best]
    planned = None
    if history.planned:
        planned = math.floor((clock(history.planned) - begun) * scale + 1e-9)
    return Progress(tuple(scores), planned, learned, schedule_progress.family(history.settings))


class _Ladder:
    """By age, from 0 on: all that was gained up to the next, and by how many learners."""

    def __init__(self) -> None:
        self.gained: list[float] = []
        self.seen: list[int] = []

    def add(self, scores: Sequence[float]) -> None:
        """Take in the scores of a learner by age, turned so that more is better."""
        for age in range(1, len(scores)):
            while len(self.seen) <= age:
                self.gained.append(0.0)
                self.seen.append(0)
            gain = scores[age] - scores[age - 1]
            if math.isfinite(gain):
                self.gained[age] += gain
                self.seen[age] += 1

    def means(self, otherwise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the mean gain from each age to the next; ``otherwise`` where none was seen."""
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

    def tell(
        self,
        number: int,
        value: float | None,
        step: int,
        status: str,
        rule: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Enter a trial that has ended.

        Args:
            number: of the trial, whichever the caller counts by.
            value: its best score; None: it has no finite one.
            step: its age at the end, in epochs, where ``progress`` does not say it.
            status: "done", "stopped", or any other of one that nothing judged, as it failed.
            rule: that stopped it.
            progress: how it went.

        Returns:
            Whether anything is learned of it: nothing of one that failed before it had a score.
        """
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

    def _turned(self, score: float) -> float:
        if self.objective.maximizes:
            return score
        return math.exp(min(-score, 700.0))  # a larger one than any that a float can hold


def _end(went: Progress) -> int:
    return END if went.planned is None else went.planned

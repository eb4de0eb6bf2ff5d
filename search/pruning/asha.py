"""Successive halving: Ray's ASHA with its rungs and cutoffs, and five things that it lacks.

- *A trial that a rule stops counts as a peer* with the best it had, in the first rung. Left out,
  the rung would hold good trials only and its cutoff would stop some of them. Higher rungs it
  does not reach, as most of its kind would not; where ASHA alone had let one through, for want
  of peers, the cutoff there is now higher.
- *Age counts from take-off.* A net that still guesses has learned nothing that could be compared:
  it is a peer in the first rung, but for a third of its epochs it is for the rule ``chance`` to
  say whether to wait for it. Once it starts it meets the others at the same age. Without that
  rule, or after that third, age counts from epoch 0.
- *A rung is asked again.* Ray judges a trial when it arrives at a rung and never after, so the
  first to arrive (a fast small net) runs to its end whatever comes behind it. Here a trial is
  held, after each epoch, against what the cutoff of its last rung has become.
- *Noise.* An accuracy a on P pairs has a standard error of √(a (1 - a) / P): 0.9 points at 80 % of
  2,000, and so has an area under the ROC curve. A trial is stopped only where it lies more than
  ``noise`` of them below the cutoff, so that those that are alike go on together. Losses and
  training accuracies come without a standard error.
- *Who goes the leader's way goes on.* A trial that has at a rung what the best of all had there is
  not stopped, whatever the others had (``as_the_leader``, asked by ``pruners.py``).

Trials with different `epochs` are compared at the same epoch, or at the same share of their own
(``compare: share``): then age counts in epochs of the longest trial. Each schedule of the learning
rate has rungs of its own, compared by share where the rate falls; while it rises a trial ages by
its share of the highest (``pruners.py``).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler

from facesiam.objective import Objective
from search.pruning.noise import NOISY, standard_error

WORST = 1e30
"""What a trial without a finite score has in a rung, below all others."""


class Cut(NamedTuple):
    """Why ASHA stops a trial."""

    rung: float
    """Age at the rung, in epochs."""
    value: float
    cutoff: float
    peers: int


class Asha:
    """The rungs of one search.

    Args:
        settings: grace, factor, compare and noise of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """

    def __init__(self, settings: Mapping[str, Any], objective: Objective, longest: int) -> None:
        self.share, self.longest = settings["compare"] == "share", longest
        self.objective = objective
        self.noise = float(settings["noise"]) if objective.metric in NOISY else 0.0
        grace, factor = settings["grace"], settings["factor"]
        # Of percent, as Ray and numpy have it: rounded the same.
        self.quantile = (1 - 1 / float(factor)) * 100 / 100
        # As Ray's, whose top rung is lost here and there by rounding.
        count = int(math.log(longest / grace) / math.log(factor) + 1)
        self.rungs: list[tuple[float, dict[str, float]]] = [
            (grace * factor**step, {}) for step in reversed(range(count))
        ]
        """Age and scores by trial, the highest rung first; scores are turned so that more wins."""
        self.waiting: set[str] = set()
        """Trials whose place in the first rung is not final: they still guess."""
        self._order: dict[float, list[float]] = {at: [] for at, _ in self.rungs}
        """By rung its scores in order: a search may have 10,000 trials, each asked every epoch."""
        self.leader: tuple[float, str] = -math.inf, ""
        """The best score of all, turned, and the trial that has it; the first one of equals."""

    def age(self, epochs: float, planned: int) -> float:
        """Return the age of a trial after so many epochs of so many planned."""
        return epochs * self.longest / planned if self.share and planned else float(epochs)

    def peer(self, trial: str, score: float, final: bool) -> None:
        """Enter in the first rung a trial that is not judged there: stopped, or still guessing."""
        at, first = self.rungs[-1]
        # Short trials that are compared by share may have gone past the first rung unseen.
        if trial in self.waiting or not any(trial in scores for _, scores in self.rungs):
            self._put(at, first, trial, self._turned(score))
        if final:
            self.waiting.discard(trial)
        elif not any(trial in scores for _, scores in self.rungs[:-1]):
            self.waiting.add(trial)

    def judge(
        self, trial: str, age: float, score: float, pairs: int, guesses: bool = False
    ) -> Cut | None:
        """Enter a trial's best score so far at its age, and say whether it stops there.

        Args:
            trial: its id.
            age: as ``age`` counts it, from take-off.
            score: the best value of the metric so far.
            pairs: that the score rests on; 0 where it is unknown: no noise then.
            guesses: it has not taken off, and is waited for no longer: it stays a peer in the
                first rung.
        """
        if self._turned(score) > self.leader[0]:
            self.leader = self._turned(score), trial
        if trial in self.waiting:
            self.waiting.discard(trial)
            if not guesses:  # from now on its age counts
                self._drop(*self.rungs[-1], trial)
        rung = next((rung for rung in self.rungs if age >= rung[0]), None)
        if rung is None:
            return None
        at, scores = rung
        if trial in scores:
            return self._again(trial, at, scores, pairs)
        peers = len(scores)
        cutoff = self._cutoff(at, scores) if scores else math.nan
        self._put(at, scores, trial, self._turned(score))
        return self._below(at, scores[trial], cutoff, peers, pairs)

    def as_the_leader(self, trial: str, rung: float, pairs: int) -> bool:
        """Say whether the best trial of all had no more at this rung, and has gone beyond it.

        Args:
            trial: its id, which is at the rung.
            rung: age at the rung.
            pairs: as in ``judge``.
        """
        best = self.leader[1]
        if not any(best in higher for age, higher in self.rungs if age > rung):
            return False
        scores = next(scores for age, scores in self.rungs if age == rung)
        known = scores.get(best, math.inf)
        return not scores[trial] < known - self._margin(scores[trial], pairs)

    def _turned(self, score: float) -> float:
        # Between two infinities there is no percentile, and a NaN cutoff stops nobody.
        return min(WORST, max(-WORST, self.objective.key(score)))

    def _again(self, trial: str, at: float, scores: Mapping[str, float], pairs: int) -> Cut | None:
        peers = len(scores) - 1
        if peers == 0:
            return None
        return self._below(at, scores[trial], self._cutoff(at, scores), peers, pairs)

    def _below(self, at: float, score: float, cutoff: float, peers: int, pairs: int) -> Cut | None:
        if not score < cutoff - self._margin(score, pairs):
            return None
        value = score if score > -WORST else -math.inf
        return Cut(at, self.objective.key(value), self.objective.key(cutoff), peers)

    def _margin(self, score: float, pairs: int) -> float:
        score = self.objective.key(score)
        return self.noise * standard_error(self.objective.metric, score, pairs)

    def _cutoff(self, at: float, scores: Mapping[str, float]) -> float:
        """Return the quantile of a rung's scores as numpy's percentile has it, to the last bit."""
        ordered = self._order[at]
        place = (len(ordered) - 1) * self.quantile
        low = math.floor(place)
        first, second = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
        share, apart = place - low, second - first
        return second - apart * (1 - share) if share >= 0.5 else first + apart * share

    def _put(self, at: float, scores: dict[str, float], trial: str, score: float) -> None:
        """Enter a trial's score in a rung, or in place of the one that it has there."""
        if trial in scores:
            self._drop(at, scores, trial)
        scores[trial] = score
        bisect.insort(self._order[at], score)

    def _drop(self, at: float, scores: dict[str, float], trial: str) -> None:
        """Take a trial out of a rung."""
        ordered = self._order[at]
        del ordered[bisect.bisect_left(ordered, scores.pop(trial))]


class Plain:
    """Ray's own ASHAScheduler, each epoch's score as it is: what the comparison in replay is with.

    Args:
        settings: grace and factor of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """

    def __init__(self, settings: Mapping[str, Any], objective: Objective, longest: int) -> None:
        self.metric = objective.metric
        self.ray: Any = ASHAScheduler(
            time_attr="age",
            metric=objective.metric,
            mode=objective.mode,
            max_t=longest,
            stop_last_trials=False,
            grace_period=settings["grace"],
            reduction_factor=settings["factor"],
        )

    def begin(self, trial: str) -> None:
        """Take note of a trial."""
        self.ray.on_trial_add(None, _Named(trial))

    def stops(self, trial: str, epochs: int, score: float) -> bool:
        """Enter the score after so many epochs, and say whether the trial stops."""
        result = {"age": epochs, self.metric: score}
        return bool(self.ray.on_trial_result(None, _Named(trial), result) == ASHAScheduler.STOP)


class _Named(NamedTuple):
    """All that Ray's ASHA wants to know of a trial."""

    trial_id: str

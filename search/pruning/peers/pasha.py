"""PASHA, successive halving that runs no trial further than its ranking needs, from its paper.

Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, "PASHA: Efficient HPO and NAS with
Progressive Resource Allocation", ICLR 2023, arXiv 2207.06940.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from facesiam.objective import Objective
from search.pruning.simulator import Arrival, NoPruning
from search.pruning.stop_decision import PAUSE, StopDecision

PERCENTILE = 90
"""Of the distances of curves that cross and cross again, the one taken for noise."""


class Pasha(NoPruning):
    """PASHA with promotion, as in the paper, and its best trial run to its end.

    Trials pause at rungs, and those among the best of a rung go on to the next. At first there are
    two rungs. A further one is opened whenever the trials of the top rung are not ranked as in the
    rung below, those that lie within the noise taken as equal. Noise is how far apart curves are
    that have crossed and crossed again: a percentile over all pairs of trials that have left the
    rung below, each at the last epoch that both have. Where there is no such pair it stays what it
    was, 0 at first. The paper trains the winner anew; here it goes on to its end once all others
    have ended, so that it counts as finished.

    Args:
        objective: what is compared.
        longest: the most epochs that a trial can have.
        grace: epochs at the first rung; 1 in the paper.
        factor: one trial in this many goes on from each rung; 3 in the paper.
    """

    def __init__(
        self, objective: Objective, longest: int, grace: int = 1, factor: int = 3
    ) -> None:
        self.objective, self.factor = objective, factor
        levels = itertools.takewhile(
            lambda level: level < longest, (grace * factor**k for k in itertools.count())
        )
        self.levels = (*levels, longest)
        """Epochs at each rung."""
        self.top = min(1, len(self.levels) - 1)
        """The highest rung that is open."""
        self.rungs: list[dict[str, float]] = [{} for _ in self.levels]
        """By rung the scores of trials, of which more is better."""
        self.curves: dict[str, list[float]] = {}
        self.target: dict[str, int] = {}
        """By trial the rung that it runs to."""
        self.running = 0
        self.noise = 0.0
        self._apart: dict[tuple[str, str], float | None] = {}
        """How far apart two trials are that have left the rung below the top; None: they have
        not crossed twice."""

    def begin(self, run: Arrival) -> None:
        """Add a run, which runs to the first rung."""
        self.target[run.name], self.curves[run.name] = 0, []
        self.running += 1

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Pause a run that has come to its rung."""
        metric, rung = self.objective.metric, self.target[run.name]
        curve = self.curves[run.name]
        curve.append(self.objective.key(run.curve.rows[epoch].get(metric)))
        last = epoch + 1 == len(run.curve.rows)
        self._estimate_noise(run.name)
        if epoch + 1 < self.levels[rung] and not last:
            self._open()
            return None
        self.running -= 1
        self.rungs[rung][run.name] = curve[-1]
        self._open()
        return None if last else PAUSE

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Return a run that is promoted, from the highest rung that has one."""
        for rung in reversed(range(self.top)):
            scores = self.rungs[rung]
            ranked = sorted(scores, key=lambda name: -scores[name])
            for name in ranked[: len(scores) // self.factor]:
                if self.target[name] == rung and name in paused:
                    return self._promoted(paused[name], rung + 1)
        if new or self.running or not paused:
            return None
        return self._winner(paused)

    def _winner(self, paused: Mapping[str, Arrival]) -> Arrival | None:
        """Return the best run of the highest rung, once; None where that one has ended."""
        scores = next(scores for scores in reversed(self.rungs) if scores)
        best = max(scores, key=lambda name: scores[name])
        if best not in paused:
            return None
        return self._promoted(paused[best], len(self.levels) - 1)

    def _promoted(self, run: Arrival, rung: int) -> Arrival:
        self.target[run.name] = rung
        self.running += 1
        return run

    def _open(self) -> None:
        """Open a further rung, where the ranking of the top one is another than below."""
        if self.top < len(self.levels) - 1 and not self._consistent():
            self.top += 1
            self._apart = {}

    def _consistent(self) -> bool:
        """Say whether the trials of the top rung are ranked as in the one below, but for noise."""
        now, before = self.rungs[self.top], self.rungs[self.top - 1]
        ranked = sorted(now, key=lambda name: -now[name])
        was = sorted(now, key=lambda name: -before[name])
        pairs = zip(ranked, was, strict=True)
        return all(
            before[a] == before[b] or abs(before[a] - before[b]) <= self.noise for a, b in pairs
        )

    def _estimate_noise(self, name: str) -> None:
        """Estimate the noise anew, when a trial has run an epoch beyond the rung below the top."""
        epochs, below = len(self.curves[name]), self.levels[self.top - 1]
        if epochs <= below:
            return
        for other, curve in self.curves.items():
            if other != name and len(curve) >= epochs:
                self._apart[min(name, other), max(name, other)] = _apart_if_crossed(
                    self.curves[name], curve
                )
        if found := sorted(apart for apart in self._apart.values() if apart is not None):
            self.noise = _percentile(found)


def _apart_if_crossed(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return how far apart two curves end that cross at least twice; None of others."""
    gaps = [a - b for a, b in zip(one, other, strict=False)]
    signs = [gap > 0 for gap in gaps if math.isfinite(gap) and gap]
    crossings = sum(a != b for a, b in itertools.pairwise(signs))
    return abs(gaps[-1]) if crossings >= 2 and math.isfinite(gaps[-1]) else None


def _percentile(values: Sequence[float]) -> float:
    """Return the PERCENTILE of sorted values, with what lies between two of them."""
    place = (len(values) - 1) * PERCENTILE / 100
    low, share = math.floor(place), place % 1
    return values[low] + share * (values[min(low + 1, len(values) - 1)] - values[low])

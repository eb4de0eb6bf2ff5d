"""What a search would gain by going on: predicted from the scores of the trials that have ended.

With n trials tried and m to come, in any order equally likely, the chance that the best of the m
beats the best of the n by more than g is r q / (1 + r q), with r = m / n and q the chance that a
trial which beats the best does so by more than g. For q a generalized Pareto tail is taken, with a
scale from the upper scores. docs/stopping.md has the argument, and how often it was wrong.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facesiam.objective import Objective
from search.pruning.history import LEVEL, History, take_off
from search.pruning.stop_decision import HOPELESS
from search.runs.journal import read
from search.space import SearchSpace

UPPER = 5
"""Upper scores behind the scale of the tail, and trials that must have learned before it."""
SHAPE = -0.5
"""Shape of the tail: gains beyond the best are bounded, as scores near an optimum are."""
DRAWS = 4000


class Ended(NamedTuple):
    """A trial that has ended."""

    score: float
    """Its best score, turned so that more is better; minus infinity: it never learned."""
    hours: float = math.nan
    """Core-hours that it took, or hours on a GPU; NaN: not known."""
    on_gpu: bool = False


class Outlook(NamedTuple):
    """What the trials to come would gain, in the metric, and what they would take."""

    trials: int
    gain: float
    low: float
    high: float
    """The 95 % interval of the gain."""
    hours: float
    on_gpu: bool

    def is_enough(self, space: SearchSpace) -> bool:
        """Say whether the search ends by `stop_when`: all of the interval is below its gain."""
        gain = space.stop_when.get("gain", 0.0)
        return self.high < (gain / 100 if space.objective.unit else gain)

    def text(self, objective: Objective) -> str:
        """Return it as a sentence."""
        shown = (f"{100 * g:.1f}" if objective.unit else f"{g:.3g}" for g in self[1:4])
        what = "points" if objective.unit else f"of {objective.metric}"
        gain, low, high = shown
        took = f"{self.hours:.2g} {'GPU' if self.on_gpu else 'core'}-hours"
        cost = "" if math.isnan(self.hours) else f" for {took}"
        left = f"the {self.trials} trials left" if self.trials > 1 else "the one trial left"
        return f"going on for {left} would gain {gain} [{low}, {high}] {what}{cost}"


def ended(history: History | None, rule: str | None, ran: Sequence[Mapping[str, Any]]) -> Ended:
    """Return what counts of a trial that has ended.

    A trial that a rule stopped counts by its best score: it is a lower bound of what it would
    have reached, and lies below the upper scores anyway, or no rule would have stopped it.

    Args:
        history: its epochs and settings; None: it has no epoch.
        rule: that stopped it; None: none did.
        ran: on which devices it ran, as the journal notes it.
    """
    if not history or not history.rows:
        return Ended(-math.inf)
    score = history.best(history.metric)[0]
    learned = rule not in HOPELESS and math.isfinite(score) and take_off(history) is not None
    last: Mapping[str, Any] = ran[-1] if ran else {}
    on_gpu = str(last.get("device", "cpu")) != "cpu"
    each = 1.0 if on_gpu else float(last.get("threads", math.nan))
    hours = sum(float(row.get("seconds", math.nan)) for row in history.rows) * each / 3600
    return Ended(history.objective.key(score) if learned else -math.inf, hours, on_gpu)


class Prospects:
    """What a running search may still gain, as its trials end.

    Args:
        space: what is searched.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.begun = space, 0
        self.tried: list[Ended] = []
        """The trials that have ended, in the order in which they did."""
        self.enough = False
        """Whether `stop_when` ends the search, so that no further trial begins."""

    def add(self, trial: Ended, begun: int) -> bool:
        """Enter the end of a trial, when so many have begun; return whether none begins now."""
        self.tried.append(trial)
        self.begun = begun
        if self.space.stop_when and (found := self.outlook) and found.is_enough(self.space):
            self.enough = True
        return self.enough

    @property
    def outlook(self) -> Outlook | None:
        """What the trials that have not begun would gain; None: none are left, or not known."""
        if not self.space.uses("stop_when"):
            return None
        return outlook(self.tried, (self.space.count() or 0) - self.begun)


def of_run(run: Path, space: SearchSpace) -> Outlook | None:
    """Return what a run would gain by the trials that have not begun; None where it is not known.

    Raises:
        JournalError: the journal cannot be read.
    """
    known, epochs = read(run)
    if not space.uses("stop_when"):
        return None
    chance = space.prune.get("chance") or {}
    level, guess = chance.get("level", LEVEL), chance.get("score", math.nan)
    over = [item for item in known.items() if item[1]["status"] in ("done", "stopped", "failed")]
    tried = []
    for name, line in sorted(over, key=lambda item: item[1].get("n", 0)):
        rows: list[Mapping[str, Any]] = [*epochs.get(name, ())]
        history = History(rows, line["settings"], level=level, guess=guess)
        history.metric, history.mode = space.metric, space.mode
        tried.append(ended(history, line.get("stop_rule"), line.get("ran") or ()))
    return outlook(tried, (space.count() or 0) - len(known))


def told(run: Path, space: SearchSpace) -> str:
    """Return ``of_run`` as a sentence, and whether it ended the search; "" where it is not known.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not (found := of_run(run, space)):
        return ""
    ends = f"stop_when: gain {space.stop_when['gain']:g}: " if found.is_enough(space) else ""
    return ends + found.text(space.objective)


def outlook(tried: Sequence[Ended], more: int) -> Outlook | None:
    """Return what so many trials more would gain; None where nothing can be said yet.

    Args:
        tried: the trials that have ended, in the order in which they did.
        more: trials to come.
    """
    gains = _gains([trial.score for trial in tried], more)
    if gains is None:
        return None
    low, high = np.quantile(gains, [0.025, 0.975])
    known = [trial.hours for trial in tried if not math.isnan(trial.hours)]
    hours = more * sum(known) / len(known) if known else math.nan
    on_gpu = any(trial.on_gpu for trial in tried)
    return Outlook(more, float(gains.mean()), float(low), float(high), hours, on_gpu)


def _gains(scores: Sequence[float], more: int) -> npt.NDArray[np.float64] | None:
    """Return draws of the gain of so many trials more, (DRAWS,)."""
    upper = heapq.nlargest(UPPER + 1, filter(math.isfinite, scores))
    if len(upper) < UPPER or more < 1:
        return None
    used = len(upper) - 1
    excess = sum(score - upper[-1] for score in upper[:-1]) / used
    scale = excess * (1 - SHAPE) * used**SHAPE  # at the best of them, not at the last
    odds, spread = _draws(used)
    away = np.expm1(SHAPE * np.maximum(0.0, odds + math.log(more / len(scores)))) / SHAPE
    return np.asarray(scale * away / spread, dtype=np.float64)


@functools.cache
def _draws(used: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return evenly spread logistic draws, and draws of how far off a scale is."""
    below = (np.arange(DRAWS) + 0.5) / DRAWS
    spread = np.random.default_rng(0).gamma(used, size=DRAWS) / used
    return np.log(below / (1 - below)), spread

"""What a search would gain by going on: predicted from the scores of the trials that have ended.

With n trials tried and m to come, in any order equally likely, the chance that the best of the m
beats the best of the n by more than g is r q / (1 + r q), with r = m / n and q the chance that a
trial which beats the best does so by more than g. For q a generalized Pareto tail is taken, with a
scale from the upper scores. docs/stopping.md has the argument, and how often it was wrong.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facesiam.objective import Objective
from search.pruning import run_histories
from search.pruning.history import History, has_learned
from search.runs import layout
from search.runs.journal import read
from search.runs.layout import RunError
from search.runs.line_format import OVER
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

    def is_below(self, gain: float, objective: Objective) -> bool:
        """Say whether all of the interval is below a gain, of an accuracy in points."""
        return self.high < (gain / 100 if objective.unit else gain)

    def text(self, objective: Objective) -> str:
        """Return it as a sentence."""
        shown = (f"{100 * g:.1f}" if objective.unit else f"{g:.3g}" for g in self[1:4])
        what = "points" if objective.unit else f"of {objective.metric}"
        gain, low, high = shown
        hours = f"{self.hours:,.0f}" if self.hours >= 9.95 else f"{self.hours:.2g}"
        unit = "GPU" if self.on_gpu else "core"
        cost = "" if math.isnan(self.hours) else f" for {hours} {unit}-hours"
        left = f"the {self.trials:,} trials left" if self.trials > 1 else "the one trial left"
        return f"{left} would gain {gain} [{low}, {high}] {what}{cost}"


def ended(
    history: History | None, stopped_by: str | None, ran: Sequence[Mapping[str, Any]]
) -> Ended:
    """Return what counts of a trial that has ended.

    A trial that a rule stopped counts by its best score, a lower bound of what it would have
    reached. One that ran on as a control, whichever rule it was spared from, counts as others do.

    Args:
        history: its epochs and settings; None: it has no epoch.
        stopped_by: the rule that stopped it; None: none did.
        ran: on which devices it ran, as the journal notes it.
    """
    if not history or not history.rows:
        return Ended(-math.inf)
    score = history.best(history.metric)[0]
    learned = math.isfinite(score) and has_learned(history, stopped_by)
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
        self.tried: dict[str, Ended] = {}
        """The trials that have ended; one that failed and is tried again counts once."""
        self.enough: Outlook | None = None
        """By what `stop_when` ended the search, so that no further trial begins; None: it goes
        on."""

    def add(self, name: str, trial: Ended, begun: int) -> bool:
        """Enter the end of a trial, when so many have begun; return whether none begins now."""
        self.tried[name] = trial
        self.begun = begun
        gain = self.space.stop_when.get("gain", 0.0)
        found = self.outlook if gain and not self.enough else None
        if found and found.is_below(gain, self.space.objective):
            self.enough = found
        return self.enough is not None

    @property
    def ended_by(self) -> str:
        """Why no further trial begins, as a sentence; "" where one may."""
        if not self.enough:
            return ""
        gain, objective = self.space.stop_when["gain"], self.space.objective
        return f"stop_when: gain {gain:g}: {self.enough.text(objective)}"

    @property
    def outlook(self) -> Outlook | None:
        """What the trials that have not begun would gain; None: none are left, or not known."""
        if not self.space.uses("stop_when"):
            return None
        return outlook([*self.tried.values()], (self.space.count() or 0) - self.begun)


def of_run(run: Path, space: SearchSpace) -> Outlook | None:
    """Return what a run would gain by the trials that have not begun; None where it is not known.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not space.uses("stop_when"):
        return None
    tried, begun = _tried(run, space)
    return outlook(tried, (space.count() or 0) - begun)


def _tried(run: Path, space: SearchSpace) -> tuple[list[Ended], int]:
    """Return the trials of a run that have ended, and how many have begun."""
    known, epochs = read(run)
    tried = []
    for name, history in run_histories.of_run(known, epochs, space).items():
        line = known[name]
        if line["status"] in OVER:
            rule = run_histories.rule_of(line)
            tried.append(ended(history, rule, line.get("ran") or ()))
    return tried, len(known)


def told(run: Path, space: SearchSpace) -> str:
    """Return ``of_run`` as a sentence, or what ended the search by it; "" where it is not known.

    Where `stop_when` has nothing to act by, the sentence says why.

    Raises:
        JournalError: the journal cannot be read.
    """
    with suppress(RunError):  # a run that was killed in its first moments has no manifest
        sessions = layout.manifest(run).get("sessions") or [{}]
        if ended_by := sessions[-1].get("ended_by"):
            return ended_by
    found = of_run(run, space)
    if found:
        return found.text(space.objective)
    return _why_unknown(run, space) if space.stop_when and space.uses("stop_when") else ""


def _why_unknown(run: Path, space: SearchSpace) -> str:
    """Say why `stop_when` could not act; "" where there was something to act by."""
    scores = [trial.score for trial in _tried(run, space)[0] if math.isfinite(trial.score)]
    what = "stop_when has nothing to act by: what the trials left would gain is not estimated "
    if len(scores) < UPPER:
        some = f"{len(scores)} did" if scores else "none did"
        return f"{what}before {UPPER} trials have ended that learned something, and {some}"
    return f"{what}while all scores are equal" if len({*scores}) < 2 else ""


def outlook(tried: Sequence[Ended], more: int) -> Outlook | None:
    """Return what so many trials more would gain; None where nothing can be said yet.

    Args:
        tried: the trials that have ended, in any order.
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
    """Return draws of the gain of so many trials more, (DRAWS,); None: nothing can be said yet."""
    learned = [score for score in scores if math.isfinite(score)]
    upper, distinct = (heapq.nlargest(UPPER + 1, some) for some in (learned, {*learned}))
    if len(upper) < UPPER or len(distinct) < 2 or more < 1:
        return None
    used = len(upper) - 1
    excess = sum(score - upper[-1] for score in upper[:-1]) / used
    # Of few validation pairs many trials have the same accuracy: the next one is a step better.
    excess = max(excess, min(one - other for one, other in itertools.pairwise(distinct)))
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

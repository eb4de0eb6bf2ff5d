"""Successive halving (ASHA): its rungs, a set for each schedule of the learning rate.

It differs from Ray's in five ways: a trial that a rule stops counts as a peer, age counts from
take-off, a rung is asked again after every epoch, a trial that lies within the noise of the cutoff
goes on, and so does one that is level, at its rung, with the best trial's score there.
docs/pruning.md says why.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Any

from facesiam.errors import counted
from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History, take_off, waited_for
from search.pruning.significance import standard_error
from search.pruning.stop_decision import StopDecision, finite
from search.space import SearchSpace

WORST = 1e30
"""What a trial without a finite score has in a rung, below all others."""


class Asha:
    """The rungs for the trials of one schedule.

    Args:
        settings: grace, factor, compare and noise of `prune.asha`.
        objective: what is compared.
        longest: the most epochs that a trial can have.
    """

    def __init__(self, settings: Mapping[str, Any], objective: Objective, longest: int) -> None:
        self.share, self.longest = settings["compare"] == "share", longest
        self.objective = objective
        self.noise = float(settings["noise"])
        grace, factor = settings["grace"], settings["factor"]
        # From percent, as in Ray and numpy, so that it is rounded as there.
        self.quantile = (1 - 1 / float(factor)) * 100 / 100
        # As in Ray, where rounding loses the top rung for some numbers.
        count = int(math.log(longest / grace) / math.log(factor) + 1)
        self.rungs: list[tuple[float, dict[str, float]]] = [
            (grace * factor**step, {}) for step in reversed(range(count))
        ]
        """Age, and by trial its score as ``Objective.key`` has it; the highest rung first."""
        self.provisional: set[str] = set()
        """Trials whose score in the first rung is not final: they still guess."""
        self._order: dict[float, list[float]] = {at: [] for at, _ in self.rungs}
        """By rung its scores in order: a search may compare 10,000 trials after every epoch."""
        self.leader: tuple[float, str] = -math.inf, ""
        """The key of the best score of all and its trial, the first one of equals."""

    def age(self, epochs: float, planned: int) -> float:
        """Return the age of a trial after so many epochs of so many planned."""
        return epochs * self.longest / planned if self.share and planned else float(epochs)

    def peer(self, trial: str, score: float, final: bool) -> None:
        """Enter a trial in the first rung without a decision: it was stopped, or still guesses.

        Args:
            trial: its id.
            score: its best score so far.
            final: it was stopped, so that the score stays.
        """
        at, first = self.rungs[-1]
        # Short trials that are compared by share may have gone past the first rung unseen.
        if trial in self.provisional or not any(trial in scores for _, scores in self.rungs):
            self._put(at, first, trial, self._key(score))
        if final:
            self.provisional.discard(trial)
        elif not any(trial in scores for _, scores in self.rungs[:-1]):
            self.provisional.add(trial)

    def decide(
        self,
        trial: str,
        age: float,
        score: float,
        pairs: int,
        guesses: bool = False,
        scatter: float = 0.0,
    ) -> StopDecision | None:
        """Enter a trial's best score so far at its age; return why it stops there, if it does.

        Args:
            trial: its id.
            age: as ``age`` counts it, from take-off.
            score: the best value of the metric so far.
            pairs: validation pairs behind the score; 0 where unknown, which means no noise.
            guesses: it has not taken off, and ASHA waits for that no longer: it stays a peer in
                the first rung.
            scatter: the estimated noise of a metric of which no standard error is known.

        Returns:
            The decision without a sentence and an epoch; None: it goes on.
        """
        if self._key(score) > self.leader[0]:
            self.leader = self._key(score), trial
        if trial in self.provisional:
            self.provisional.discard(trial)
            if not guesses:  # from now on its age counts
                self._drop(*self.rungs[-1], trial)
        rung = next(
            (rung for rung in self.rungs if schedule_progress.has_come(age, rung[0])), None
        )
        if rung is None:
            return None
        at, scores = rung
        peers = len(scores) - (trial in scores)
        cutoff = self._cutoff(at) if peers else math.nan
        if trial not in scores:
            self._put(at, scores, trial, self._key(score))
        if not scores[trial] < cutoff - self._margin(scores[trial], pairs, scatter):
            return None
        value = self.objective.key(scores[trial] if scores[trial] > -WORST else -math.inf)
        cutoff = self.objective.key(cutoff)
        return StopDecision("asha", None, None, at, finite(value), cutoff, peers)

    def matches_leader(self, trial: str, rung: float, pairs: int, scatter: float = 0.0) -> bool:
        """Return whether a trial is level, at a rung, with what the best trial had there.

        Args:
            trial: one that is at the rung.
            rung: age at the rung.
            pairs: as in ``decide``.
            scatter: as in ``decide``.
        """
        best = self.leader[1]
        if not any(best in higher for age, higher in self.rungs if age > rung):
            return False
        scores = next(scores for age, scores in self.rungs if age == rung)
        known = scores.get(best, math.inf)
        return not scores[trial] < known - self._margin(scores[trial], pairs, scatter)

    def _key(self, score: float) -> float:
        # Between two infinities there is no percentile, and a NaN cutoff stops no trial.
        return min(WORST, max(-WORST, self.objective.key(score)))

    def _margin(self, score: float, pairs: int, scatter: float) -> float:
        score = self.objective.key(score)
        return self.noise * (standard_error(self.objective.metric, score, pairs) or scatter)

    def _cutoff(self, at: float) -> float:
        """Return the quantile of a rung's scores, to the last bit that of numpy's percentile."""
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


class AshaBySchedule:
    """ASHA for trials of different schedules of the learning rate, which have rungs of their own.

    At the same epoch a rate that has yet to fall and one that has fallen are not alike, nor are
    two at unequal shares of the same fall.

    Args:
        space: whose `prune.asha` it follows.
        waits: whether the rule ``chance`` is on, so that age counts from take-off.
    """

    def __init__(self, space: SearchSpace, waits: bool) -> None:
        self.space, self.waits = space, waits
        schedule = str(space.possible("schedule")[0])
        self.first = _rungs(space, schedule)
        """The rungs for trials of the space's first schedule."""
        self._rungs = {schedule: self.first}

    def decide(self, name: str, history: History, score: float) -> StopDecision | None:
        """Enter a trial's score after an epoch; return why the trial stops, if it does.

        Args:
            name: the trial.
            history: its epochs.
            score: its best score so far.
        """
        asha, guesses = self._of(history), False
        if self.waits:
            guesses = take_off(history) is None
            if guesses and waited_for(history, len(history.rows)):
                if schedule_progress.has_come(self._age(history, 0), asha.rungs[-1][0]):
                    asha.peer(name, score, final=False)
                return None
        age = self._age(history, self._start(history))
        noise = 0.0 if history.measured else history.noise()
        scatter = 0.0 if math.isnan(noise) else noise
        stop = asha.decide(name, age, score, history.pairs, guesses, scatter)
        if stop is None or asha.matches_leader(name, stop.rung or 0.0, history.pairs, scatter):
            return None
        return stop._replace(reason=self._reason(stop, history), epoch=history.epoch)

    def peer(self, name: str, history: History, score: float) -> None:
        """Enter a trial that a rule has stopped."""
        self._of(history).peer(name, score, final=True)

    def age(self, history: History) -> float:
        """Return the age of a trial in epochs, as ASHA compares them, from epoch 0."""
        return self._of(history).age(len(history.rows), history.planned)

    def _of(self, history: History) -> Asha:
        schedule = schedule_progress.family(history.settings)
        if schedule not in self._rungs:
            self._rungs[schedule] = _rungs(self.space, schedule)
        return self._rungs[schedule]

    def _start(self, history: History) -> int:
        """Return the epoch that a trial's age counts from: its take-off, if it was waited for.

        A trial that was compared while it guessed keeps its age: younger, it would come once more
        to rungs that have its score as a guess.
        """
        start = take_off(history) if self.waits else None
        return start if start is not None and waited_for(history, start) else 0

    def _age(self, history: History, start: int) -> float:
        """Return a trial's age from an epoch on; while its rate rises it ages more slowly."""
        epochs = history.warmup_adjusted() - history.warmup_adjusted(start)
        return self._of(history).age(epochs, history.planned)

    def _reason(self, stop: StopDecision, history: History) -> str:
        asha, start = self._of(history), self._start(history)
        value = asha.objective.worst if stop.value is None else stop.value
        shown, unit = asha.objective.shown, asha.objective.unit
        age = f"{stop.rung:g} epoch{'s' * (stop.rung != 1)}" + asha.share * f" of {asha.longest}"
        age += f" from its take-off at epoch {start}" if start else ""
        return (
            f"best {asha.objective.metric} {shown(value)}{unit} at the rung of {age}, cutoff "
            f"{shown(stop.cutoff or 0.0)}{unit} of {counted(stop.peers or 0, 'peer')}"
        )


def _rungs(space: SearchSpace, schedule: str) -> Asha:
    """Return ASHA's rungs for the trials of a schedule."""
    settings, epochs = dict(space.prune["asha"]), space.possible("epochs")
    # Trials of one length are compared by epochs either way, and their reasons say so.
    if schedule_progress.falls({"schedule": schedule}) and len(epochs) > 1:
        settings["compare"] = "share"
    return Asha(settings, space.objective, space.max_epochs())

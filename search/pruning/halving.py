"""Successive halving with pauses: its rungs, and which trials stop, wait and go on there.

Every trial runs to the first rung. Of all that come there, the better half goes on to the next
rung, where half of these go on. A trial goes on as soon as it is as good as sure to be among them,
is out for good once too many others are better at its rung, whatever comes later, and waits until
then with its state kept. Scores are only compared, so that any metric will do. They are those of
the last epochs before the rung: a net that has overfitted has its best behind it. docs/pruning.md
has the argument.
"""

from __future__ import annotations

import bisect
import heapq
import math
import statistics
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from facesiam.config import Value
from facesiam.config.rounding import SLACK, rounded_up
from facesiam.errors import counted
from facesiam.objective import Objective
from search.pruning import schedule_progress
from search.pruning.history import History
from search.pruning.stop_decision import PAUSE, StopDecision, finite
from search.space import SearchSpace

GROWTH = 1.6
"""Age at a rung over the age at the one before."""
LAST = 0.9
"""Share of a trial's epochs after which there is no rung: too little is left to save."""
FEWEST = 2
"""Epochs of the longest trial that the first rung is at least at."""
SURE = 0.5
"""Standard deviations that a trial's rank lies above the last place before it goes on early."""
LATEST = 2
"""Epochs before a rung of which the mean score counts there: one alone would be noisy, and three
hold a net back that has only just started."""

Place = tuple[float, int]
"""A trial's place at a rung, the less the better: its score, turned round, and its number."""


class Begun(NamedTuple):
    """A trial that has begun."""

    schedule: str
    number: int


class Standing(NamedTuple):
    """A trial's last rung."""

    schedule: str
    rung: int
    place: Place
    epochs: int
    """After which it came there."""


class Halving:
    """The rungs of a search.

    Args:
        space: whose `prune.halving` it follows.
        controls: the control group: trials that run on and come to no further rung.
        growth: age at a rung over the age at the one before.
    """

    def __init__(
        self, space: SearchSpace, controls: Container[str] = (), growth: float = GROWTH
    ) -> None:
        settings, self.controls = space.prune["halving"], controls
        self.space, self.factor = space, float(settings["factor"])
        self.rungs = rungs(float(settings["grace"]), space.max_epochs(), growth)
        self.expected = space.count() or 0  # a grid without an end is refused when it is read
        """Trials that the search will have, if nothing ends it before."""
        self._complete = False
        """Whether no further trial will begin."""
        self._begun: dict[str, Begun] = {}
        """The trials that have begun, by name."""
        self._of_schedule: Counter[str] = Counter()
        """How many of them have a schedule: each schedule has rungs of its own."""
        self._places: dict[tuple[str, int], list[Place]] = {}
        """By schedule and rung, the best first."""
        self._standings: dict[str, Standing] = {}
        """Of the trials that came to a rung and have not ended."""
        self._waiting: dict[str, Standing] = {}
        self._queues: dict[tuple[int, str], list[tuple[Place, str]]] = {}
        """Those that wait, by rung and schedule, the best at the top; some no longer wait."""
        self._going: set[str] = set()
        """Trials that run."""
        self._came: Counter[str] = Counter()
        """By schedule, how many came to the first rung, or ended before it."""

    def begin(self, name: str, settings: Mapping[str, Value]) -> None:
        """Add a trial that begins, or goes on."""
        if name not in self._begun:
            schedule = schedule_progress.family(settings)
            self._begun[name] = Begun(schedule, len(self._begun))
            self._of_schedule[schedule] += 1
            self._complete = False  # a resumed search may have more than the one that had ended
        self._waiting.pop(name, None)
        self._going.add(name)

    def decide(self, name: str, history: History) -> StopDecision | None:
        """Enter a trial's score after an epoch; return why it stops, PAUSE, or None: it goes on.

        Args:
            name: the trial.
            history: its epochs.
        """
        came = self.enter(name, history)
        if stop := self.out(name):
            return stop._replace(epoch=history.epoch)
        return PAUSE if came and self._pauses(name) else None

    def enter(self, name: str, history: History) -> bool:
        """Enter a trial's score at each rung that its last epoch came to; say whether it did."""
        known, (schedule, number) = self._standings.get(name), self._begun[name]
        first, passed = known.rung + 1 if known else 0, self._passed(history)
        for rung in range(first, passed):
            key = self.space.objective.key(latest(history, self.space.objective))
            place = (-key if math.isfinite(key) else math.inf), number
            bisect.insort(self._places.setdefault((schedule, rung), []), place)
            self._standings[name] = Standing(schedule, rung, place, len(history.rows))
            self._came[schedule] += rung == 0
        return passed > first

    def out(self, name: str) -> StopDecision | None:
        """Return why a trial is out at its last rung; None: it may go on."""
        if (standing := self._standings.get(name)) is None:
            return None
        others = self._places[standing.schedule, standing.rung]
        better = bisect.bisect_left(others, standing.place)
        # As many as there can be: who is out now is out however many trials come yet.
        trials = self._of_schedule[standing.schedule] + self._to_come()
        places = self.places_beyond(standing.rung, trials)
        if better < places:
            return None
        at, objective = standing.epochs, self.space.objective
        value = objective.key(-standing.place[0])
        cutoff = objective.key(-others[places - 1][0])
        mean = f"mean of its last {_window(at)} epochs" if _window(at) > 1 else "its last epoch"
        ahead = "are better, the last of them with"
        if value == cutoff:  # of equals the first to begin is ahead
            ahead = "are better, or as good and began first, the last of them with"
        return StopDecision(
            "halving",
            f"{objective.metric} {_told(value, objective)} ({mean}) at the rung of "
            f"{counted(at, 'epoch')}, from which {places:,} of "
            f"{counted(trials, 'trial')} go on: so many {ahead} {_told(cutoff, objective)}",
            at - 1,
            rung=at,
            value=finite(value),
            cutoff=finite(cutoff),
            peers=len(others) - 1,
        )

    def first_waiting(self) -> str | None:
        """Return the trial that goes on next, of those that wait: of the lowest rung the best.

        While others have yet to begin, only one goes on that is sure to be among the best.
        """
        for (rung, _), queue in sorted(self._queues.items()):
            while queue:
                place, name = queue[0]
                standing = self._waiting.get(name)
                stale = standing is None or (standing.rung, standing.place) != (rung, place)
                if not stale and self.out(name) is None:
                    break
                heapq.heappop(queue)
            if queue and (not self._to_come() or self._is_sure(queue[0][1])):
                return queue[0][1]
        return None

    def all_out(self) -> Iterator[tuple[str, StopDecision]]:
        """Yield the trials that wait and are out by now, each with the reason."""
        for name in list(self._waiting):
            if stop := self.out(name):
                yield name, stop

    def no_more(self) -> None:
        """Note that no further trial will begin."""
        self._complete = True

    def forget(self, name: str) -> None:
        """Free a trial that has ended; its scores stay."""
        if name in self._begun and self._standings.pop(name, None) is None:
            self._came[self._begun[name].schedule] += 1
        self._waiting.pop(name, None)
        self._going.discard(name)

    def arrivals(self, settings: Mapping[str, Value]) -> list[int]:
        """Return by rung the number of epochs after which a trial comes to it.

        An epoch of a short trial may pass several. Rungs that it comes to at its end are left out.
        """
        found = list[int]()
        for epochs in range(1, int(settings["epochs"])):
            passed = self._passed(History([{}] * epochs, settings))
            found += [epochs] * (passed - len(found))
        return found

    def pauses(self, settings: Mapping[str, Value]) -> list[int]:
        """Return the numbers of epochs after which a trial may be paused."""
        return sorted({*self.arrivals(settings)})

    def _passed(self, history: History) -> int:
        """Return how many rungs a trial has come to."""
        return bisect.bisect_right(self.rungs, age(history) + SLACK)

    def _pauses(self, name: str) -> bool:
        """Have a trial wait at its rung where others come first; say whether it does."""
        standing = self._standings[name]
        self._going.discard(name)
        self._waiting[name] = standing
        queue = self._queues.setdefault((standing.rung, standing.schedule), [])
        heapq.heappush(queue, (standing.place, name))
        if self._is_sure(name) if self._to_come() else self.first_waiting() == name:
            del self._waiting[name]
            self._going.add(name)
        return name in self._waiting

    def _is_sure(self, name: str) -> bool:
        """Say whether a trial will be among those that go on, however good the others are.

        Of those that came first, in any order equally likely, a hypergeometric number is among
        the best of all. Those on the way to the rung count as better.
        """
        schedule, rung, place, _ = self._standings[name]
        going = (other for other in self._going if other not in self.controls)
        below = map(self._standings.get, going)
        coming = sum(one is not None and one[:2] == (schedule, rung - 1) for one in below)
        rank = bisect.bisect_left(self._places[schedule, rung], place) + coming + 1
        came, trials = self._came[schedule], self._of_schedule[schedule] + self._to_come()
        share = self.factor ** -(rung + 1)
        left = (trials - came) / max(1, trials - 1)
        return rank <= came * share - SURE * math.sqrt(came * share * (1 - share) * left)

    def _to_come(self) -> int:
        """Return how many trials have yet to begin."""
        return 0 if self._complete else max(0, self.expected - len(self._begun))

    def places_beyond(self, rung: int, trials: int) -> int:
        """Return how many of so many trials go on from a rung."""
        return max(1, rounded_up(trials / self.factor ** (rung + 1)))


def rungs(grace: float, longest: int, growth: float = GROWTH) -> list[float]:
    """Return the rungs as shares of a trial's epochs.

    Args:
        grace: share at the first rung.
        longest: epochs of the longest trial.
        growth: share at a rung over the share at the one before.
    """
    found, share = list[float](), max(grace, FEWEST / longest)
    while share < LAST:
        found.append(share)
        share *= growth
    return found


def age(history: History) -> float:
    """Return the share of its epochs that a trial has done.

    Those before the highest learning rate count by their share of it: in a warm-up a net moves
    little, whatever the rate does later.
    """
    whole = history.warmup_adjusted(history.planned)
    return history.warmup_adjusted() / whole if whole else 0.0


def latest(history: History, objective: Objective) -> float:
    """Return what a trial has now: its mean score of the last epochs, the worst where it has none.

    Its best one may be long past. It stays with the trial, whether or not that goes on.
    """
    last = history.rows[-_window(len(history.rows)) :]
    values = [float(row.get(objective.metric, math.nan)) for row in last]
    known = [value for value in values if math.isfinite(value)]
    return statistics.fmean(known) if known else objective.worst


def _window(epochs: int) -> int:
    """Return of how many epochs the mean is taken: of a young trial of its later half only."""
    return min(LATEST, math.ceil(epochs / 2))


def _told(value: float, objective: Objective) -> str:
    return f"{objective.shown(value)}{objective.unit}" if math.isfinite(value) else "unknown"

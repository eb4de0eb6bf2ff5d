"""A simulated search over recorded runs: orders of arrival, workers and pruning policies."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from search.pruning.halving import GROWTH
from search.pruning.late_start import Odds
from search.pruning.recorded_runs import Curve
from search.pruning.scheduler import Scheduler
from search.pruning.stop_decision import PAUSE, StopDecision
from search.space import SearchSpace

THRESHOLD, PATIENCE = 0.53, 5
"""The rule of thumb with which the rules are compared."""


class Arrival(NamedTuple):
    """A recorded run in the order of one simulated search."""

    name: str
    curve: Curve


class Policy(Protocol):
    """Decides after each epoch whether a run stops, and which run a free worker takes."""

    def expect(self, runs: Sequence[Arrival]) -> None:
        """Take note of the runs of a search, in the order in which they will start."""

    def begin(self, run: Arrival) -> None:
        """Add a run that starts."""

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Return why the run stops after this epoch, from 0; None: it goes on; PAUSE: it waits."""

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Return the run that a free worker takes up, paused or new; None: the next new one.

        It is asked after every epoch while a worker is free. A paused run that it never returns
        has stopped.

        Args:
            paused: the paused runs by name, in the order in which they were paused.
            new: those that have yet to start, in their order. Where there is none, and this is
                None, the worker stays free.
        """

    def drop(self, run: Arrival, epoch: int) -> StopDecision:
        """Return why a paused run never went on after this epoch, from 0."""


@dataclass(frozen=True)
class Orders:
    """How recorded runs arrive in the simulated searches."""

    workers: int = 4
    """Runs that go on at once."""
    orders: int = 100
    """Random orders of arrival, a simulated search each."""
    seed: int = 0
    """Of the orders."""
    trials: int | None = None
    """Runs to draw for each order; None: each run once."""
    replacing: bool = True
    """A run can be drawn more than once."""

    def drawn(self, runs: Sequence[Curve]) -> list[list[Arrival]]:
        """Return the runs in each of the orders."""
        return [
            random_order(runs, self.seed, number, self.trials, self.replacing)
            for number in range(self.orders)
        ]


@dataclass(frozen=True)
class Outcome:
    """The result of one simulated search."""

    epochs: int
    seconds: float
    finished: tuple[Arrival, ...]
    stops: dict[str, StopDecision]


def simulate(runs: Sequence[Arrival], policy: Policy, workers: int) -> Outcome:
    """Simulate a search over recorded runs, in their order, at so many workers."""
    new, events = {run.name: run for run in runs}, list[tuple[float, int, int, Arrival]]()
    spent, clock, started, free = 0, 0.0, 0, workers
    finished: list[Arrival] = []
    stops: dict[str, StopDecision] = {}
    paused: dict[str, Arrival] = {}
    after: dict[str, int] = {}  # the next epoch of a paused run

    def start() -> bool:
        """Give a free worker a run, if there is one for it."""
        nonlocal started
        run = policy.choose(paused, new) or next(iter(new.values()), None)
        if run is None:
            return False
        if run.name in paused:
            del paused[run.name]
        else:
            del new[run.name]
            policy.begin(run)
        started += 1  # runs that end at the same moment are served in order of their start
        epoch = after.pop(run.name, 0)
        heapq.heappush(events, (clock + run.curve.rows[epoch]["seconds"], started, epoch, run))
        return True

    policy.expect(runs)
    while free and start():
        free -= 1
    while events:
        clock, number, epoch, run = heapq.heappop(events)
        spent += 1
        stop, last = policy.decide(run, epoch), epoch + 1 == len(run.curve.rows)
        if stop is None and not last:
            seconds = run.curve.rows[epoch + 1]["seconds"]
            heapq.heappush(events, (clock + seconds, number, epoch + 1, run))
        else:
            free += 1
            if stop is None or (stop is PAUSE and last):
                finished.append(run)
            elif stop is PAUSE:
                paused[run.name], after[run.name] = run, epoch + 1
            else:
                stops[run.name] = stop
        while free and start():
            free -= 1
    stops |= {name: policy.drop(run, after[name] - 1) for name, run in paused.items()}
    return Outcome(spent, clock, tuple(finished), stops)


class NoPruning:
    """Stops no run."""

    def expect(self, runs: Sequence[Arrival]) -> None:
        """Do nothing."""

    def begin(self, run: Arrival) -> None:
        """Do nothing."""

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Return None."""
        return None

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Return None."""
        return None

    def drop(self, run: Arrival, epoch: int) -> StopDecision:
        """Return that it was paused."""
        return PAUSE._replace(epoch=epoch)


class ThresholdPolicy(NoPruning):
    """The rule of thumb: below 0.53 for five epochs in a row."""

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Stop a run whose last PATIENCE epochs all lie below THRESHOLD."""
        last = run.curve.rows[max(0, epoch + 1 - PATIENCE) : epoch + 1]
        below = len(last) == PATIENCE and all(row.get("val_acc", 1) < THRESHOLD for row in last)
        return StopDecision("threshold", "", epoch) if below else None


class SchedulerPolicy(NoPruning):
    """The scheduler of a real search; the arguments are ``Scheduler``'s."""

    def __init__(self, searched: SearchSpace, odds: Odds, growth: float = GROWTH) -> None:
        self.scheduler, self.odds = Scheduler(searched, odds, growth), odds

    def begin(self, run: Arrival) -> None:
        """Add a run that starts; the odds leave out its own curve."""
        self.scheduler.begin(run.name, run.curve.settings)
        known = self.odds.knows(run.curve)
        self.scheduler.histories[run.name].name = run.curve.id if known else ""

    def expect(self, runs: Sequence[Arrival]) -> None:
        """Tell the rungs how many runs there will be."""
        if self.scheduler.halving:
            self.scheduler.halving.expected = len(runs)

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Return what the scheduler has go on."""
        name = self.scheduler.next_paused()
        if name is None:
            return None
        self.scheduler.begin(name, paused[name].curve.settings)
        return paused[name]

    def drop(self, run: Arrival, epoch: int) -> StopDecision:
        """Return why it was out at its rung."""
        stop = self.scheduler.halving.out(run.name) if self.scheduler.halving else None
        return stop or super().drop(run, epoch)

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Return the decision of the scheduler."""
        self.scheduler.add_epoch(run.name, run.curve.rows[epoch] | {"epoch": epoch})
        last = epoch + 1 == len(run.curve.rows)
        return self.scheduler.decide(run.name, last)


def top_k(runs: Sequence[Arrival], k: int, workers: int, searched: SearchSpace) -> Outcome:
    """Simulate one epoch for every run, then the best k of them to their end.

    Of equal runs the first to arrive is taken.
    """
    chosen = {run.name for run in by_first_epoch(runs, searched)[:k]}
    stops = {run.name: StopDecision("top k", "", 0) for run in runs if run.name not in chosen}
    first = simulate([_cut(run, 0, 1) for run in runs], NoPruning(), workers)
    ones = tuple(run for run in runs if run.name in chosen and len(run.curve.rows) == 1)
    longer = [run for run in runs if run.name in chosen and len(run.curve.rows) > 1]
    rest = simulate([_cut(run, 1, None) for run in longer], NoPruning(), workers)
    return Outcome(
        first.epochs + rest.epochs, first.seconds + rest.seconds, (*ones, *longer), stops
    )


def by_first_epoch(runs: Sequence[Arrival], searched: SearchSpace) -> list[Arrival]:
    """Return the runs by what their first epoch scored, best first, ties to the first to come."""
    objective = searched.objective
    return sorted(runs, key=lambda run: -objective.key(run.curve.rows[0].get(objective.metric)))


def random_order(
    runs: Sequence[Curve],
    seed: int,
    number: int,
    trials: int | None = None,
    replacing: bool = True,
) -> list[Arrival]:
    """Return the runs in a random order, always the same for (seed, number).

    Args:
        runs: recorded runs.
        seed: of all orders.
        number: of this one.
        trials: draw so many; None: each run once.
        replacing: a run can be drawn more than once.
    """
    rng = random.Random(f"{seed}/{number}")
    if trials is None or not replacing:
        chosen = rng.sample(list(runs), len(runs) if trials is None else trials)
        return [Arrival(curve.id, curve) for curve in chosen]
    chosen = rng.choices(list(runs), k=trials)
    return [Arrival(f"{curve.id}#{place}", curve) for place, curve in enumerate(chosen)]


def _cut(run: Arrival, start: int, end: int | None) -> Arrival:
    return Arrival(run.name, replace(run.curve, rows=run.curve.rows[start:end]))

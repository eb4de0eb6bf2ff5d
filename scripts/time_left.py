"""How far off the time left is that a running search shows, on searches whose end is known.

    python scripts/time_left.py [--orders 100]

Once on the recorded searches of ray_results/reference, whose journals have the times of starts
and ends (the epochs between are laid there by their seconds). Once on simulated searches: the 2019
study's runs in random orders, as ``search.replay`` has them, with ASHA and the rules of
spaces/code2.yaml.
At a quarter, a half and three quarters of each search, the estimate is compared with the time that
was really left.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from search.pruning import recorded_runs
from search.pruning.contests import by_protocol
from search.pruning.late_start import Odds
from search.pruning.simulator import Arrival, SchedulerPolicy, random_order, simulate
from search.pruning.stop_decision import StopDecision
from search.space import SearchSpace, load
from search.space.prune import pruning
from search.tuning.time_left import TimeLeft

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ("cpu", "cpu-aligned-112", "cpu-ablation")
"""Runs of ray_results/reference with more than a handful of trials."""
AT = (0.25, 0.5, 0.75)


class Event(NamedTuple):
    """What happened to a trial at a moment of a search."""

    time: float
    kind: str
    """start, epoch or end."""
    trial: str
    epochs: int
    """Planned ones of a start, done ones of an epoch."""


def main() -> None:
    """Print the errors of both kinds of search."""
    parser = argparse.ArgumentParser(description="How far off the shown time left is.")
    parser.add_argument("--orders", type=int, default=100, help="simulated searches (100)")
    parser.add_argument("--workers", type=int, default=4, help="trials at once in them (4)")
    options = parser.parse_args()
    print("estimated / really left, at a quarter, a half and three quarters of the search")
    for name in RECORDED:
        found = ratios(list(of_journal(ROOT / "ray_results" / "reference" / name)))
        print(f"  {name:<20}" + "  ".join(f"{ratio:>6.2f}" for ratio in found))
    searched = with_asha()
    runs = recorded_runs.read(recorded_runs.SHIPPED)
    odds = Odds(recorded_runs.shipped(), own=True)
    for key, curves in by_protocol(runs, searched).items():
        orders = [
            ratios(simulated(random_order(curves, 0, n), searched, odds, options.workers))
            for n in range(options.orders)
        ]
        print(f"  {key[0]}, {len(curves)} runs, {options.orders} orders, median [10 %, 90 %]")
        for share, column in zip(AT, zip(*orders, strict=True), strict=True):
            low, *_, high = statistics.quantiles(column, n=10)
            print(f"    at {share:.0%}: {statistics.median(column):.2f} [{low:.2f}, {high:.2f}]")


def with_asha() -> SearchSpace:
    """Return the space of the simulated searches, whose trials are never paused."""
    searched, on = load(ROOT / "spaces" / "code2.yaml"), pruning(True)
    asha = {"halving": False, "asha": on["asha"], "chance": on["chance"]}
    return replace(searched, prune=searched.prune | asha)


def ratios(events: Sequence[Event]) -> list[float]:
    """Return what is shown over what is really left, at each of AT."""
    now, end = events[0].time, events[-1].time
    left = TimeLeft(sum(event.kind == "start" for event in events), lambda: now)
    shown, due = [], [now + share * (end - now) for share in AT]
    for event in events:
        while due and event.time > due[0]:
            now = due.pop(0)
            shown.append((left.seconds() or 0.0) / (end - now))
        now = event.time
        if event.kind == "start":
            left.start(event.trial, event.epochs)
        elif event.kind == "epoch":
            left.epoch(event.trial, event.epochs, 0)
        else:
            left.end(event.trial)
    return shown


def of_journal(run: Path) -> Iterator[Event]:
    """Yield the events of a recorded search in their order."""
    lines = [
        [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
        for name in ("trials", "epochs")
    ]
    seconds: dict[str, list[float]] = {}
    for row in lines[1]:
        seconds.setdefault(row["trial"], []).append(float(row["seconds"]))
    events, began = [], dict[str, float]()
    for row in lines[0]:
        name, status = row["trial"], row["status"]
        if status == "running" and name not in began:
            began[name] = row["time"]
            events.append(Event(row["time"], "start", name, row["settings"]["epochs"]))
        elif status in ("done", "stopped"):
            ends = list(itertools.accumulate(seconds[name]))
            stretch = (row["time"] - began[name]) / ends[-1]
            for done, at in enumerate(ends, 1):
                events.append(Event(began[name] + at * stretch, "epoch", name, done))
            events.append(Event(row["time"], "end", name, 0))
    yield from sorted(events, key=lambda event: event.time)


class Watched(SchedulerPolicy):
    """The scheduler of a search, which notes when what happened."""

    def __init__(self, searched: SearchSpace, odds: Odds) -> None:
        super().__init__(searched, odds)
        self.now, self.events = 0.0, list[Event]()
        self.clocks: dict[str, float] = {}

    def begin(self, run: Arrival) -> None:
        """Note that a run starts, at the moment at which the one before it ended."""
        super().begin(run)
        self.clocks[run.name] = self.now
        planned = int(run.curve.settings["epochs"])
        self.events.append(Event(self.now, "start", run.name, planned))

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Note an epoch, and the end that follows from it."""
        self.clocks[run.name] += run.curve.rows[epoch]["seconds"]
        self.now = self.clocks[run.name]
        self.events.append(Event(self.now, "epoch", run.name, epoch + 1))
        stop = super().decide(run, epoch)
        if stop or epoch + 1 == len(run.curve.rows):
            self.events.append(Event(self.now, "end", run.name, 0))
        return stop


def simulated(
    order: Sequence[Arrival], searched: SearchSpace, odds: Odds, workers: int
) -> list[Event]:
    """Return the events of a simulated search."""
    policy = Watched(searched, odds)
    simulate(order, policy, workers)
    return policy.events


if __name__ == "__main__":
    main()

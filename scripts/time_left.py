"""How far off the time left is that a running search shows, on searches whose end is known.

    python scripts/time_left.py [--orders 100]

Once on the recorded searches of ray_results/reference, whose journals have the times of starts
and ends (the epochs between are laid there by their seconds). Once on simulated searches: the 2019
study's runs in random orders, as ``search.replay`` has them, with ASHA and the rules of
spaces/code2.yaml, and with its halving.
At a quarter, a half and three quarters of each search, the estimate is compared with the time that
was really left.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from search.pruning import recorded_runs
from search.pruning.contests import by_protocol
from search.pruning.halving import Halving
from search.pruning.late_start import Odds
from search.pruning.simulator import Arrival, SchedulerPolicy, random_order, simulate
from search.pruning.stop_decision import PAUSE, StopDecision
from search.space import SearchSpace, load
from search.space.prune import pruning
from search.tuning.time_left import TimeLeft
from search.tuning.time_left_halving import HalvingTimeLeft

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ("cpu", "cpu-aligned-112", "cpu-ablation")
"""Runs of ray_results/reference with more than a handful of trials."""
AT = (0.25, 0.5, 0.75)


class Event(NamedTuple):
    """What happened to a trial at a moment of a search."""

    time: float
    kind: str
    """start, epoch, pause or end."""
    trial: str
    epochs: int
    """Planned ones of a start, done ones of an epoch."""


def main() -> None:
    """Print the errors of both kinds of search."""
    parser = argparse.ArgumentParser(description="How far off the shown time left is.")
    parser.add_argument("--orders", type=int, default=100, help="simulated searches (100)")
    parser.add_argument("--workers", type=int, default=4, help="trials at once in them (4)")
    parser.add_argument("--trials", type=int, help="so many are drawn (each run once)")
    options = parser.parse_args()
    print("estimated / really left, at a quarter, a half and three quarters of the search")
    for name in RECORDED:
        found = ratios(list(of_journal(ROOT / "ray_results" / "reference" / name)))
        print(f"  {name:<20}" + "  ".join(f"{ratio:>6.2f}" for ratio in found))
    runs = recorded_runs.read(recorded_runs.SHIPPED)
    odds = Odds(recorded_runs.shipped(), own=True)
    for name, searched in spaces().items():
        for key, curves in by_protocol(runs, searched).items():
            trials = options.trials or len(curves)
            orders = [
                simulated(
                    random_order(curves, 0, n, options.trials), searched, odds, options.workers
                )
                for n in range(options.orders)
            ]
            print(f"  {name}, {key[0]}, {trials} trials, {len(orders)} orders, median [10, 90 %]")
            found = [ratios(events, searched) for events in orders]
            for share, column in zip(AT, zip(*found, strict=True), strict=True):
                low, *_, high = statistics.quantiles(column, n=10)
                print(f"    {share:.0%}: {statistics.median(column):.2f} [{low:.2f}, {high:.2f}]")


def spaces() -> dict[str, SearchSpace]:
    """Return the spaces of the simulated searches."""
    searched, on = load(ROOT / "spaces" / "code2.yaml"), pruning(True)
    asha = {"halving": False, "asha": on["asha"], "chance": on["chance"]}
    return {"ASHA": replace(searched, prune=searched.prune | asha), "halving": searched}


def ratios(events: Sequence[Event], searched: SearchSpace | None = None) -> list[float]:
    """Return what is shown over what is really left, at each of AT."""
    now, end = events[0].time, events[-1].time
    total = len({event.trial for event in events})
    left = TimeLeft(total, lambda: now)
    if searched and searched.prune["halving"]:
        halving = Halving(searched)
        left = HalvingTimeLeft(total, halving.factor, halving.arrivals, lambda: now)
    shown, done, due = list[float](), dict[str, int](), [now + share * (end - now) for share in AT]
    for event in events:
        while due and event.time > due[0]:
            now = due.pop(0)
            shown.append((left.seconds() or 0.0) / (end - now))
        now = event.time
        if event.kind == "start":
            left.start(event.trial, event.epochs, done.get(event.trial, 0))
        elif event.kind == "epoch":
            done[event.trial] = event.epochs
            left.epoch(event.trial, event.epochs, 0)
        else:
            left.end(event.trial, again=event.kind == "pause")
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
        self._note_start(run)

    def decide(self, run: Arrival, epoch: int) -> StopDecision | None:
        """Note an epoch, and the end that follows from it."""
        self.clocks[run.name] += run.curve.rows[epoch]["seconds"]
        self.now = self.clocks[run.name]
        self.events.append(Event(self.now, "epoch", run.name, epoch + 1))
        stop = super().decide(run, epoch)
        if stop or epoch + 1 == len(run.curve.rows):
            kind = "pause" if stop is PAUSE else "end"
            self.events.append(Event(self.now, kind, run.name, 0))
        return stop

    def choose(self, paused: Mapping[str, Arrival], new: Mapping[str, Arrival]) -> Arrival | None:
        """Note that a paused run goes on."""
        run = super().choose(paused, new)
        if run:
            self._note_start(run)
        return run

    def _note_start(self, run: Arrival) -> None:
        self.clocks[run.name] = self.now
        planned = int(run.curve.settings["epochs"])
        self.events.append(Event(self.now, "start", run.name, planned))


def simulated(
    order: Sequence[Arrival], searched: SearchSpace, odds: Odds, workers: int
) -> list[Event]:
    """Return the events of a simulated search."""
    policy = Watched(searched, odds)
    simulate(order, policy, workers)
    return policy.events


if __name__ == "__main__":
    main()

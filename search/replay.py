"""What the pruning rules of a space would have cost and saved on recorded runs.

    python -m search.replay SPACE [--curves DIR] [--workers W] [--orders N] [--json FILE] …

The recorded runs arrive in random orders at W workers, each epoch takes the seconds that it took,
and the space's own rules and ASHA decide after each as they would in a search. Runs of unequal
protocols are contests of their own. A recorded run's own curve never teaches the odds about it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from facesiam.config import positive
from facesiam.metrics import wilson
from search import curves, space
from search.asha import Plain
from search.curves import Curve
from search.folder import RunError
from search.journal import write_atomically
from search.odds import WITHIN, Odds
from search.pruners import Scheduler, Stop
from search.ranking import aligned
from search.space import SearchSpace, SpaceError

KEPT = 0.005
"""The best is kept where the best run that reached its end comes within this of it."""
THRESHOLD, PATIENCE = 0.53, 5
"""The fixed rule that ours are compared with."""


class Arrival(NamedTuple):
    """A recorded run in the order of one simulated search."""

    name: str
    curve: Curve


class Policy(Protocol):
    """Decides after each epoch."""

    def begin(self, run: Arrival) -> None:
        """Take note of a run that starts."""

    def judge(self, run: Arrival, epoch: int) -> Stop | None:
        """Return why the run stops after this epoch, from 0; None: it goes on."""


@dataclass(frozen=True)
class Outcome:
    """What one simulated search came to."""

    epochs: int
    seconds: float
    finished: tuple[Arrival, ...]
    stops: dict[str, Stop]


def simulate(runs: Sequence[Arrival], policy: Policy, workers: int) -> Outcome:
    """Run the recorded runs in their order on so many workers, stopped as the policy says."""
    queue, events = list(reversed(runs)), list[tuple[float, int, int, Arrival]]()
    spent, clock, started = 0, 0.0, 0
    finished: list[Arrival] = []
    stops: dict[str, Stop] = {}

    def start(at: float) -> None:
        nonlocal started
        if queue:
            run = queue.pop()
            started += 1  # runs that end at the same moment are served in order of their start
            policy.begin(run)
            heapq.heappush(events, (at + run.curve.rows[0]["seconds"], started, 0, run))

    for _ in range(workers):
        start(0.0)
    while events:
        clock, number, epoch, run = heapq.heappop(events)
        spent += 1
        stop = policy.judge(run, epoch)
        if stop:
            stops[run.name] = stop
        elif epoch + 1 == len(run.curve.rows):
            finished.append(run)
        else:
            seconds = run.curve.rows[epoch + 1]["seconds"]
            heapq.heappush(events, (clock + seconds, number, epoch + 1, run))
            continue
        start(clock)
    return Outcome(spent, clock, tuple(finished), stops)


class Everything:
    """Stops nothing."""

    def begin(self, run: Arrival) -> None:
        """Nothing to note."""

    def judge(self, run: Arrival, epoch: int) -> Stop | None:
        """Let it go on."""
        return None


class Threshold(Everything):
    """The rule of thumb: below 0.53 for five epochs in a row."""

    def judge(self, run: Arrival, epoch: int) -> Stop | None:
        """Stop a run whose last PATIENCE epochs all lie below THRESHOLD."""
        last = [row["val_acc"] for row in run.curve.rows[max(0, epoch + 1 - PATIENCE) : epoch + 1]]
        below = len(last) == PATIENCE and all(value < THRESHOLD for value in last)
        return Stop("threshold", "", epoch) if below else None


class RayAsha(Everything):
    """Ray's ASHA by itself, with the grace and the factor of the space."""

    def __init__(self, searched: SearchSpace) -> None:
        self.metric = searched.metric
        self.asha = Plain(_asha_of(searched), searched.metric, searched.mode,
                          searched.max_epochs())  # fmt: skip

    def begin(self, run: Arrival) -> None:
        """Give the run its place."""
        self.asha.begin(run.name)

    def judge(self, run: Arrival, epoch: int) -> Stop | None:
        """Ask Ray."""
        score = run.curve.rows[epoch][self.metric]
        return Stop("asha", "", epoch) if self.asha.stops(run.name, epoch + 1, score) else None


class Ours(Everything):
    """The scheduler of a search."""

    def __init__(self, searched: SearchSpace, odds: Odds) -> None:
        self.scheduler = Scheduler(searched, odds)

    def begin(self, run: Arrival) -> None:
        """Tell the scheduler of the run, by the name of its curve, which the odds leave out."""
        self.scheduler.begin(run.name, run.curve.settings)
        self.scheduler.histories[run.name].name = run.curve.id

    def judge(self, run: Arrival, epoch: int) -> Stop | None:
        """Ask the scheduler."""
        self.scheduler.enter(run.name, run.curve.rows[epoch] | {"epoch": epoch})
        last = epoch + 1 == len(run.curve.rows)
        return self.scheduler.verdict(run.name, last)


def top_k(runs: Sequence[Arrival], k: int, workers: int, searched: SearchSpace) -> Outcome:
    """One epoch for every run, then the best k of them to their end; ties to the first to come."""
    sign = 1 if searched.mode == "max" else -1
    order = sorted(runs, key=lambda run: -sign * run.curve.rows[0][searched.metric])
    chosen = {run.name for run in order[:k]}
    stops = {run.name: Stop("top k", "", 0) for run in runs if run.name not in chosen}
    first = simulate([_cut(run, 0, 1) for run in runs], Everything(), workers)
    ones = tuple(run for run in runs if run.name in chosen and len(run.curve.rows) == 1)
    longer = [run for run in runs if run.name in chosen and len(run.curve.rows) > 1]
    rest = simulate([_cut(run, 1, None) for run in longer], Everything(), workers)
    return Outcome(
        first.epochs + rest.epochs, first.seconds + rest.seconds, (*ones, *longer), stops
    )


@dataclass(frozen=True)
class Row:
    """What one policy came to over all orders."""

    policy: str
    kept: float
    """Share of the orders in which a run that ended came within KEPT of the contest's best."""
    kept_low: float
    kept_high: float
    kept_best: float
    """The same for the very best."""
    epochs: float
    """Mean share of all recorded epochs that it spent, and the least and the most of any order."""
    epochs_low: float
    epochs_high: float
    hours: float
    """Mean wall-clock time on the workers."""
    stopped: dict[str, float]
    """Mean number of runs stopped, by rule."""
    false_stops: dict[str, int]
    """Orders in which anything but ASHA stopped a run that would have come within WITHIN of the
    best, by run and rule."""


def contest(
    runs: Sequence[Curve], searched: SearchSpace, *, workers: int, orders: int, seed: int = 0,
    trials: int | None = None,
) -> list[Row]:
    """Compare the space's rules with the others on one contest's runs.

    Args:
        runs: recorded runs of one protocol.
        searched: whose `prune:` is tried; its longest trial caps the runs.
        workers: how many runs go on at once.
        orders: how many random orders of arrival.
        seed: of the orders.
        trials: draw so many runs with replacement for each order; None: each once.
    """
    odds = Odds(curves.shipped(), own=True)
    bare = replace(searched, prune=searched.prune | {
        "dead": False, "diverged": False, "chance": False, "plateau": False, "control": 0.0,
    })  # fmt: skip
    ours = replace(searched, prune=searched.prune | {"control": 0.0})
    asha = "ASHA and rules" if searched.prune["asha"] else "rules, no ASHA"
    policies: dict[str, Callable[[], Policy]] = {
        "everything": Everything,
        f"below {THRESHOLD} for {PATIENCE}": Threshold,
        "Ray's ASHA": lambda: RayAsha(searched),
        "our ASHA, no rules": lambda: Ours(bare, odds),
        asha: lambda: Ours(ours, odds),
    }
    if not searched.prune["asha"]:
        del policies["our ASHA, no rules"]
    drawn = [_order(runs, seed, number, trials) for number in range(orders)]
    found = {
        name: [simulate(order, make(), workers) for order in drawn]
        for name, make in policies.items()
    }
    planned = statistics.mean(len(curve.rows) for curve in runs)
    spent = statistics.mean(outcome.epochs for outcome in found[asha])
    count = len(drawn[0])
    k = min(count, max(1, round((spent - count) / max(1.0, planned - 1))))
    found[f"one epoch, then top {k}"] = [top_k(o, k, workers, searched) for o in drawn]
    order = [name for name in found if name != asha] + [asha]
    return [_row(name, found[name], drawn, runs, searched) for name in order]


def contests(
    runs: Sequence[Curve], searched: SearchSpace
) -> dict[tuple[str, int], list[Curve]]:
    """Return the runs that have a score by contest, capped at the space's longest trial."""
    found: dict[tuple[str, int], list[Curve]] = {}
    for curve in runs:
        capped = curve.capped(searched.max_epochs())
        if not math.isnan(capped.best(searched.metric, searched.mode)):
            found.setdefault(curve.contest, []).append(capped)
    return found


def late(curve: Curve, epochs: int, seed: int = 0) -> Curve:
    """Return the run as if it had guessed for so many epochs first, and ended when it does.

    What it guesses is drawn: so many fair coins as it has validation pairs.
    """
    rng, pairs = random.Random(f"{seed}/late/{curve.id}"), int(curve.rows[0].get("val_pairs", 0))
    guesses = [
        curve.rows[0] | {"val_acc": rng.getrandbits(pairs).bit_count() / pairs if pairs else 0.5}
        for _ in range(epochs)
    ]
    return replace(curve, rows=(*guesses, *curve.rows)[: len(curve.rows)])


def _row(
    name: str, outcomes: Sequence[Outcome], orders: Sequence[Sequence[Arrival]],
    runs: Sequence[Curve], searched: SearchSpace,
) -> Row:
    sign = 1 if searched.mode == "max" else -1
    scores = {curve.id: sign * curve.best(searched.metric, searched.mode) for curve in runs}
    kept = exact = 0
    shares, rules, false = [], Counter[str](), Counter[str]()
    for order, outcome in zip(orders, outcomes, strict=True):
        top = max(scores[run.curve.id] for run in order)
        best = max((scores[run.curve.id] for run in outcome.finished), default=-float("inf"))
        kept, exact = kept + (best >= top - KEPT), exact + (best >= top)
        shares.append(outcome.epochs / sum(len(run.curve.rows) for run in order))
        rules.update(str(stop.rule) for stop in outcome.stops.values())
        of = {run.name: run.curve.id for run in order}
        wrong = {
            f"{of[run]} ({stop.rule})" for run, stop in outcome.stops.items()
            if stop.rule != "asha" and scores[of[run]] >= top - WITHIN
        }
        false.update(wrong)
    low, high = wilson(kept, len(outcomes))
    return Row(
        name, kept / len(outcomes), low, high, exact / len(outcomes),
        statistics.mean(shares), min(shares), max(shares),
        statistics.mean(outcome.seconds for outcome in outcomes) / 3600,
        {rule: count / len(outcomes) for rule, count in sorted(rules.items())},
        dict(sorted(false.items())),
    )


def _order(runs: Sequence[Curve], seed: int, number: int, trials: int | None) -> list[Arrival]:
    rng = random.Random(f"{seed}/{number}")
    if trials is None:
        return [Arrival(curve.id, curve) for curve in rng.sample(list(runs), len(runs))]
    chosen = rng.choices(list(runs), k=trials)
    return [Arrival(f"{curve.id}#{place}", curve) for place, curve in enumerate(chosen)]


def _cut(run: Arrival, start: int, end: int | None) -> Arrival:
    return Arrival(run.name, replace(run.curve, rows=run.curve.rows[start:end]))


def _asha_of(searched: SearchSpace) -> dict[str, Any]:
    return dict(searched.prune["asha"] or {"grace": 1, "factor": 2})


HEADERS = (
    "policy", f"best kept\nwithin {100 * KEPT:g}, %", "very\nbest, %", "epochs,\n% of all",
    "range", "hours", "stopped by", f"good runs (within {100 * WITHIN:g})\nstopped, not by asha",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Lay the policies of one contest out as text."""
    cells = [
        [
            row.policy,
            f"{100 * row.kept:.1f} [{100 * row.kept_low:.1f}, {100 * row.kept_high:.1f}]",
            f"{100 * row.kept_best:.1f}", f"{100 * row.epochs:.1f}",
            f"{100 * row.epochs_low:.0f}-{100 * row.epochs_high:.0f}", f"{row.hours:.1f}",
            ", ".join(f"{rule} {count:.1f}" for rule, count in row.stopped.items()) or "–",
            ", ".join(f"{run}: {count}" for run, count in row.false_stops.items()) or "none",
        ]
        for row in rows
    ]
    left = [True, False, False, False, False, False, True, True]
    return aligned(list(HEADERS), cells, left, gap=2, width=240)


def title(key: tuple[str, int], runs: Sequence[Curve], searched: SearchSpace) -> str:
    """Say what a contest is: its protocol, its runs, its best."""
    best, (protocol, pairs) = _best(runs, searched), key
    return (
        f"{protocol or 'unknown protocol'}, {pairs or 'unknown'} validation pairs: {len(runs)} "
        f"runs, {sum(len(curve.rows) for curve in runs)} epochs, best {searched.metric} "
        f"{best.best(searched.metric, searched.mode):.4f} ({best.id})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for wrong input."""
    options = _parser().parse_args(argv)
    try:
        searched = space.load(options.space).override(options.set).checked()
        found = contests(curves.read(options.curves), searched)
        if not found:
            raise RunError(f"{options.curves}: no run has a {searched.metric}")
        if options.late:
            found = {key: _late_best(runs, searched, options) for key, runs in found.items()}
        results = _replayed(found, searched, options)
        if options.json:
            write_atomically(Path(options.json), json.dumps(_plain(results, options), indent=1))
        if options.figure:
            _draw(results, list(found.values()), searched, options)
    except (RunError, SpaceError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    return 0


def _late_best(
    runs: Sequence[Curve], searched: SearchSpace, options: argparse.Namespace
) -> list[Curve]:
    best = _best(runs, searched)
    return [late(c, options.late, options.seed) if c is best else c for c in runs]


def _best(runs: Sequence[Curve], searched: SearchSpace) -> Curve:
    pick = max if searched.mode == "max" else min
    return pick(runs, key=lambda curve: curve.best(searched.metric, searched.mode))


def _replayed(
    found: Mapping[tuple[str, int], list[Curve]], searched: SearchSpace,
    options: argparse.Namespace,
) -> dict[str, tuple[int, list[Row]]]:
    """Run and print each contest; return the number of its runs and its rows by its title."""
    results = {}
    for key, runs in found.items():
        rows = contest(
            runs, searched, workers=options.workers, orders=options.orders, seed=options.seed,
            trials=options.trials,
        )
        results[title(key, runs, searched)] = len(runs), rows
        print(f"{title(key, runs, searched)}\n{table(rows)}\n")
    drawn = f", {options.trials} trials drawn from the runs in each" if options.trials else ""
    if options.late:
        drawn += f", the best run starts {options.late} epochs late"
    print(
        f"{options.orders} orders of arrival{drawn}, {options.workers} workers, seed "
        f"{options.seed}; brackets: 95 % interval (Wilson) over the orders, which are of the same "
        "runs: it says nothing of other runs"
    )
    return results


def _plain(
    results: Mapping[str, tuple[int, list[Row]]], options: argparse.Namespace
) -> dict[str, Any]:
    asked = {name: getattr(options, name) for name in ("orders", "workers", "seed", "trials", "late")}
    return asked | {"contests": [
        {"contest": name, "runs": runs, "policies": [asdict(row) for row in rows]}
        for name, (runs, rows) in results.items()
    ]}  # fmt: skip


def _draw(
    results: Mapping[str, tuple[int, list[Row]]], runs: Sequence[Sequence[Curve]],
    searched: SearchSpace, options: argparse.Namespace,
) -> None:
    from search.figures import tradeoff

    panels = {
        name: [(row.policy, row.epochs, row.kept) for row in rows]
        for name, (_, rows) in results.items()
    }
    lines = [_every_k(each, searched, options) for each in runs]
    tradeoff(Path(options.figure), panels, lines, KEPT)


def _every_k(
    runs: Sequence[Curve], searched: SearchSpace, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Return (epochs, kept) of "one epoch, then top k" for every k that is one run or more."""
    drawn = [_order(runs, options.seed, n, options.trials) for n in range(options.orders)]
    count = len(drawn[0])
    rows = [
        _row("", [top_k(o, k, options.workers, searched) for o in drawn], drawn, runs, searched)
        for k in sorted({max(1, round(count * part / 12)) for part in range(1, 13)})
    ]
    return [(row.epochs, row.kept) for row in rows]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.replay",
        description="What a space's pruning rules would have cost and saved on recorded runs.",
    )
    parser.add_argument("space", metavar="SPACE", help="space file whose prune: is tried")
    parser.add_argument(
        "--curves", metavar="DIR", default=str(curves.SHIPPED),
        help="a run folder, or a folder of CSVs; without it the documents' own runs",
    )
    parser.add_argument("--workers", metavar="W", type=positive, default=4,
                        help="runs that go on at once (4)")  # fmt: skip
    parser.add_argument("--orders", metavar="N", type=positive, default=100,
                        help="random orders of arrival (100)")  # fmt: skip
    parser.add_argument("--trials", metavar="N", type=positive,
                        help="draw so many trials with replacement for each order")  # fmt: skip
    parser.add_argument("--late", metavar="E", type=positive, default=0,
                        help="as if the best run had guessed for E epochs first")  # fmt: skip
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of the orders (0)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
                        help="fix a setting, such as epochs=60, which caps the runs")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument("--figure", metavar="FILE",
                        help="also draw epochs spent against the chance of keeping the best")
    return parser


if __name__ == "__main__":
    sys.exit(main())

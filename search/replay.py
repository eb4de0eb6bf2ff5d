"""What the pruning rules of a space would have cost and saved on recorded runs.

    python -m search.replay SPACE [--curves DIR] [--workers W] [--orders N] [--json FILE] …

The recorded runs arrive in random orders at W workers, each epoch takes the seconds that it took,
and the space's own rules and ASHA decide after each as they would in a search. Runs of unequal
protocols are contests of their own. A recorded run's own curve never teaches the odds about it.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import math
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facesiam import cli
from facesiam.config.settings import positive, random_seed
from facesiam.evaluation.metrics import wilson
from facesiam.files import write_text
from search.analysis.formatting import aligned
from search.pruning import recorded_runs
from search.pruning.late_start import WITHIN, Odds
from search.pruning.recorded_runs import Curve
from search.runs.layout import RunError
from search.space import load, shipped
from search.space.constraints import check

if __name__ == "__main__" and (refused := cli.run(cli.needs_docstrings)):
    sys.exit(refused)  # before the simulator imports Ray

from search.pruning.simulator import (
    PATIENCE,
    THRESHOLD,
    Arrival,
    NoPruning,
    Outcome,
    Policy,
    RayAshaPolicy,
    SchedulerPolicy,
    ThresholdPolicy,
    by_first_epoch,
    late,
    order_of,
    simulate,
    top_k,
)
from search.space import SearchSpace

KEPT = 0.005
"""The best is kept where the best run that reached its end comes within this of it."""


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
    runs: Sequence[Curve],
    searched: SearchSpace,
    *,
    workers: int,
    orders: int,
    seed: int = 0,
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
    odds = Odds(recorded_runs.shipped(), own=True)
    bare = replace(
        searched,
        prune=searched.prune
        | {
            "dead": False,
            "diverged": False,
            "chance": False,
            "plateau": False,
            "control": 0.0,
        },
    )
    ours = replace(searched, prune=searched.prune | {"control": 0.0})
    asha = "ASHA and rules" if searched.prune["asha"] else "rules, no ASHA"
    policies: dict[str, Callable[[], Policy]] = {
        "everything": NoPruning,
        f"below {THRESHOLD} for {PATIENCE}": ThresholdPolicy,
        "Ray's ASHA": lambda: RayAshaPolicy(searched),
        "our ASHA, no rules": lambda: SchedulerPolicy(bare, odds),
        asha: lambda: SchedulerPolicy(ours, odds),
    }
    if not searched.prune["asha"]:
        del policies["our ASHA, no rules"]
    drawn = [order_of(runs, seed, number, trials) for number in range(orders)]
    found = {
        name: [simulate(order, make(), workers) for order in drawn]
        for name, make in policies.items()
    }
    spent = statistics.mean(outcome.epochs for outcome in found[asha])
    k = _equal_k(drawn, spent, searched)
    # k is between two whole numbers: the orders take turns so that it comes to the same cost.
    found[f"one epoch, then top {k:.1f}"] = [
        top_k(order, int(k + (number + 0.5) / orders), workers, searched)
        for number, order in enumerate(drawn)
    ]
    order = [name for name in found if name != asha] + [asha]
    return [_row(name, found[name], drawn, runs, searched) for name in order]


def _equal_k(orders: Sequence[Sequence[Arrival]], epochs: float, searched: SearchSpace) -> float:
    """Return the k, at least 1, with which "one epoch, then top k" comes to so many epochs."""
    costs = []  # of every k from 0 on, by order
    for order in orders:
        lengths = [len(run.curve.rows) - 1 for run in by_first_epoch(order, searched)]
        costs.append(list(itertools.accumulate(lengths, initial=len(order))))
    means = [statistics.fmean(each) for each in zip(*costs, strict=True)]
    k = max(1, bisect.bisect_right(means, epochs) - 1)
    if k + 1 >= len(means):
        return float(len(means) - 1)
    return k + max(0.0, (epochs - means[k]) / (means[k + 1] - means[k] or 1))


def contests(runs: Sequence[Curve], searched: SearchSpace) -> dict[tuple[str, int], list[Curve]]:
    """Return the runs that have a score by contest, capped at the space's longest trial.

    Runs of which the recording names no protocol count as of the space's.
    """
    found: dict[tuple[str, int], list[Curve]] = {}
    own = searched.possible("protocol")[0]
    for curve in runs:
        capped = curve.with_protocol(str(own)).capped(searched.max_epochs())
        if not math.isnan(capped.best(searched.objective)):
            found.setdefault(capped.contest, []).append(capped)
    return found


def _row(
    name: str,
    outcomes: Sequence[Outcome],
    orders: Sequence[Sequence[Arrival]],
    runs: Sequence[Curve],
    searched: SearchSpace,
) -> Row:
    objective = searched.objective
    scores = {curve.id: objective.key(curve.best(objective)) for curve in runs}
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
            f"{of[run]} ({stop.rule})"
            for run, stop in outcome.stops.items()
            if stop.rule != "asha" and scores[of[run]] >= top - WITHIN
        }
        false.update(wrong)
    low, high = wilson(kept, len(outcomes))
    return Row(
        name,
        kept / len(outcomes),
        low,
        high,
        exact / len(outcomes),
        statistics.mean(shares),
        min(shares),
        max(shares),
        statistics.mean(outcome.seconds for outcome in outcomes) / 3600,
        {rule: count / len(outcomes) for rule, count in sorted(rules.items())},
        dict(sorted(false.items())),
    )


HEADERS = (
    "policy",
    f"best kept\nwithin {100 * KEPT:g}, %",
    "very\nbest, %",
    "epochs,\n% of all",
    "range",
    "hours",
    "stopped by",
    f"good runs (within {100 * WITHIN:g})\nstopped, not by asha",
)


def table(rows: Sequence[Row]) -> str:
    """Lay the policies of one contest out as text."""
    cells = [
        [
            row.policy,
            f"{100 * row.kept:.1f} [{100 * row.kept_low:.1f}, {100 * row.kept_high:.1f}]",
            f"{100 * row.kept_best:.1f}",
            f"{100 * row.epochs:.1f}",
            f"{100 * row.epochs_low:.0f}-{100 * row.epochs_high:.0f}",
            f"{row.hours:.1f}",
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
    cut_off = sum(curve.cut_off for curve in runs)
    note = f"; {cut_off} of them were stopped or cut off, and end where they did" * bool(cut_off)
    return (
        f"{protocol or 'unknown protocol'}, {pairs or 'unknown'} validation pairs: {len(runs)} "
        f"runs, {sum(len(curve.rows) for curve in runs)} epochs, best {searched.metric} "
        f"{best.best(searched.objective):.4f} ({best.id}){note}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for wrong input."""
    options = _parser().parse_args(argv)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    for name, suffix in (("json", ""), ("figure", ".png")):
        _check_target(f"--{name}", getattr(options, name), suffix)
    file = shipped.space_file(options.space)
    searched = check(load(file, strict=True).override(options.set))
    found = contests(recorded_runs.read(options.curves), searched)
    if not found:
        raise RunError(f"{options.curves}: no run has a {searched.metric}")
    if options.late >= searched.max_epochs():
        raise RunError(
            f"--late {options.late}: must be below the {searched.max_epochs()} "
            "epochs of the longest trial"
        )
    if options.late:
        found = {key: _late_best(runs, searched, options) for key, runs in found.items()}
    results = _replayed(found, searched, options)
    if options.json:
        write_text(Path(options.json), json.dumps(_plain(results, options), indent=1))
    if options.figure:
        _draw(results, list(found.values()), searched, options)
    return 0


def _check_target(option: str, target: str | None, suffix: str) -> None:
    """Refuse a file that could not be written in the end, before minutes are spent on it."""
    if target is None:
        return
    path = Path(target)
    if suffix and path.suffix != suffix:
        raise RunError(f"{option} {target}: must end in {suffix}")
    if path.is_dir():
        raise RunError(f"{option} {target}: is a folder")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise RunError(f"{option} {target}: cannot be written ({error.strerror})") from None


def _late_best(
    runs: Sequence[Curve], searched: SearchSpace, options: argparse.Namespace
) -> list[Curve]:
    best = _best(runs, searched)
    return [late(c, options.late, options.seed) if c is best else c for c in runs]


def _best(runs: Sequence[Curve], searched: SearchSpace) -> Curve:
    objective = searched.objective
    return max(runs, key=lambda curve: objective.key(curve.best(objective)))


def _replayed(
    found: Mapping[tuple[str, int], list[Curve]],
    searched: SearchSpace,
    options: argparse.Namespace,
) -> dict[str, tuple[int, list[Row]]]:
    """Run and print each contest; return the number of its runs and its rows by its title."""
    results = {}
    for key, runs in found.items():
        rows = contest(
            runs,
            searched,
            workers=options.workers,
            orders=options.orders,
            seed=options.seed,
            trials=options.trials,
        )
        results[title(key, runs, searched)] = len(runs), rows
        cli.show(f"{title(key, runs, searched)}\n{table(rows)}\n")
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
    names = ("orders", "workers", "seed", "trials", "late")
    asked = {name: getattr(options, name) for name in names}
    return asked | {
        "contests": [
            {"contest": name, "runs": runs, "policies": [asdict(row) for row in rows]}
            for name, (runs, rows) in results.items()
        ]
    }


def _draw(
    results: Mapping[str, tuple[int, list[Row]]],
    runs: Sequence[Sequence[Curve]],
    searched: SearchSpace,
    options: argparse.Namespace,
) -> None:
    from search.report.figures import tradeoff

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
    drawn = [order_of(runs, options.seed, n, options.trials) for n in range(options.orders)]
    count = len(drawn[0])
    rows = [
        _row("", [top_k(o, k, options.workers, searched) for o in drawn], drawn, runs, searched)
        for k in sorted({max(1, round(count * part / 12)) for part in range(1, 13)})
    ]
    return [(row.epochs, row.kept) for row in rows]


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog=cli.program("search.replay"),
        description="What a space's pruning rules would have cost and saved on recorded runs.",
    )
    parser.add_argument("space", metavar="SPACE", help="space file whose prune: is tried")
    parser.add_argument(
        "--curves",
        metavar="DIR",
        default=str(recorded_runs.SHIPPED),
        help="a run folder, or a folder of CSVs; without it the runs of the 2019 study",
    )
    parser.add_argument(
        "--workers", metavar="W", type=positive, default=4, help="runs that go on at once (4)"
    )
    parser.add_argument(
        "--orders", metavar="N", type=positive, default=100, help="random orders of arrival (100)"
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=positive,
        help="draw so many trials with replacement for each order",
    )
    parser.add_argument(
        "--late",
        metavar="E",
        type=positive,
        default=0,
        help="as if the best run had guessed for E epochs first",
    )
    parser.add_argument(
        "--seed", metavar="S", type=random_seed, default=0, help="of the orders (0)"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="fix a setting, such as epochs=60, which caps the runs",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--figure",
        metavar="FILE",
        help="also draw epochs spent against the chance of keeping the best",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

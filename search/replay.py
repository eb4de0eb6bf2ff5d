"""What the pruning rules of a space would have cost and saved on recorded runs.

    python -m search.replay SPACE [--curves DIR] [--workers W] [--orders N] [--json FILE] …

The recorded runs arrive in random orders at W workers, each epoch takes the seconds that it took,
and the space's own rules and ASHA decide after each as they would in a search. Runs of unequal
protocols are contests of their own. A recorded run's own curve never teaches the odds about it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesiam import cli
from facesiam.cli.terminal import WHOLE, columns, doing, fitted
from facesiam.config.settings import positive, random_seed
from facesiam.errors import counted
from facesiam.files import write_text
from search.pruning import recorded_runs
from search.pruning.late_start import WITHIN
from search.pruning.recorded_runs import Curve
from search.runs.layout import RunError
from search.space import SearchSpace, load, shipped
from search.space.constraints import check

if TYPE_CHECKING:
    from search.pruning.comparison import PolicyResult


def table(rows: Sequence[PolicyResult], width: int) -> str:
    """Lay the policies of one contest out as text that fits a width."""
    from search.analysis.formatting import stacked
    from search.pruning.comparison import KEPT

    headers = [
        "policy",
        f"best kept\nwithin {100 * KEPT:g}, %",
        "very\nbest, %",
        "epochs,\n% of all",
        "range",
        "hours",
        "stopped by",
        f"good runs (within {100 * WITHIN:g})\nstopped, not by asha",
    ]
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
    return stacked(headers, cells, left, width)


def title(key: tuple[str, int], runs: Sequence[Curve], searched: SearchSpace) -> str:
    """Say what a contest is: its protocol, its runs, its best."""
    from search.pruning.comparison import best_run

    best, (protocol, pairs) = best_run(runs, searched), key
    objective = searched.objective
    cut_off = sum(curve.cut_off for curve in runs)
    note = f"; {cut_off} of them were stopped or cut off, and end where they did" * bool(cut_off)
    return (
        f"{protocol or 'unknown protocol'}, {pairs or 'unknown'} validation pairs: "
        f"{counted(len(runs), 'run')}, "
        f"{counted(sum(len(curve.rows) for curve in runs), 'epoch')}, "
        f"best {searched.metric} {objective.shown(best.best(objective))}{objective.unit} "
        f"({best.id}){note}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for wrong input."""
    options = parser().parse_args(argv)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cli.needs_docstrings()  # before the simulator imports Ray
    doing("reading the recorded runs")
    from search.pruning.comparison import contests

    for name, suffix in (("json", ""), ("figure", ".png")):
        _check_target(f"--{name}", getattr(options, name), suffix)
    file = shipped.space_file(options.space)
    searched = check(load(file, strict=True).override(options.set))
    by_contest = contests(recorded_runs.read(options.curves), searched)
    if not by_contest:
        raise RunError(f"{options.curves}: no run has a {searched.metric}")
    if options.late >= searched.max_epochs():
        raise RunError(
            f"--late {options.late}: must be below the {searched.max_epochs()} "
            "epochs of the longest trial"
        )
    if options.late:
        by_contest = {key: _late_best(runs, searched, options) for key, runs in by_contest.items()}
    results = _replayed(by_contest, searched, options)
    if options.json:
        write_text(Path(options.json), json.dumps(_plain(results, options), indent=1))
    if options.figure:
        _draw(results, list(by_contest.values()), searched, options)
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
    from search.pruning.comparison import best_run
    from search.pruning.simulator import delayed

    best = best_run(runs, searched)
    return [delayed(c, options.late, options.seed) if c is best else c for c in runs]


def _replayed(
    by_contest: Mapping[tuple[str, int], list[Curve]],
    searched: SearchSpace,
    options: argparse.Namespace,
) -> dict[str, tuple[int, list[PolicyResult]]]:
    """Run and print each contest; return the number of its runs and its rows by its title."""
    from search.pruning.comparison import compare

    results = {}
    for key, runs in by_contest.items():
        rows = compare(runs, searched, **_orders(options))
        name = title(key, runs, searched)
        results[name] = len(runs), rows
        cli.show(f"{fitted(name, columns(WHOLE))}\n{table(rows, columns(WHOLE))}\n")
    drawn = (
        f", {counted(options.trials, 'trial')} drawn from the runs in each"
        if options.trials
        else ""
    )
    if options.late:
        drawn += f", the best run starts {counted(options.late, 'epoch')} late"
    text = (
        f"{counted(options.orders, 'order')} of arrival{drawn}, "
        f"{counted(options.workers, 'worker')}, seed "
        f"{options.seed}; brackets: 95 % interval (Wilson) over the orders, which are of the same "
        "runs: it says nothing of other runs"
    )
    print(fitted(text, columns(WHOLE)))
    return results


def _orders(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("workers", "orders", "seed", "trials")}


def _plain(
    results: Mapping[str, tuple[int, list[PolicyResult]]], options: argparse.Namespace
) -> dict[str, Any]:
    names = ("orders", "workers", "seed", "trials", "late")
    given = {name: getattr(options, name) for name in names}
    return given | {
        "contests": [
            {"contest": name, "runs": runs, "policies": [asdict(row) for row in rows]}
            for name, (runs, rows) in results.items()
        ]
    }


def _draw(
    results: Mapping[str, tuple[int, list[PolicyResult]]],
    runs: Sequence[Sequence[Curve]],
    searched: SearchSpace,
    options: argparse.Namespace,
) -> None:
    from search.pruning.comparison import KEPT, every_k
    from search.report.figures import tradeoff

    panels = {
        name: [(row.policy, row.epochs, row.kept) for row in rows]
        for name, (_, rows) in results.items()
    }
    lines = [every_k(each, searched, **_orders(options)) for each in runs]
    tradeoff(Path(options.figure), panels, lines, KEPT)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
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

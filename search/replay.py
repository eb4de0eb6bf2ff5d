"""What the pruning rules of a space would have cost and saved on recorded runs.

    python -m search.replay [SPACE] [--curves DIR] [--metric NAME] [--draw N] [--json FILE] …

The recorded runs arrive in random orders at W workers, each epoch takes the seconds that it took,
and the space's own rules and ASHA decide after each as they would in a search. Runs of unequal
protocols are contests of their own, and so is each table where DIR holds several. A recorded run's
own curve never teaches the odds about it.
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
from facesiam.config import SETTINGS, Value
from facesiam.errors import counted
from facesiam.files import write_text
from search.cli.replay_parser import parser
from search.pruning.contests import Asked, Contest, read
from search.runs.layout import RunError
from search.space import load, shipped
from search.space.constraints import check
from search.space.contradictions import no_guess
from search.space.prune import RULE_OPTIONS

if TYPE_CHECKING:
    from search.pruning.comparison import Margins, PolicyResult
    from search.pruning.simulator import Orders


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for wrong input."""
    options = parser().parse_args(argv)
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    cli.needs_docstrings()  # before the simulator imports Ray
    doing("reading the recorded runs")

    for name, suffix in (("json", ""), ("figure", ".png")):
        _check_target(f"--{name}", getattr(options, name), suffix)
    space = None
    if options.space:
        space = check(load(shipped.space_file(options.space), strict=True).override(options.set))
    asked = Asked(options.metric, options.mode, options.first, options.chance, options.set)
    contests = read(Path(options.curves), space, asked)
    _check_guess(contests, options)
    for contest in contests:
        _check_orders(contest, options)
    if options.late:
        contests = [_late_best(contest, options) for contest in contests]
    if schedule := _schedule(options):
        contests = [_scheduled(contest, schedule) for contest in contests]
    results = _replayed(contests, options)
    if options.json:
        write_text(Path(options.json), json.dumps(_plain(results, contests, options), indent=1))
    if options.figure:
        _draw(results, contests, options)
    return 0


def _check_guess(contests: Sequence[Contest], options: argparse.Namespace) -> None:
    """Refuse a score of a guess that no guess can have."""
    metric = contests[0].searched.metric
    if options.chance is not None and (wrong := no_guess(metric, options.chance)):
        raise RunError(f"--chance {options.chance:g}: {wrong}")


def _check_orders(contest: Contest, options: argparse.Namespace) -> None:
    """Refuse orders that a contest does not have."""
    longest = contest.searched.max_epochs()
    if options.late >= longest:
        raise RunError(
            f"--late {options.late}: must be below the {longest} epochs of the longest trial"
        )
    if (options.draw or 0) > len(contest.runs):
        raise RunError(
            f"--draw {options.draw}: {contest.name} has {counted(len(contest.runs), 'run')}; "
            "--trials draws with replacement"
        )


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


def _late_best(contest: Contest, options: argparse.Namespace) -> Contest:
    from search.pruning.altered_curves import delayed
    from search.pruning.comparison import best_run

    best = best_run(contest.runs, contest.searched)
    guesses = {} if options.chance is None else {contest.searched.metric: options.chance}
    later = delayed(best, options.late, options.seed, guesses)
    return contest._replace(runs=[later if curve is best else curve for curve in contest.runs])


def _schedule(options: argparse.Namespace) -> dict[str, Value]:
    """Return the schedule that is asked for; {} for a constant learning rate."""
    asked: dict[str, Value] = {"schedule": options.schedule, "warmup": options.warmup}
    return {name: value for name, value in asked.items() if value != SETTINGS[name].default}


def _scheduled(contest: Contest, schedule: Mapping[str, Value]) -> Contest:
    from search.pruning.altered_curves import scheduled

    for curve in contest.runs:
        for name in ("schedule", "warmup"):
            if curve.settings.get(name, SETTINGS[name].default) != SETTINGS[name].default:
                raise RunError(
                    f"run {curve.id} of {contest.name} has {name} {curve.settings[name]}: "
                    "--schedule and --warmup are for runs of a constant learning rate"
                )
    return contest._replace(runs=[scheduled(curve, schedule) for curve in contest.runs])


def _replayed(
    contests: Sequence[Contest], options: argparse.Namespace
) -> dict[str, list[PolicyResult]]:
    """Run and print each contest; return its rows by its title, in their order."""
    from search.pruning.comparison import best_run, compare
    from search.report import replay_tables

    margins, width, results = _margins(options), columns(WHOLE), {}
    for contest in contests:
        name, runs, searched, _ = contest
        rows = compare(runs, searched, _orders(options), margins, options.peers)
        objective = searched.objective
        title = replay_tables.title(name, runs, best_run(runs, searched), objective)
        results[title] = rows
        table = replay_tables.of_contest(rows, margins, objective, width, contest.timed)
        cli.show(f"{fitted(title, width)}\n{table}\n")
    if len({each.table for each in contests}) > 1:
        by_name = dict(zip([each.name for each in contests], results.values(), strict=True))
        cli.show(f"{replay_tables.of_all(by_name, options.orders, width)}\n")
    print(fitted("\n".join([_about(options), *_notes(contests, options)]), width))
    return results


def _notes(contests: Sequence[Contest], options: argparse.Namespace) -> list[str]:
    """Say which rules were on, and what of the input had no part in the figures."""
    prune = contests[0].searched.prune
    on = [rule for rule in RULE_OPTIONS if prune[rule]]
    notes = [f"rules that are on: {', '.join(on) or 'none'}"]
    asked = any(contest.asks_for_guess for contest in contests)
    if options.chance is not None and not asked and not options.late:
        why = (
            "how far a guess gets follows from the number of validation pairs"
            if prune["chance"]
            else "the rule chance is off; it acts with a SPACE that has chance: true under prune:"
        )
        notes.append(f"--chance {options.chance:g} changes nothing here: {why}")
    if not all(contest.timed for contest in contests):
        notes.append(
            "no hours where the seconds of an epoch are not recorded: each epoch counts as 1 s"
        )
    return notes


def _about(options: argparse.Namespace) -> str:
    """Say how the figures came about."""
    drawn = (
        f", {counted(options.trials or options.draw or 0, 'trial')} drawn from the runs in each"
    )
    drawn = drawn * bool(options.trials or options.draw) + " without replacement" * bool(
        options.draw
    )
    if options.late:
        drawn += f", the best run starts {counted(options.late, 'epoch')} late"
    if schedule := _schedule(options):
        told = ", ".join(f"{name} {value}" for name, value in schedule.items())
        drawn += f", all runs as if with {told}"
    return (
        f"{counted(options.orders, 'order')} of arrival{drawn}, "
        f"{counted(options.workers, 'worker')}, seed "
        f"{options.seed}; brackets: 95 % interval (Wilson) over the orders, which are of the same "
        "runs: it says nothing of other runs"
    )


def _orders(options: argparse.Namespace) -> Orders:
    from search.pruning.simulator import Orders

    trials = options.trials or options.draw
    return Orders(options.workers, options.orders, options.seed, trials, not options.draw)


def _margins(options: argparse.Namespace) -> Margins:
    from search.pruning.comparison import DEFAULT, Margins

    return DEFAULT if options.within is None else Margins(options.within, options.within)


def _plain(
    results: Mapping[str, list[PolicyResult]],
    contests: Sequence[Contest],
    options: argparse.Namespace,
) -> dict[str, Any]:
    names = ("orders", "workers", "seed", "trials", "draw", "late", "schedule", "warmup")
    given = {name: getattr(options, name) for name in names}
    return given | {
        "contests": [
            {
                "contest": title,
                "runs": len(each.runs),
                "policies": [
                    asdict(row) | ({} if each.timed else {"hours": None}) for row in rows
                ],
            }
            for each, (title, rows) in zip(contests, results.items(), strict=True)
        ]
    }


def _draw(
    results: Mapping[str, list[PolicyResult]],
    contests: Sequence[Contest],
    options: argparse.Namespace,
) -> None:
    from search.pruning.comparison import every_k
    from search.report.replay_figure import tradeoff
    from search.report.replay_tables import near

    margins = _margins(options)
    lines = [every_k(e.runs, e.searched, _orders(options), margins) for e in contests]
    objective = contests[0].searched.objective
    within = near(margins.kept, objective) + " points" * bool(objective.unit)
    tradeoff(Path(options.figure), results, lines, within)


if __name__ == "__main__":
    sys.exit(main())

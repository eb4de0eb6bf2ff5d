"""Which settings of halving keep the best of a table of curves that had no part in their choice.

    python scripts/check_halving.py --curves DIR --metric val_loss --first 1 --within 0.02

DIR holds several tables of curves, in the form that `search.replay --curves` takes. Searches of
--draw trials are played on each table with each combination of the grace, the factor and the
growth from rung to rung, all on the same draws. Each table is then left out in turn: of the
combinations that spend --most of the epochs or less on the others, the one that keeps the best of
them most often is shown with what it comes to on the table left out, beside the defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from facesiam import cli
from facesiam.config.settings import positive
from facesiam.errors import counted
from facesiam.evaluation.metrics import wilson
from search.pruning.contests import Asked, Contest, read
from search.pruning.halving import GROWTH
from search.pruning.late_start import Odds
from search.pruning.simulator import Orders, SchedulerPolicy, simulate
from search.runs.layout import RunError
from search.space.prune import HALVING

GRACES, FACTORS, GROWTHS = (0.1, 0.12, 0.14, 0.18), (1.7, 2.0, 3.0), (1.4, 1.6, 2.0)


class Settings(NamedTuple):
    """The three settings of halving; the growth is not one of a space file."""

    grace: float
    factor: float
    growth: float


class Played(NamedTuple):
    """What became of the searches on a table."""

    kept: int
    """Searches in which a trial that reached its end came near enough to the best drawn."""
    searches: int
    epochs: float
    """Mean share of all epochs that they spent."""

    @property
    def text(self) -> str:
        """As it is printed."""
        low, high = wilson(self.kept, self.searches)
        share = self.kept / self.searches
        return (
            f"kept {100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}] % for "
            f"{100 * self.epochs:.1f} % of the epochs"
        )


DEFAULTS = Settings(float(HALVING["grace"]), float(HALVING["factor"]), GROWTH)


def play(contest: Contest, settings: Settings, orders: Orders, within: float) -> Played:
    """Play searches on a table with halving and the default rules."""
    rungs = {"grace": settings.grace, "factor": settings.factor}
    searched = contest.searched
    space = dataclasses.replace(searched, prune=searched.prune | {"halving": rungs})
    objective, kept, shares = space.objective, 0, []
    for drawn in orders.drawn(contest.runs):
        scores = {run.name: objective.key(run.curve.best(objective)) for run in drawn}
        outcome = simulate(
            drawn, SchedulerPolicy(space, Odds(()), settings.growth), orders.workers
        )
        best = max((scores[run.name] for run in outcome.finished), default=-float("inf"))
        kept += best >= max(scores.values()) - within
        shares.append(outcome.epochs / sum(len(run.curve.rows) for run in drawn))
    return Played(kept, len(shares), statistics.fmean(shares))


def together(played: Sequence[Played]) -> Played:
    """Return the searches of several tables as one."""
    return Played(
        sum(one.kept for one in played),
        sum(one.searches for one in played),
        statistics.fmean(one.epochs for one in played),
    )


def chosen(found: Mapping[Settings, Mapping[str, Played]], without: str, most: float) -> Settings:
    """Return the settings that keep most on all tables but one, of equals the cheapest.

    Args:
        found: by settings and table.
        without: the table left out.
        most: share of the epochs that they may spend.
    """
    others = {
        settings: together([one for name, one in tables.items() if name != without])
        for settings, tables in found.items()
    }
    cheap = {one: played for one, played in others.items() if played.epochs <= most} or others
    return max(cheap, key=lambda one: (cheap[one].kept, -cheap[one].epochs))


def main() -> int:
    """Print the choice of each table left out, and the defaults; return the exit code."""
    parser = cli.Parser(description=__doc__)
    parser.add_argument("--curves", type=Path, required=True, metavar="DIR")
    parser.add_argument("--metric", default="val_acc")
    parser.add_argument("--first", type=int, default=0, help="first trained epoch of the tables")
    parser.add_argument("--draw", type=positive, default=64, help="trials of a search")
    parser.add_argument("--within", type=float, default=0.005)
    parser.add_argument("--most", type=float, default=0.3, help="share of the epochs")
    parser.add_argument("--searches", type=positive, default=100, help="of each table")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    return cli.run(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    contests = read(options.curves, None, Asked(options.metric, first=options.first))
    if len(contests) < 2:
        raise RunError(f"{options.curves}: holds one table of curves; to leave one out takes two")
    for each in contests:
        if len(each.runs) < options.draw:
            runs = counted(len(each.runs), "run")
            raise RunError(f"--draw {options.draw}: {each.name} has {runs}")
    orders = Orders(4, options.searches, options.seed, options.draw, replacing=False)
    tried = [Settings(*one) for one in itertools.product(GRACES, FACTORS, GROWTHS)]
    found = {
        settings: {each.name: play(each, settings, orders, options.within) for each in contests}
        for settings in tried
    }
    held = []
    for contest in contests:
        best = chosen(found, contest.name, options.most)
        held.append(found[best][contest.name])
        print(f"{contest.name} left out: {best._asdict()}: {held[-1].text}")
        print(f"    the defaults there: {found[DEFAULTS][contest.name].text}")
    print(f"all, each left out in turn, of {len(tried)} combinations: {together(held).text}")
    print(f"all, the defaults: {together([*found[DEFAULTS].values()]).text}")
    return cli.DONE


if __name__ == "__main__":
    sys.exit(main())

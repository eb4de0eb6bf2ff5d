"""The tables that ``search.replay`` prints: the policies of one contest, and of several."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from facesiam.errors import counted
from facesiam.evaluation.metrics import wilson
from search.analysis.formatting import NOTHING, interval, percent, stacked

if TYPE_CHECKING:
    from facesiam.objective import Objective
    from search.pruning.comparison import Margins, PolicyResult
    from search.pruning.recorded_runs import Curve

LONGEST = 6
"""Most runs that a cell lists by name."""


def near(margin: float, objective: Objective) -> str:
    """Return a margin as tables say it: in points of an accuracy, else in the metric's units."""
    return f"{100 * margin:g}" if objective.unit else f"{margin:g}"


def of_contest(
    rows: Sequence[PolicyResult],
    margins: Margins,
    objective: Objective,
    width: int,
    timed: bool = True,
) -> str:
    """Lay the policies of one contest out as text that fits a width.

    Args:
        rows: the policies.
        margins: what counts as near the best.
        objective: of the space.
        width: characters of a line.
        timed: whether the seconds of the epochs are known; without, there is no column of hours.
    """
    headers = [
        "policy",
        f"best kept\nwithin {near(margins.kept, objective)}, %",
        "best\nseen, %",
        "very\nbest, %",
        "epochs,\n% of all",
        "range",
        *["hours"] * timed,
        "mean per order:\nruns stopped by",
        f"good runs (within {near(margins.good, objective)})\nstopped, not by rank",
    ]
    cells = [
        [
            row.label,
            interval(row.kept, row.kept_low, row.kept_high),
            percent(row.seen),
            percent(row.kept_best),
            percent(row.epochs),
            f"{100 * row.epochs_low:.0f}-{100 * row.epochs_high:.0f}",
            *[f"{row.hours:.1f}"] * timed,
            ", ".join(f"{rule} {count:.1f}" for rule, count in row.stopped.items()) or NOTHING,
            _false_stops(row.false_stops),
        ]
        for row in rows
    ]
    left = [True, *[False] * (5 + timed), True, True]
    return stacked(headers, cells, left, width)


def of_all(results: Mapping[str, Sequence[PolicyResult]], orders: int, width: int) -> str:
    """Lay the policies out over several contests: each one's kept and epochs, and their means.

    Args:
        results: by contest the policies, the same in each.
        orders: of each contest.
        width: characters of a line.
    """
    headers = ["policy", "mean:\nbest kept, %", "epochs,\n% of all"]
    headers += [f"{name}:\nkept / epochs" for name in results]
    cells = []
    for rows in zip(*results.values(), strict=True):
        kept = statistics.fmean(row.kept for row in rows)
        low, high = wilson(round(kept * orders * len(rows)), orders * len(rows))
        mean = statistics.fmean(row.epochs for row in rows)
        each = [f"{100 * row.kept:.0f} / {percent(row.epochs)}" for row in rows]
        cells.append([rows[0].policy, interval(kept, low, high), percent(mean), *each])
    return stacked(headers, cells, [True] + [False] * (len(headers) - 1), width)


def title(name: str, runs: Sequence[Curve], best: Curve, objective: Objective) -> str:
    """Say what a contest is: its name, its runs, its best."""
    cut_off = sum(curve.cut_off for curve in runs)
    note = f"; {cut_off} of them were stopped or cut off, and end where they did" * bool(cut_off)
    return (
        f"{name}: {counted(len(runs), 'run')}, "
        f"{counted(sum(len(curve.rows) for curve in runs), 'epoch')}, best {objective.metric} "
        f"{objective.shown(best.best(objective))}{objective.unit} ({best.id}){note}"
    )


def _false_stops(stops: Mapping[str, int]) -> str:
    if len(stops) > LONGEST:
        return f"{len(stops)} runs, {counted(sum(stops.values()), 'stop')}"
    return ", ".join(f"{run}: {count}" for run, count in stops.items()) or "none"

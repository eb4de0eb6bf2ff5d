"""The picture of ``search.replay``: what each policy spends, and how often it keeps the best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.report import style
from search.report.style import BEST, GREY, RANKED, TRAIN, VAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from search.pruning.comparison import PolicyResult

Line = Sequence[tuple[float, float]]
"""(epochs, kept) of "one epoch, then top k" for each k, as shares."""
FAMILIES = {"Ray's": TRAIN, "Optuna's": RANKED[2], "PASHA": RANKED[3], "our": VAL}
"""Colour of the policies whose name begins so; others are dark."""
MARKS = "osv^DP*X<>"
OWN = ", defaults"
"""Ends the name of a policy with its own defaults, whose mark is hollow."""
TOP = "one epoch, then top k, each k"


def tradeoff(
    path: Path,
    panels: Mapping[str, Sequence[PolicyResult]],
    lines: Sequence[Line],
    within: str,
) -> None:
    """Draw each policy's share of epochs spent against its chance of keeping the best.

    Args:
        path: PNG to write.
        panels: the policies by contest, the same in each; the last one is ours. Of more than two
            contests the means are drawn too, first.
        lines: "one epoch, then top k" of each contest.
        within: how near to the best counts as having kept it, as people read it.
    """
    drawn = {
        name: ([(row.policy, row.epochs, row.kept) for row in rows], line)
        for (name, rows), line in zip(panels.items(), lines, strict=True)
    }
    if len(drawn) > 2:
        drawn = {"mean": _means(list(drawn.values())), **drawn}
    across = min(4 if len(drawn) > 4 else 3, len(drawn))
    down = -(-len(drawn) // across)
    policies = len(next(iter(panels.values())))
    figure = style.new(0.9 + 3.0 * down / (1 if across < 4 else 1.2) + 0.2 * -(-policies // 3))
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes, (name, (points, line)) in zip(grid.flat, drawn.items(), strict=False):
        _plot(axes, points, line)
        axes.set_title(name.split(": ")[0], fontsize=8.5)
    shares = [kept for points, _ in drawn.values() for _, _, kept in points]
    lowest = min(*shares, *(kept for _, line in drawn.values() for _, kept in line))
    grid[0, 0].set_ylim(min(50, 10 * math.floor(10 * lowest)) - 4, 104)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"keep the best\nwithin {within}, % of orders", fontsize=9)
    for axes in grid[-1, : len(drawn) - across * (down - 1)]:
        axes.set_xlabel("epochs spent, % of all", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    style.save(figure, path, "What each policy spends, and how often it keeps the best run")


def _means(
    contests: Sequence[tuple[Sequence[tuple[str, float, float]], Line]],
) -> tuple[list[tuple[str, float, float]], list[tuple[float, float]]]:
    """Return the points and the line over all contests."""
    mean = statistics.fmean
    points = [
        (each[0][0], mean(x for _, x, _ in each), mean(y for _, _, y in each))
        for each in zip(*(points for points, _ in contests), strict=True)
    ]
    lines = zip(*(line for _, line in contests), strict=False)
    return points, [(mean(x for x, _ in each), mean(y for _, y in each)) for each in lines]


def _plot(axes: Axes, points: Sequence[tuple[str, float, float]], line: Line) -> None:
    axes.plot(
        [100 * x for x, _ in line],
        [100 * y for _, y in line],
        color=GREY,
        lw=1,
        ls=(0, (4, 2)),
        label=TOP,
        zorder=1,
    )
    marks: dict[str, dict[str, str]] = {}
    for policy, spent, kept in points:
        ours = policy == points[-1][0]
        family = next((each for each in FAMILIES if policy.startswith(each)), "")
        colour = VAL if ours else FAMILIES.get(family, BEST)
        seen = marks.setdefault(family, {})
        mark = seen.setdefault(policy.removesuffix(OWN), MARKS[len(seen) % len(MARKS)])
        axes.plot(
            100 * spent,
            100 * kept,
            "*" if ours else mark,
            ms=14 if ours else 7,
            ls="",
            mec="white" if ours else colour,
            mfc="white" if policy.endswith(OWN) else colour,
            zorder=4 if ours else 3,
            label=policy,
        )
    axes.set_xlim(0, 104)

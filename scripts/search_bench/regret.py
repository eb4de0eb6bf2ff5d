"""Regret of played searches against what they have spent, with intervals over the seeds."""

from __future__ import annotations

import io
import itertools
import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from .playing import Played, Point, Trial
from .table import Table

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Budgets, as shares of what the whole table takes."""
FROM, TO = 10, 50
"""Trials that compare samplers: after those drawn at random, before the table is empty."""
NEAR = 0.02
"""A trial is among the best within so much of the table's best."""

DRAWN, TOP = 0.5, 12
"""The figure's last share of the budget, and its highest regret."""
REDS = ("#b2182b", "#ef6548", "#fdae6b", "#d9969f", "#7a0177", "#c994c7")
OTHERS = ("#08519c", "#4292c6", "#006d2c", "#66a61e", "#4d4d4d", "#a6a6a6", "#8c6d31")
"""Colours of the figure."""

Axis = Literal["epochs", "seconds"]


class Mean(NamedTuple):
    """A mean over seeds with half of Student's 95 % interval; NaN for a single value."""

    mean: float
    half: float

    def __str__(self) -> str:
        return (
            f"{self.mean:.1f}" if math.isnan(self.half) else f"{self.mean:.1f} ± {self.half:.1f}"
        )


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of values, one of each seed."""
    count, mean = len(values), statistics.mean(values)
    if count == 1:
        return Mean(mean, math.nan)
    scale = statistics.stdev(values) / math.sqrt(count)
    return Mean(mean, float(student.ppf(0.975, count - 1)) * scale)


def at(points: Sequence[Point], budget: float, axis: Axis) -> float:
    """Return the best score that a search has had when so much was spent; 0 before any."""
    place = bisect_right(points, budget + 1e-9, key=attrgetter(axis))
    return points[place - 1].best


def regrets(
    table: Table, searches: Iterable[Played], budgets: Sequence[float], axis: Axis
) -> npt.NDArray[np.float64]:
    """Return how many points each search lies below the table's best, (searches, budgets)."""
    best = table.best
    found = [[100 * (best - at(s.points, b, axis)) for b in budgets] for s in searches]
    return np.array(found)


def budgets(table: Table, axis: Axis, workers: int, shares: Sequence[float]) -> list[float]:
    """Return shares of the table's epochs, or of its seconds on so many workers."""
    whole = table.epochs if axis == "epochs" else table.seconds / workers
    return [share * whole for share in shares]


def chosen(table: Table, order: Sequence[Trial]) -> tuple[float, float]:
    """Return what a sampler's own suggestions are worth, whatever was stopped.

    Returns:
        How many points their rows' best lies below the table's in the mean, and the share in %
        of those within NEAR of it.
    """
    best = table.best
    below = [best - trial.curve.best() for trial in order[FROM:TO]]
    near = [gap <= NEAR for gap in below]
    return 100 * statistics.mean(below), 100 * statistics.mean(near)


def report(table: Table, played: Mapping[str, Sequence[Played]], workers: int) -> str:
    """Return the tables of a comparison as text."""
    seeds = min(len(searches) for searches in played.values())
    lines = [
        f"{len(table.curves)} configurations, {table.epochs} epochs, best {table.best:.3f}; "
        f"{workers} workers, n = {seeds} seeds; mean ± half of Student's 95 % interval"
    ]
    lines += [
        f"between seeds of a configuration the best accuracy has a deviation of "
        f"{100 * table.seed_spread():.1f} points (n = {len(table.repeats)}); rank correlation "
        f"of a row's with the nearest row's {table.smoothness():.2f}"
    ]
    axes: tuple[Axis, ...] = ("epochs", "seconds")
    for axis in axes:
        what = "epochs" if axis == "epochs" else f"seconds, the table's divided by {workers}"
        lines += ["", f"regret in points at a share of all {what}"]
        lines.append(" " * 32 + "".join(f"{share:>13.0%}" for share in SHARES))
        spent = budgets(table, axis, workers, SHARES)
        for name, searches in played.items():
            columns = regrets(table, searches, spent, axis).T
            cells = "".join(f"{mean_of(list(column))!s:>13}" for column in columns)
            lines.append(f"{name:<32}{cells}")
    lines += ["", f"trials {FROM + 1} to {TO}: points below the best, share within {NEAR:.0%}"]
    for name, searches in played.items():
        worth = [chosen(table, search.order) for search in searches]
        below, near = (mean_of(column) for column in zip(*worth, strict=True))
        spent_all = mean_of([float(search.points[-1].epochs) for search in searches])
        lines.append(
            f"{name:<32}{below!s:>13}{near!s:>16} %   epochs to the end {spent_all.mean:.0f}"
        )
    return "\n".join(lines)


def draw(table: Table, played: Mapping[str, Sequence[Played]], workers: int, title: str) -> Any:
    """Return a figure of the regret against epochs and against simulated minutes."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5.5), sharey=True)
    shares = list(np.linspace(SHARES[0], DRAWN, 80))
    kinds: tuple[Axis, ...] = ("epochs", "seconds")
    for axis, kind in zip(axes, kinds, strict=True):
        spent = np.array(budgets(table, kind, workers, shares))
        x = spent if kind == "epochs" else spent / 60
        for (name, searches), look in zip(played.items(), _looks(played), strict=True):
            means = [mean_of(list(c)) for c in regrets(table, searches, list(spent), kind).T]
            axis.plot(x, [m.mean for m in means], label=name, **look)
            band = [m.mean - m.half for m in means], [m.mean + m.half for m in means]
            axis.fill_between(x, *band, color=look["color"], alpha=0.1, linewidth=0)
        axis.set_xlabel("epochs spent" if kind == "epochs" else f"minutes, {workers} workers")
        axis.set_ylim(0, TOP)
        axis.set_xlim(x[0], x[-1])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("points below the table's best")
    axes[1].legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure as a PNG of 128 colours, a third of the bytes that matplotlib writes."""
    from PIL import Image

    whole = io.BytesIO()
    figure.savefig(whole, dpi=120)
    Image.open(whole).convert("RGB").quantize(128).save(path, format="PNG", optimize=True)


def _looks(names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield how each line is drawn: ours in reds, and thick; random ones are dashed."""
    reds, others = iter(REDS), itertools.cycle(OTHERS)
    for name in names:
        own = name.startswith("ours")
        style = "--" if "random" in name else "-"
        color = next(reds, REDS[-1]) if own else next(others)
        yield {"color": color, "linestyle": style, "linewidth": 2.2 if own else 1.3}

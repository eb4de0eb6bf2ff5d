"""The front of a run: the trials that no other one beats in the metric and in every cost.

A trial is on the front where every other one is worse in the metric or in a cost, or equal in all.
A trial that learned nothing, or has not yet, is never there: to guess costs little.
Trials of the same net (equal parameters and products) that were computed alike count with the
median of their latencies, so that no trial is on the front by the scatter of a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from facesiam.cli.terminal import fitted
from facesiam.config.costs import COSTS, MEANINGS
from facesiam.objective import Objective
from search.analysis.formatting import (
    INTERVALS,
    NOTHING,
    aligned,
    counted,
    grid,
    shown_value,
    valued,
)
from search.runs.layout import RunError
from search.runs.line_format import OVER

MARK = "*"
LATENCY = "latency_ms"
MEDIAN = "Equal nets count with the median of their latencies."
UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def known_costs(trials: pd.DataFrame) -> list[str]:
    """Return the costs that any trial has."""
    return [name for name in COSTS if name in trials and trials[name].notna().any()]


def chosen_costs(trials: pd.DataFrame, asked: Sequence[str] = ()) -> list[str]:
    """Return the costs that a front is asked of; without any all that are known.

    Raises:
        RunError: no trial has them.
    """
    known = known_costs(trials)
    if missing := [name for name in asked if name not in known]:
        raise RunError(f"no trial has {' or '.join(missing)}; known of them: {_listed(known)}")
    if not known:
        raise RunError(
            f"no trial has {_listed(list(COSTS))}: the run is of an older version, or none of its "
            "trials has ended an epoch"
        )
    return [name for name in COSTS if name in asked] or known


def costs_of(trials: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return these costs of each trial, latencies as the median over equal nets; NaN for none."""
    costs = trials[list(names)].astype("float64")
    if LATENCY in names:
        alike = [trials[name] for name in ("params", "macs", "ran_with")]
        medians = costs[LATENCY].groupby(alike).transform("median")
        costs[LATENCY] = medians.fillna(costs[LATENCY])
    return costs


def as_they_count(trials: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the trials with these costs as they count, and are shown: as of ``costs_of``."""
    costs = costs_of(trials, names)
    return trials.assign(**{name: costs[name].astype(trials[name].dtype) for name in names})


def on_front(trials: pd.DataFrame, objective: Objective, names: Sequence[str]) -> pd.Series:
    """Return whether each trial is on the front of the metric against these costs.

    Args:
        trials: of a run, ranked.
        objective: the metric, and its direction.
        names: the costs; less is better.

    Returns:
        True or false; missing where the score or one of the costs is not known.
    """
    score = trials[objective.metric].astype("float64") * (-1 if objective.maximizes else 1)
    points = costs_of(trials, names)
    points.insert(0, "score", score)
    known = points.notna().all(axis=1) & bool(names)
    found = pd.Series(pd.NA, index=trials.index, dtype="boolean").mask(known, False)
    found[_non_dominated(points[known & ~_at_chance(trials)])] = True
    return found


def _at_chance(trials: pd.DataFrame) -> pd.Series:
    """Return whether no epoch of each trial was better than a guess, of those that it has."""
    return ~trials["learned"].fillna(True).astype(bool)


def _non_dominated(points: pd.DataFrame) -> pd.Index:
    """Return the index of the points, of which less is better, that no other one dominates."""
    ordered = points.sort_values(list(points.columns), kind="stable")
    front = np.empty((0, points.shape[1]))
    kept = []
    for index, point in zip(ordered.index, ordered.to_numpy(), strict=True):
        # In this order a later point dominates no earlier one.
        at_most, less = (front <= point).all(axis=1), (front < point).any(axis=1)
        if not (at_most & less).any():
            front = np.vstack([front, point])
            kept.append(index)
    found: pd.Index = pd.Index(kept)
    return found


def front(trials: pd.DataFrame, objective: Objective, names: Sequence[str]) -> pd.DataFrame:
    """Return the trials on the front, the best first, with what each gives up and costs.

    Args:
        trials: of a run, ranked.
        objective: the metric, and its direction.
        names: the costs.

    Returns:
        The rows of ``trials``, with their costs as they count, and further columns:
        ``gives_up``, how far the metric is from the best one of the front, 0 or more; and for each
        cost ``<cost>_share``, its part of what the best one costs.
    """
    on = on_front(trials, objective, names).fillna(False).astype(bool)
    found = as_they_count(trials, names)[on].copy()
    costs = costs_of(trials, names).loc[found.index]
    score = found[objective.metric].astype("float64")
    found["gives_up"] = (score - (score.max() if objective.maximizes else score.min())).abs()
    for name in names:
        first = float(costs[name].iloc[0]) if len(costs) else math.nan
        found[f"{name}_share"] = costs[name] / first if first else math.nan
    return found.reset_index(drop=True)


def text(
    found: pd.DataFrame,
    trials: pd.DataFrame,
    settings: Sequence[str],
    objective: Objective,
    names: Sequence[str],
    width: int,
) -> str:
    """Return the table of a front for a terminal.

    Args:
        found: what ``front`` returned.
        trials: all of the run.
        settings: columns that differ between trials.
        objective: the metric.
        names: the costs.
        width: columns of a line.
    """
    title = said(len(found), trials, objective, names)
    headers, cells = rows(found, settings, objective, names)
    left = [header in ("trial", *settings) for header in headers]
    wide = aligned(headers, cells, left, 2, 10_000)
    if max(map(len, wide.splitlines()), default=0) > width:
        short = [at for at, header in enumerate(headers) if header not in settings]
        headers = [headers[at] for at in short]
        cells = [[row[at] for at in short] for row in cells]
        wide = aligned(headers, cells, [one == "trial" for one in headers], 1, max(width, 60))
    return "\n".join([fitted(title, width), wide])


def markdown(
    found: pd.DataFrame,
    trials: pd.DataFrame,
    settings: Sequence[str],
    objective: Objective,
    names: Sequence[str],
) -> str:
    """Return the same table as Markdown; arguments as ``text``."""
    headers, cells = rows(found, settings, objective, names)
    left = [header in ("trial", *settings) for header in headers]
    return f"{said(len(found), trials, objective, names)}\n\n{grid(headers, cells, left)}"


def said(count: int, trials: pd.DataFrame, objective: Objective, names: Sequence[str]) -> str:
    """Return the sentences above a front of so many of a run's trials."""
    meant = "; ".join(f"{name}: {MEANINGS[name]}" for name in names)
    left = _left_out(trials)
    return (
        f"The front of {objective.metric} against {_listed(names)} has {count} of "
        f"{counted(len(trials), 'trial')}: no other is as good and as cheap.{left} In brackets: "
        "what a trial costs as a part of the first one's. "
        f"{meant}.{f' {MEDIAN}' * (LATENCY in names)}"
    )


def _left_out(trials: pd.DataFrame) -> str:
    """Return the sentence on trials that are on no front whatever they cost; "" of none.

    One that runs or waits may yet learn: only of one that has ended it is known that it did not.
    """
    over = trials["status"].isin(OVER)
    ended, going = (int((_at_chance(trials) & which).sum()) for which in (over, ~over))
    parts = [f"{counted(ended, 'trial')} that learned nothing"] if ended else []
    if going:
        parts.append(f"{counted(going, 'unfinished trial')} that learned nothing so far")
    return f" Left out: {', and '.join(parts)}." * bool(parts)


def rows(
    found: pd.DataFrame, settings: Sequence[str], objective: Objective, names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return headers and cells of a front's table."""
    unit = objective.unit
    headers = ["rank", "trial", *settings, objective.metric + unit.replace(" ", ", ")]
    headers += ["gives up", *names]
    cells = []
    for row in found.to_dict("records"):
        cells.append(
            [
                shown_value(row["rank"]),
                str(row["trial"]),
                *(shown_value(row[name]) for name in settings),
                _score(row, objective),
                objective.shown(row["gives_up"]) if row["gives_up"] else NOTHING,
                *(f"{amount(name, row[name])} ({row[f'{name}_share']:.2g})" for name in names),
            ]
        )
    return headers, cells


def amount(name: str, value: float) -> str:
    """Return a cost as people read it: 11.2 M, 4.13 ms, 1,197 ms; – for none.

    Args:
        name: of the cost.
        value: how much.
    """
    if pd.isna(value):
        return NOTHING
    if name == LATENCY:  # thousands of milliseconds are no k
        return f"{value:,.0f} ms" if value >= 999.5 else f"{value:.3g} ms"
    for size, unit in UNITS:
        if value >= 0.9995 * size:  # 999,600 is 1 M
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _score(row: Mapping[Any, Any], objective: Objective) -> str:
    if objective.metric in INTERVALS:
        return valued(row, objective.metric)
    return objective.shown(row[objective.metric])


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"

"""The report's section on accuracy against cost: a chart for each cost, and the front's table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from facesiam.config.costs import MEANINGS
from facesiam.errors import counted
from search.analysis import pareto, trial_table
from search.analysis.formatting import NOTHING
from search.report.chart import Chart, Table, text
from search.report.measures import Measure, measure
from search.report.report_data import Run
from search.report.style import GREY, VAL

TITLE = "Score against cost"
WIDE = 5
"""The dearest trial's part of the cheapest one's, from which on an axis is logarithmic."""
MOST_TICKS = 6
"""Labels of an axis that have room beside each other on a phone."""


def charts(run: Run) -> list[Chart | Table]:
    """Return a chart for each cost that is known, with its front, and the table of all of them."""
    known = pareto.known_costs(run.trials)
    found: list[Chart | Table] = [chart for cost in known if (chart := _chart(run, cost))]
    if not found:
        return []
    costs = pareto.chosen_costs(run.trials, _asked(run, known))
    objective = run.searched.objective
    front = pareto.front(run.trials, objective, costs)
    headers, rows = pareto.rows(front, trial_table.differing(run.trials), objective, costs)
    cells = [[None if cell == NOTHING else cell for cell in row] for row in rows]
    note = pareto.said(len(front), run.trials, objective, costs)
    return [*found, Table("front", "The front", headers, cells, note)]


def markdown(run: Run) -> str:
    """Return the table of the front; "" where no cost is known."""
    if not (known := pareto.known_costs(run.trials)):
        return ""
    costs = pareto.chosen_costs(run.trials, _asked(run, known))
    objective = run.searched.objective
    front = pareto.front(run.trials, objective, costs)
    settings = trial_table.differing(run.trials)
    return pareto.markdown(front, run.trials, settings, objective, costs)


def _asked(run: Run, known: Sequence[str]) -> list[str]:
    """Return the costs that the search has in `metric:`, as far as they are known."""
    return [name for name in run.searched.costs if name in known]


def _chart(run: Run, cost: str) -> Chart | None:
    """Return the score of each trial against a cost; None where no trial has both."""
    objective = run.searched.objective
    shown = measure(objective.metric)
    trials = run.trials[run.trials[objective.metric].notna() & run.trials[cost].notna()]
    if trials.empty:
        return None
    front = pareto.front(run.trials, objective, [cost]).sort_values(cost, kind="stable")
    points = trials.assign(**{cost: pareto.costs_of(run.trials, [cost])[cost][trials.index]})
    least, most = float(points[cost].min()), float(points[cost].max())
    axis: dict[str, Any] = {"title": {"text": MEANINGS[cost].split(",")[0]}}
    # G, as the tables have it, and not B; but no k of milliseconds.
    axis |= {"exponentformat": "none" if cost == pareto.LATENCY else "SI"}
    axis["separatethousands"] = True
    if most > WIDE * least > 0:
        ticks = _ticks(least, most)
        axis |= {
            "type": "log",
            "tickvals": ticks,
            "ticktext": [pareto.amount(cost, at) for at in ticks],
        }
    elif least == most:  # plotly would take ticks that differ in their seventh digit
        axis |= {"tickvals": [least], "ticktext": [pareto.amount(cost, least)]}
    layout = {"height": 320, "xaxis": axis, "yaxis": {"title": {"text": shown.label}}}
    note = f"{counted(len(points), 'trial')}. {pareto.MEDIAN}" if cost == pareto.LATENCY else ""
    data = [
        _trace(points, cost, shown, "trials", "markers", GREY),
        _trace(front, cost, shown, "the front", "lines+markers", VAL),
    ]
    figure = {"data": data, "layout": layout}
    id = f"cost-{cost.replace('_', '-')}"
    return Chart(id, f"Against {cost}", figure, note, half=True)


def _ticks(least: float, most: float) -> list[float]:
    """Return round numbers for a logarithmic axis, at most MOST_TICKS or one for each decade."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if least / 1.5 <= tick <= most * 1.5]
        if len(inside) <= MOST_TICKS:
            break
    return inside


def _trace(
    trials: pd.DataFrame, cost: str, shown: Measure, name: str, mode: str, colour: str
) -> dict[str, Any]:
    rows: list[dict[Any, Any]] = trials.to_dict("records")
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [float(row[cost]) for row in rows],
        "y": [round(shown.of(row), 5) for row in rows],
        "customdata": [
            f"trial {text(row['trial'])}: {cost} {pareto.amount(cost, row[cost])}" for row in rows
        ],
        "hovertemplate": f"%{{customdata}}, %{{y:.4~g}}{shown.unit}<extra></extra>",
        "line": {"shape": "hv", "width": 2, "color": colour},
        "marker": {"size": 7, "color": colour},
    }

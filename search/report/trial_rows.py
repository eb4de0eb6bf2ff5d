"""The page's table of trials: every setting that differs, the scores, and why each one ended."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

import pandas as pd

from facesiam.config import SETTINGS
from search.analysis.formatting import percent, shown_value, valued
from search.analysis.pareto import as_they_count, known_costs
from search.analysis.ranked_trials import DEFAULT_METRIC, KINDS, MEASURED
from search.analysis.rule_audit import decided
from search.analysis.trial_table import mark, stop_reason
from search.report.report_data import Run, log_settings
from search.space.effect import has_effect

FEW = 8
"""Numbers that differ in at most so many values are choices, evenly spaced on an axis."""


class Column(NamedTuple):
    """A column of the table."""

    name: str
    """What the filter calls it."""
    head: str
    cells: list[str]
    kind: str = "number"
    """``number``, ``word`` or ``long``: a sentence."""
    axis: str = ""
    """Its axis of the parallel coordinates: ``linear``, ``log`` or ``choice``; "" for none."""


def differing(frame: pd.DataFrame) -> list[str]:
    """Return the settings that any two trials differ in, in TrialConfig's order.

    Args:
        frame: of ``settings_frame``.
    """
    return [name for name in SETTINGS if frame[name].nunique(dropna=False) > 1]


def same(frame: pd.DataFrame) -> dict[str, str]:
    """Return the settings that are the same in every trial, with their values as text.

    One that has no effect in any of them is left out.
    """
    differ, rows = differing(frame), frame.to_dict("records")
    alike = [name for name in SETTINGS if name not in differ]
    return {
        name: shown_value(frame[name].iloc[0])
        for name in alike
        if any(has_effect(name, {str(key): one for key, one in row.items()}) for row in rows)
    }


def html(run: Run, frame: pd.DataFrame) -> str:
    """Return the table as HTML: a row a trial, the best first, its name a link to its curve.

    Args:
        run: the run.
        frame: its ``settings_frame``.
    """
    columns = _columns(run, frame)
    heads = "".join(_head(column) for column in columns)
    ended = ends(run.trials)
    rows = []
    for place, trial in enumerate(run.trials["trial"]):
        cells = "".join(_cell(column, place, trial) for column in columns)
        end = escape(ended[trial], quote=True)
        rows.append(f'<tr data-trial="{escape(trial, quote=True)}" data-end="{end}">{cells}</tr>')
    body = "\n".join(rows)
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def ends(trials: pd.DataFrame) -> dict[str, str]:
    """Return how each trial ended, by trial: the rule that stopped it, or its status."""
    by_rule = decided(trials) & (trials["status"] == "stopped")
    named = trials["stop_rule"].where(by_rule, trials["status"])
    return dict(zip(trials["trial"], named.astype(str), strict=True))


def _columns(run: Run, frame: pd.DataFrame) -> list[Column]:
    trials, metric, log = run.trials, run.searched.metric, log_settings([run])
    ranges = {name for name, part in run.searched.search.items() if hasattr(part, "low")}
    costs = known_costs(trials)
    rows: list[dict[Any, Any]] = as_they_count(trials, costs).to_dict("records")
    planned = [run.configs[trial].epochs for trial in trials["trial"]]
    found = [
        Column("trial", "trial", [str(row["trial"]) for row in rows], "word"),
        Column("rank", "rank", [shown_value(row["rank"]) for row in rows]),
    ]
    found += [
        _setting(name, _where_it_acts(run, frame, name), name in log, name in ranges)
        for name in differing(frame)
    ]
    if metric not in MEASURED:
        title = metric + run.searched.objective.unit.replace(" ", ", ")
        cells = [valued(row, metric) for row in rows]
        found.append(Column(metric, title, cells, axis="linear"))
    accuracies = [valued(row, "val_acc") + mark(row) for row in rows]
    axis = "linear" if metric == DEFAULT_METRIC else ""
    reasons = [stop_reason(row) for row in rows]
    if trials["threshold"].nunique() > 1:
        origins = [shown_value(row["threshold"]) for row in rows]
        found.append(Column("threshold", "threshold", origins, "word"))
    ran = [f"{row['epochs_run']} of {most}" for row, most in zip(rows, planned, strict=True)]
    spent = [Column(name, name, [_cost(row[name]) for row in rows]) for name in costs]
    return [
        *found,
        *spent,
        Column("val_acc", "val_acc, %", accuracies, axis=axis),
        Column("status", "status", [shown_value(row["status"]) for row in rows], "word"),
        *([Column("reason", "stop reason", reasons, "long")] if any(reasons) else []),
        Column("best_epoch", "best epoch", [shown_value(row["best_epoch"]) for row in rows]),
        Column("train_acc", "train acc, %", [percent(row["train_acc"]) for row in rows]),
        Column("epochs", "epochs", ran),
        Column("seconds", "seconds", [f"{row['seconds']:.0f}" for row in rows]),
    ]


def _cost(value: float) -> str:
    """Return a cost in digits, by which the page filters and sorts; never 1.197e+04."""
    return f"{value:.0f}" if not pd.isna(value) and value >= 1000 else shown_value(value)


def _where_it_acts(run: Run, frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a setting of each trial; missing where it has no effect with the others."""
    acts = [has_effect(name, run.configs[trial].to_dict()) for trial in run.trials["trial"]]
    values: pd.Series = frame.astype({name: KINDS[SETTINGS[name].type]})[name]
    return values.where(pd.Series(acts, frame.index))


def _setting(name: str, values: pd.Series, log: bool, ranged: bool) -> Column:
    cells = [shown_value(value) for value in values]
    word = SETTINGS[name].type in (str, bool)
    few = word or (values.nunique() <= FEW and not ranged)
    return Column(
        name,
        name,
        cells,
        "word" if word else "number",
        "choice" if few else "log" if log and (values.dropna() > 0).all() else "linear",
    )


def _head(column: Column) -> str:
    axis = f' data-axis="{column.axis}"' if column.axis else ""
    name = escape(column.name, quote=True)
    return (
        f'<th scope="col" class="{column.kind}" data-name="{name}"{axis}>'
        f"{escape(column.head)}</th>"
    )


def _cell(column: Column, place: int, trial: str) -> str:
    text = escape(column.cells[place])
    if column.name == "trial":
        title = escape(f"Show the curve of trial {trial}", quote=True)
        return (
            f'<th scope="row"><a href="#curves" data-curve="" title="{title}">{escape(trial)}</a>'
            "</th>"
        )
    return f'<td class="{column.kind}">{text}</td>'

"""The table of a run's ranked trials, as text for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any, cast

import pandas as pd

from facesiam.cli.terminal import fitted, folded
from facesiam.config import SETTINGS
from facesiam.evaluation.thresholds import ThresholdOrigin, describe_threshold
from facesiam.objective import Objective
from search.analysis.formatting import (
    NOTHING,
    aligned,
    counted,
    grid,
    percent,
    shown_value,
    valued,
)
from search.analysis.pareto import MARK, MEDIAN, amount, as_they_count
from search.analysis.ranked_by import Ranking
from search.analysis.ranked_trials import DEFAULT_METRIC, MEASURED

REASON = "stop reason"
SPARED = ("seconds", "train\nacc, %", "best\nepoch", "epochs\nrun")
"""Columns that a narrow terminal goes without, the first first."""
LEAST = 20
"""Columns of text that a stop reason needs to be read in."""
MOST_FOLDED = 3
"""Lines into which a stop reason folds beside the others; a longer one has all columns below."""
BY_DEFAULT = Ranking()
MARKS = {True: " ~", False: "", None: " ?"}
"""By whether a trial is like the best one; None: that is not known."""
TESTED = (
    "~ not told from the best: exact McNemar on the same pairs, p times the number of comparisons "
    "(best_p) 0.05 or more"
)
OF_ACCURACY = "the test is of val_acc at each trial's best epoch, not of what ranks them"
UNTESTED = (
    "? not tested against the best: which pairs were judged right was not kept, or they are other "
    "pairs"
)
FRONT = "{} on the front of {} against {}: no other trial that learned is as good and as cheap"
WORDS = ("trial", "status", "val_acc, %", "threshold", "front", REASON)
"""Columns that read from the left; settings that are words do too."""


def table(
    trials: pd.DataFrame, top: int | None = None, width: int = 120, ranking: Ranking = BY_DEFAULT
) -> str:
    """Return the table as text, with the settings that are the same in every trial under it.

    Args:
        trials: of a run, ranked.
        top: how many are shown, from the best; None: all.
        width: columns of the terminal, which the table fits.
        ranking: by what they are ranked; another metric than the default has a column.
    """
    shown = trials if top is None else trials.head(top)
    same, headers, cells = _columns(trials, shown, ranking)
    lines = [_laid_out(headers, cells, width)]
    if len(shown) < len(trials):
        more = counted(len(trials) - len(shown), "more trial")
        lines.append(f"{more}; --top {len(trials)} shows all")
    return "\n".join([*lines, *(fitted(line, width) for line in legend(shown, same, ranking))])


def markdown(trials: pd.DataFrame, ranking: Ranking = BY_DEFAULT) -> str:
    """Return the table of all trials as Markdown, with the same notes under it."""
    same, headers, cells = _columns(trials, trials, ranking)
    left = [_is_word(header) for header in headers]
    return "\n\n".join([grid(headers, cells, left), *legend(trials, same, ranking)])


def as_frame(
    trials: pd.DataFrame, top: int | None = None, ranking: Ranking = BY_DEFAULT
) -> pd.DataFrame:
    """Return the table as a frame of text, its columns by their heads."""
    shown = trials if top is None else trials.head(top)
    _, headers, cells = _columns(trials, shown, ranking)
    return pd.DataFrame(cells, columns=[header.replace("\n", " ") for header in headers])


def differing(trials: pd.DataFrame) -> list[str]:
    """Return the settings that any two of the trials differ in; of a single trial, all columns."""
    names = [name for name in trials if name in SETTINGS]
    return [n for n in names if len(trials) < 2 or trials[n].nunique(dropna=False) > 1]


def stop_reason(row: dict[Any, Any]) -> str:
    """Return why a trial ended, or would have ended but for the control group; "" of no reason."""
    known = not pd.isna(row["stop_reason"]) and row["stop_reason"] != row["status"]
    reason = str(row["stop_reason"]) if known else ""
    if row["control"] and reason:
        return f"ran on as control; {row['stop_rule']}: {reason}"
    if row["status"] == "stopped" and not pd.isna(row["stop_rule"]):
        return f"{row['stop_rule']}: {reason}"
    return reason


def mark(row: dict[Any, Any]) -> str:
    """Return the sign of a trial that is not told from the best one; "" of the best itself."""
    if shown_value(row["rank"]) in ("1", NOTHING):
        return ""
    return MARKS[None if pd.isna(row["like_best"]) else row["like_best"]]


def _columns(
    trials: pd.DataFrame, shown: pd.DataFrame, ranking: Ranking
) -> tuple[dict[str, str], list[str], list[list[str]]]:
    """Return the settings that are the same in every trial, the headers, and a row per trial."""
    differ, metric = differing(trials), ranking.metric
    more = [metric] if metric not in MEASURED else []
    more += ["threshold"] if shown["threshold"].nunique() > 1 else []
    costs = [*ranking.costs, "front"] if ranking.costs else []
    said = [name + Objective(name).unit.replace(" ", ", ") for name in more]
    headers = ["rank", "trial", *differ, *said, "val_acc, %", *costs, "best\nepoch"]
    headers += ["train\nacc, %", "epochs\nrun", "status", "seconds", REASON]
    shown = as_they_count(trials, ranking.costs).loc[shown.index]  # the front has them so, too
    cells = [_cells(row, [*differ, *more], ranking) for row in shown.to_dict("records")]
    if not any(row[-1] for row in cells):
        headers, cells = headers[:-1], [row[:-1] for row in cells]
    alike = [name for name in trials if name in SETTINGS and name not in differ]
    same = {n: shown_value(trials[n].iloc[0]) for n in alike if trials[n].notna().any()}
    return same, headers, cells


def legend(shown: pd.DataFrame, same: Mapping[str, str], ranking: Ranking) -> list[str]:
    """Return the lines under a table: the ranking, what val_acc and its marks mean, what is left.

    A mark is explained where a trial of the table has it, and nowhere else.

    Args:
        shown: the trials in it.
        same: settings that are left out of it, as they are the same in every trial.
        ranking: by what they are ranked.
    """
    lines, marks = [ranking.said] if ranking.said else [], set(map(mark, shown.to_dict("records")))
    known = cast(list[ThresholdOrigin], shown["threshold"].dropna().unique().tolist())
    told = [f"{origin}: {describe_threshold(origin)}" for origin in sorted(known)]
    if len(told) == 1:
        told = [describe_threshold(known[0])]
    if told:
        lines.append(f"val_acc is of validation pairs, at the threshold {'; '.join(told)}")
    lines += _computed(shown)
    if ranking.costs:
        if shown["on_front"].eq(True).any():
            lines.append(FRONT.format(MARK, ranking.metric, ", ".join(ranking.costs)))
        lines += [MEDIAN.rstrip(".").lower()] if "latency_ms" in ranking.costs else []
    if MARKS[True] in marks:
        lines.append(TESTED if ranking.metric == DEFAULT_METRIC else f"{TESTED}; {OF_ACCURACY}")
    if MARKS[None] in marks:
        lines.append(UNTESTED)
    if same:
        kept = ", ".join(f"{name} {value}" for name, value in same.items())
        lines.append(f"the same in every trial: {kept}")
    return lines


def _computed(shown: pd.DataFrame) -> list[str]:
    """Return the line on what the trials were computed with; [] where none of them says."""
    ran = shown[shown["epochs_run"] > 0]
    known = ran["ran_with"].value_counts()
    if known.empty:
        return []
    if known.iloc[0] == len(ran):
        return [f"computed with {known.index[0]}"]
    parts = [f"{counted(n, 'trial')} with {words}" for words, n in known.items()]
    if missing := len(ran) - int(known.sum()):
        parts.append(f"of {missing} it is not recorded")
    return [f"computed {', '.join(parts)}; each of these changes a net's numbers"]


def _cells(row: dict[Any, Any], names: Iterable[str], ranking: Ranking) -> list[str]:
    costs = [amount(name, row[name]) for name in ranking.costs]
    if costs:
        costs.append(MARK if row["on_front"] is True else "")
    return [
        shown_value(row["rank"]),
        row["trial"],
        *(valued(row, name) for name in names),
        valued(row, "val_acc") + mark(row),
        *costs,
        shown_value(row["best_epoch"]),
        percent(row["train_acc"]),
        str(row["epochs_run"]),
        shown_value(row["status"]),
        f"{row['seconds']:.0f}",
        stop_reason(row),
    ]


def _is_word(header: str) -> bool:
    return header in WORDS or (header in SETTINGS and SETTINGS[header].type is str)


def _laid_out(headers: list[str], cells: list[list[str]], width: int) -> str:
    """Return the table as text that fits a width.

    Where the columns that are left would fold a stop reason into many lines, the reasons go under
    it, over the whole width. Where it is still too wide it loses the columns of SPARED, and at
    last the settings go under it, too.
    """
    status, trials = headers.index("status"), [row[1] for row in cells]
    states = [row[status] for row in cells]
    reasons = [row[headers.index(REASON)] if REASON in headers else "" for row in cells]
    told = [[""] for _ in cells]
    spaces = {gap: width - _needed(headers, cells, gap) for gap in (2, 1)}
    gap = next((gap for gap, space in spaces.items() if _is_readable(reasons, space)), 0)
    if REASON in headers and not gap:
        headers, cells = _without(headers, cells, [REASON])
        told = [
            [f"{state}: {why}" if why else ""] for state, why in zip(states, reasons, strict=True)
        ]
    gap = gap or (2 if _needed(headers, cells, 2) <= width else 1)
    whole = headers, cells
    headers, cells = _spared(headers, cells, gap, width)
    if _needed(headers, cells, gap) > width:
        headers, cells = whole
        settings = [header for header in headers if header in SETTINGS]
        for row, parts in zip(cells, told, strict=True):
            values = (f"{name} {row[headers.index(name)]}" for name in settings)
            parts.insert(0, ", ".join(values))
        headers, cells = _spared(*_without(headers, cells, settings), gap, width)
    needed = _needed(headers, cells, gap)
    left = [_is_word(header) for header in headers]
    text = aligned(_folded(headers), cells, left, gap, max(width, needed), folding=REASON)
    lines = [
        folded(f"{trial} {'; '.join(filter(None, parts))}", width, rest="     ")
        for trial, parts in zip(trials, told, strict=True)
        if any(parts)
    ]
    return "\n".join([text, *lines])


def _is_readable(reasons: Sequence[str], space: int) -> bool:
    """Say whether the stop reasons can be read in a column of so many characters."""
    if not any(reasons):
        return space >= 0
    return space >= LEAST and all(len(wrap(why, space)) <= MOST_FOLDED for why in reasons)


def _spared(
    headers: list[str], cells: list[list[str]], gap: int, width: int
) -> tuple[list[str], list[list[str]]]:
    """Return a table without as many of the columns of SPARED as do not fit."""
    for spared in SPARED:
        if _needed(headers, cells, gap) > width:
            headers, cells = _without(headers, cells, [spared])
    return headers, cells


def _needed(headers: list[str], cells: list[list[str]], gap: int) -> int:
    """Return the columns that a table needs without the stop reasons."""
    widths = [
        max(len(text) for text in [*header.split("\n"), *(row[at] for row in cells)])
        for at, header in enumerate(_folded(headers))
        if header != REASON
    ]
    return sum(widths) + gap * (len(widths) - (REASON not in headers))


def _folded(headers: list[str]) -> list[str]:
    return [header.replace("_", "_\n", 1) if len(header) > 10 else header for header in headers]


def _without(
    headers: list[str], cells: list[list[str]], names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return a table without some of its columns."""
    kept = [at for at, header in enumerate(headers) if header not in names]
    return [headers[at] for at in kept], [[row[at] for at in kept] for row in cells]

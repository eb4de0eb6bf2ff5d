"""The table of a run's ranked trials, as text for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import pandas as pd

from facesiam.config import SETTINGS
from facesiam.evaluation.thresholds import ThresholdOrigin, describe_threshold
from search.analysis.formatting import aligned, counted, grid, interval, percent, shown_value
from search.analysis.ranked_trials import DEFAULT_METRIC, MEASURED, Ranking

REASON = "stop reason"
LEAST = 20
"""Columns of text that a stop reason needs to be read in."""
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
WORDS = ("trial", "status", "val_acc, %", "threshold", REASON)
"""Columns that read from the left; settings that are words do too."""


def table(
    trials: pd.DataFrame, top: int | None = None, width: int = 120, ranking: Ranking = BY_DEFAULT
) -> str:
    """Return the table as text, with the settings that are the same in every trial under it.

    Args:
        trials: of a run, ranked.
        top: how many are shown, from the best; None: all.
        width: columns of the terminal; a table that does not fit is wider.
        ranking: by what they are ranked; another metric than the default has a column.
    """
    shown = trials if top is None else trials.head(top)
    same, headers, cells = _columns(trials, shown, ranking.metric)
    lines = [_laid_out(headers, cells, width)]
    if len(shown) < len(trials):
        more = counted(len(trials) - len(shown), "more trial")
        lines.append(f"{more}; --top {len(trials)} shows all")
    return "\n".join([*lines, *legend(shown, same, ranking)])


def markdown(trials: pd.DataFrame, ranking: Ranking = BY_DEFAULT) -> str:
    """Return the table of all trials as Markdown, with the same notes under it."""
    same, headers, cells = _columns(trials, trials, ranking.metric)
    left = [_is_word(header) for header in headers]
    return "\n\n".join([grid(headers, cells, left), *legend(trials, same, ranking)])


def as_frame(
    trials: pd.DataFrame, top: int | None = None, ranking: Ranking = BY_DEFAULT
) -> pd.DataFrame:
    """Return the table as a frame of text, its columns by their heads."""
    shown = trials if top is None else trials.head(top)
    _, headers, cells = _columns(trials, shown, ranking.metric)
    return pd.DataFrame(cells, columns=[header.replace("\n", " ") for header in headers])


def differing(trials: pd.DataFrame) -> list[str]:
    """Return the settings that any two of the trials differ in; of a single trial, all columns."""
    names = [name for name in trials if name in SETTINGS]
    return [n for n in names if len(trials) < 2 or trials[n].nunique(dropna=False) > 1]


def stop_reason(row: dict[Any, Any]) -> str:
    """Return why a trial ended, or would have ended but for the control group; "" of no reason."""
    reason = "" if pd.isna(row["stop_reason"]) else str(row["stop_reason"])
    if row["control"] and reason:
        return f"ran on as control; {row['stop_rule']}: {reason}"
    if row["status"] == "stopped" and not pd.isna(row["stop_rule"]):
        return f"{row['stop_rule']}: {reason}"
    return reason


def _columns(
    trials: pd.DataFrame, shown: pd.DataFrame, metric: str
) -> tuple[dict[str, str], list[str], list[list[str]]]:
    """Return the settings that are the same in every trial, the headers, and a row per trial."""
    differ = differing(trials)
    more = [metric] if metric not in MEASURED else []
    more += ["threshold"] if shown["threshold"].nunique() > 1 else []
    headers = ["rank", "trial", *differ, *more, "val_acc, %", "best\nepoch", "train\nacc, %"]
    headers += ["epochs\nrun", "status", "seconds", REASON]
    cells = [_cells(row, [*differ, *more]) for row in shown.to_dict("records")]
    if not any(row[-1] for row in cells):
        headers, cells = headers[:-1], [row[:-1] for row in cells]
    alike = [name for name in trials if name in SETTINGS and name not in differ]
    same = {name: shown_value(trials[name].iloc[0]) for name in alike}
    return same, headers, cells


def legend(shown: pd.DataFrame, same: Mapping[str, str], ranking: Ranking) -> list[str]:
    """Return the lines under a table: the ranking, what val_acc and ~ mean, the settings left.

    Args:
        shown: the trials in it.
        same: settings that are left out of it, as they are the same in every trial.
        ranking: by what they are ranked.
    """
    lines, alike = [ranking.said] if ranking.said else [], shown["like_best"].iloc[1:]
    known = cast(list[ThresholdOrigin], shown["threshold"].dropna().unique().tolist())
    told = [f"{origin}: {describe_threshold(origin)}" for origin in sorted(known)]
    if len(told) == 1:
        told = [describe_threshold(known[0])]
    if told:
        lines.append(f"val_acc is of validation pairs, at the threshold {'; '.join(told)}")
    lines += _computed(shown)
    if alike.fillna(False).any() or shown["best_p"].notna().any():
        lines.append(TESTED if ranking.metric == DEFAULT_METRIC else f"{TESTED}; {OF_ACCURACY}")
    if alike.isna().any():
        lines.append(UNTESTED)
    if same:
        kept = ", ".join(f"{name} {value}" for name, value in same.items())
        lines.append(f"the same in every trial: {kept}")
    return lines


def _computed(shown: pd.DataFrame) -> list[str]:
    """Return the line on what the trials were computed with; [] where none of them says."""
    known = shown["ran_with"].value_counts()
    if known.empty:
        return []
    if known.iloc[0] == len(shown):
        return [f"computed with {known.index[0]}"]
    parts = [f"{counted(n, 'trial')} with {words}" for words, n in known.items()]
    if missing := len(shown) - int(known.sum()):
        parts.append(f"of {missing} it is not recorded")
    return [f"computed {', '.join(parts)}; each of these changes a net's numbers"]


def _cells(row: dict[Any, Any], names: Iterable[str]) -> list[str]:
    rank = shown_value(row["rank"])
    like = "" if rank == "1" else MARKS[None if pd.isna(row["like_best"]) else row["like_best"]]
    accuracy = interval(row["val_acc"], row["val_acc_low"], row["val_acc_high"])
    return [
        rank,
        row["trial"],
        *(shown_value(row[name]) for name in names),
        accuracy + like,
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
    """Return the table; the stop reasons fold, or go under it where less than 20 is left."""
    headers = [header.replace("_", "_\n", 1) if len(header) > 10 else header for header in headers]
    widths = [
        max(len(text) for text in [*header.split("\n"), *(row[at] for row in cells)])
        for at, header in enumerate(headers)
        if header != REASON
    ]
    gap = 2 if sum(widths) + 2 * len(widths) + LEAST <= width else 1
    needed = sum(widths) + gap * len(widths)
    below: list[str] = []
    if REASON in headers and needed + LEAST > width:
        below = [f"{row[1]} {row[-3]}: {row[-1]}" for row in cells if row[-1]]
        headers, cells = headers[:-1], [row[:-1] for row in cells]
    left = [_is_word(header) for header in headers]
    text = aligned(headers, cells, left, gap, max(width, needed), folding=REASON)
    return "\n".join([text, *below])

"""The ranked trials as text, and how a value is written wherever one is shown."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from facesiam.config.trial import SETTINGS
from facesiam.errors import shown

REASON = "stop reason"
LEAST = 20
"""Columns of text that a stop reason needs to be read in."""
MARKS = {True: " ~", False: "", None: " ?"}
"""By whether a trial is like the best one; None: that is not known."""
TESTED = (
    "~ not told from the best: exact McNemar on the same pairs, p times the number of comparisons "
    "(best_p) 0.05 or more"
)
UNTESTED = (
    "? not tested against the best: which pairs were judged right was not kept, or they are other "
    "pairs"
)
WORDS = ("trial", "status", "val_acc, %", REASON)
"""Columns that read from the left; settings that are words do too."""


def table(trials: pd.DataFrame, top: int | None = None, width: int = 120) -> str:
    """Lay out the ``top`` first trials (None: all) as text, ``width`` columns where they fit.

    Settings that no two of the run's trials differ in are named under the table.
    """
    shown = trials if top is None else trials.head(top)
    same, headers, cells = columns(trials, shown)
    lines = [_laid_out(headers, cells, width)]
    if len(shown) < len(trials):
        lines.append(f"{len(trials) - len(shown)} more trials; --top {len(trials)} shows them")
    return "\n".join([*lines, *legend(shown, same)])


def markdown(trials: pd.DataFrame) -> str:
    """Lay out all trials as a Markdown table, with the same notes under it."""
    same, headers, cells = columns(trials, trials)
    left = [header in WORDS or _is_word(header) for header in headers]
    return "\n\n".join([grid(headers, cells, left), *legend(trials, same)])


def columns(
    trials: pd.DataFrame, shown: pd.DataFrame
) -> tuple[dict[str, str], list[str], list[list[str]]]:
    """Return the settings that are the same in every trial, the headers, and a row per trial."""
    differ = differing(trials)
    headers = ["rank", "trial", *differ, "val_acc, %", "best\nepoch", "train\nacc, %"]
    headers += ["epochs\nrun", "status", "seconds", REASON]
    cells = [_cells(row, differ) for row in shown.to_dict("records")]
    if not any(row[-1] for row in cells):
        headers, cells = headers[:-1], [row[:-1] for row in cells]
    alike = [name for name in trials if name in SETTINGS and name not in differ]
    same = {name: shown_value(trials[name].iloc[0]) for name in alike}
    return same, headers, cells


def differing(trials: pd.DataFrame) -> list[str]:
    """Name the settings that any two of the trials differ in; of a single trial, all columns."""
    names = [name for name in trials if name in SETTINGS]
    return [n for n in names if len(trials) < 2 or trials[n].nunique(dropna=False) > 1]


def legend(shown: pd.DataFrame, same: dict[str, str]) -> list[str]:
    """Return the lines under a table: what ~ means, and the settings left out of it."""
    lines, alike = [], shown["like_best"].iloc[1:]
    if alike.fillna(False).any() or shown["best_p"].notna().any():
        lines.append(TESTED)
    if alike.isna().any():
        lines.append(UNTESTED)
    if same:
        kept = ", ".join(f"{name} {value}" for name, value in same.items())
        lines.append(f"the same in every trial: {kept}")
    return lines


def plain(text: object) -> str:
    """Return text that was read from a file as Markdown in one line: no HTML, no link, no picture,
    no control character."""
    return _unlinked(" ".join(shown(text).split("\n")).replace("<", "&lt;"))


def _unlinked(text: str) -> str:
    return text.replace("](", "]\\(").replace("][", "]\\[")


def grid(headers: list[str], cells: list[list[str]], left: list[bool]) -> str:
    """Write a Markdown table; a bar or a line break inside a cell stays inside it."""
    rule = ["---" if word else "--:" for word in left]
    lines = [[header.replace("\n", " ") for header in headers], rule, *cells]
    inside = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;"})
    return "\n".join(
        "| " + " | ".join(_unlinked(cell.translate(inside)) for cell in line) + " |"
        for line in lines
    )


def aligned(
    headers: list[str], cells: list[list[str]], left: list[bool], gap: int = 2, width: int = 120
) -> str:
    """Write a table as aligned text; where ``width`` is too little, stop reasons fold."""
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="none")
    for header, word in zip(headers, left, strict=True):
        wrap = header != REASON
        made.add_column(Text(header), justify="left" if word else "right", no_wrap=wrap)
    for row in cells:
        made.add_row(*(Text(text) for text in row))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def shown_value(value: Any) -> str:
    """Write a setting's value as tables show it: T and F, 1e-05, – for none."""
    if pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def interval(value: float, low: float, high: float) -> str:
    """Write a share with its interval in percent: ``81.4 [79.7, 83.1]``; – where NaN."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _cells(row: dict[Any, Any], names: Iterable[str]) -> list[str]:
    rank = shown_value(row["rank"])
    like = "" if rank == "1" else MARKS[None if pd.isna(row["like_best"]) else row["like_best"]]
    accuracy = interval(row["val_acc"], row["val_acc_low"], row["val_acc_high"])
    train = row["train_acc"]
    reason = "" if pd.isna(row["stop_reason"]) else str(row["stop_reason"])
    if row["control"] and reason:
        reason = f"ran on as control; {row['stop_rule']}: {reason}"
    elif row["status"] == "stopped" and not pd.isna(row["stop_rule"]):
        reason = f"{row['stop_rule']}: {reason}"
    return [
        rank,
        row["trial"],
        *(shown_value(row[name]) for name in names),
        accuracy + like,
        shown_value(row["best_epoch"]),
        "–" if math.isnan(train) else f"{100 * train:.1f}",
        str(row["epochs_run"]),
        shown_value(row["status"]),
        f"{row['seconds']:.0f}",
        reason,
    ]


def _is_word(header: str) -> bool:
    return header in SETTINGS and SETTINGS[header].type is str


def _laid_out(headers: list[str], cells: list[list[str]], width: int) -> str:
    """Write the table; the stop reasons fold, or go under it where less than 20 is left."""
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
    left = [header in WORDS or _is_word(header) for header in headers]
    return "\n".join([aligned(headers, cells, left, gap, max(width, needed)), *below])

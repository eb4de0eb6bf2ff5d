"""The way values are written wherever a user reads them, and tables as text and as Markdown."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from facesiam.config.metrics import ENDS
from facesiam.errors import counted as counted  # its other importers know it from here
from facesiam.errors import shown

NOTHING = "–"
"""Stands for a value that is not there."""
INTERVALS = {"val_acc": ("val_acc_low", "val_acc_high"), **ENDS}
"""Columns of the ranked trials that are shown with an interval, and those of its two ends."""


def shown_value(value: Any) -> str:
    """Return a setting's value as tables show it: T and F, 1e-05, – for none."""
    if pd.isna(value):
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number(value: float, form: str) -> str:
    """Return a number in a format such as ``.3g``; – for NaN."""
    return NOTHING if math.isnan(value) else format(value, form)


def percent(share: float) -> str:
    """Return a share in [0, 1] in percent: ``81.4``; – for NaN."""
    return number(100 * share, ".1f")


def interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """Return a share with its interval in percent: ``81.4 [79.7, 83.1]``; – for NaN.

    Without ends, which are NaN where there are too few people for an interval, it is the share.

    Args:
        value: the share.
        low: lower end of its interval.
        high: upper end.
        digits: after the point.
    """
    if math.isnan(value):
        return NOTHING
    share, least, most = (f"{100 * part:.{digits}f}" for part in (value, low, high))
    return share if math.isnan(low + high) else f"{share} [{least}, {most}]"


def valued(row: Mapping[Any, Any], name: str) -> str:
    """Return a trial's value in a column, a metric that has an interval as ``interval``.

    Args:
        row: of the ranked trials.
        name: of the column.
    """
    ends = INTERVALS.get(name)
    return interval(row[name], *(row[end] for end in ends)) if ends else shown_value(row[name])


def measure(figure: Mapping[str, float]) -> str:
    """Return a measure of a test, with its ``value``, ``low`` and ``high``, as ``interval``."""
    return interval(figure["value"], figure["low"], figure["high"])


def mean_and_std(mean: float, std: float) -> str:
    """Return mean and standard deviation of shares in percent: ``80.0 ± 1.4``; – for NaN."""
    return f"{percent(mean)} ± {percent(std)}"


def plain(text: object) -> str:
    """Return text of a file as one line of Markdown without HTML, links or control characters."""
    return _unlinked(" ".join(shown(text).split("\n")).replace("<", "&lt;"))


def grid(headers: list[str], cells: list[list[str]], left: list[bool]) -> str:
    """Return a Markdown table; a bar or a line break inside a cell stays inside it.

    Args:
        headers: of the columns.
        cells: rows of the table.
        left: which columns are aligned left.
    """
    rule = ["---" if word else "--:" for word in left]
    lines = [[header.replace("\n", " ") for header in headers], rule, *cells]
    inside = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;"})
    return "\n".join(
        "| " + " | ".join(_unlinked(cell.translate(inside)) for cell in line) + " |"
        for line in lines
    )


def aligned(
    headers: list[str],
    cells: list[list[str]],
    left: list[bool],
    gap: int = 2,
    width: int = 120,
    folding: str = "",
) -> str:
    """Return a table as aligned text.

    Args:
        headers: of the columns.
        cells: rows of the table.
        left: which columns are aligned left.
        gap: spaces between columns.
        width: characters of a line.
        folding: header of the column that folds where the table is wider than that.
    """
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="none")
    for header, word in zip(headers, left, strict=True):
        justify: Any = "left" if word else "right"
        made.add_column(Text(header), justify=justify, no_wrap=header != folding)
    for row in cells:
        made.add_row(*(Text(text) for text in row))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def stacked(
    headers: list[str],
    cells: list[list[str]],
    left: list[bool],
    width: int,
    gap: int = 2,
) -> str:
    """Return a table as aligned text; a wide one as several, each with the first column.

    Args:
        headers: of the columns.
        cells: rows of the table.
        left: which columns are aligned left.
        width: characters of a line. A column that is wider by itself folds.
        gap: spaces between columns.
    """
    widths = [
        max(len(line) for text in column for line in text.split("\n"))
        for column in zip(headers, *cells, strict=True)
    ]
    parts = [[0]]
    for at in range(1, len(headers)):
        needed = sum(widths[one] + gap for one in parts[-1]) + widths[at]
        if needed > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(at)
    tables = [
        aligned(
            [headers[at] for at in part],
            [[row[at] for at in part] for row in cells],
            [left[at] for at in part],
            gap,
            width,
            folding=headers[part[-1]],
        )
        for part in parts
    ]
    return "\n\n".join(tables)


def _unlinked(text: str) -> str:
    return text.replace("](", "]\\(").replace("][", "]\\[")

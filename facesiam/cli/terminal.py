"""The terminal that a command writes to: how wide it is, and text that fits it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from facesiam.cli.streams import say

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST = 40
"""Columns below which a text is not made narrower: it would be a word a line."""
UNIT, HELD = re.compile(r" (?=[%±])|(?<=±) "), "\0"
"""Spaces at which no line ends, as in ``80.0 ± 1.4 %``, and what holds their place meanwhile."""
WHOLE = 100_000
"""Columns of a pipe where lines are left whole, to be searched."""


def columns(otherwise: int = 120) -> int:
    """Return the columns of the terminal, or those of the environment variable COLUMNS.

    Args:
        otherwise: columns where stdout is no terminal: a pipe or a file.
    """
    return max(NARROWEST, shutil.get_terminal_size((otherwise, 24)).columns)


def doing(text: str) -> None:
    """Say on a terminal what takes the next seconds, which would leave it blank."""
    if sys.stderr and sys.stderr.isatty():
        say(f"{text} …")


def can_redraw(console: Console) -> bool:
    """Say whether lines can be redrawn on a console, and are wanted so."""
    plain = console.is_dumb_terminal or console.is_jupyter or os.environ.get("NO_COLOR")
    return console.is_terminal and not plain


def fitted(text: str, width: int) -> str:
    """Return a text whose lines fit a width; those of a table, with gaps, stay as they are."""
    return "\n".join(
        line if len(line) <= width or "  " in line.strip() else folded(line, width, rest="  ")
        for line in text.split("\n")
    )


def hung(text: str, width: int) -> str:
    """Return a text whose lines fit a width, each going on further to the right than it begins."""
    lines = []
    for line in text.split("\n"):
        begin = " " * (len(line) - len(line.lstrip()))
        lines.append(
            line if len(line) <= width else folded(line.strip(), width, begin, begin + "    ")
        )
    return "\n".join(lines)


def folded(text: str, width: int, first: str = "", rest: str = "") -> str:
    """Return a text as lines that fit a width.

    Args:
        text: words, parted by spaces.
        width: columns of a line.
        first: what the first line begins with.
        rest: what the others begin with.
    """
    held = UNIT.sub(HELD, text)
    lines = textwrap.fill(
        held, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return lines.replace(HELD, " ")

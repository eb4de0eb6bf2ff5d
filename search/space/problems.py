"""What is wrong with a space file, gathered so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from facesiam.errors import UserError

MOST_TOLD = 40
"""Problems of a file that are listed."""


class SpaceError(UserError, ValueError):
    """A space that cannot be searched; the text names every problem and is ready to be shown."""

    problems: tuple[Problem, ...] = ()
    """Those of single lines."""


class Problem(NamedTuple):
    """One thing that is wrong. They sort by line."""

    line: int
    """From 1; 0 where the problem is in no line of a file."""
    key: str
    text: str

    def __str__(self) -> str:
        place = f"line {self.line}  " if self.line else ""
        key = self.key.replace("\n", "\\n")
        return f"{place}{key}: {self.text}" if key else f"{place}{self.text}"


def report(title: str, problems: Iterable[Problem]) -> SpaceError:
    """Return the error that lists ``problems`` under ``title``, each of them once, by line.

    Of more than MOST_TOLD, the first ones and how many more there are.
    """
    found = sorted(set(problems))
    head = f"{title}: {len(found):,} problem{'s' if len(found) > 1 else ''}"
    more = [f"and {len(found) - MOST_TOLD:,} more"] if len(found) > MOST_TOLD else []
    error = SpaceError("\n  ".join([head, *map(str, found[:MOST_TOLD]), *more]))
    error.problems = tuple(found)
    return error

"""Problems of a space: where each stands, what is wrong there, and the error that lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from facesiam.errors import UserError, counted

MOST_TOLD = 40
"""Problems of a file that are listed."""

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value of a space file, such as ("search", "lr", 0)."""


class SpaceError(UserError, ValueError):
    """A space that cannot be searched; the text names every problem and is ready to be shown."""

    problems: tuple[Problem, ...] = ()
    """Those of single lines."""


class Finding(NamedTuple):
    """What is wrong with one value of a space, whether or not a file says it."""

    place: Place
    text: str
    at_value: bool = False
    """Whether its line is that of the value, which may stand below its key."""


class Problem(NamedTuple):
    """One thing that is wrong, as a user is shown it. Problems sort by line."""

    line: int
    """From 1; 0 where the problem is in no line of a file."""
    key: str
    text: str

    def __str__(self) -> str:
        place = f"line {self.line}  " if self.line else ""
        key = self.key.replace("\n", "\\n")
        return f"{place}{key}: {self.text}" if key else f"{place}{self.text}"


def label(place: Place) -> str:
    """Return what messages call a place: ``lr.when``, ``row A, lr``, ``prune.asha.grace``."""
    if place[:1] == ("enqueue",) and len(place) > 1:
        return ", ".join([f"enqueue {int(place[1]) + 1}", *map(str, place[2:])])
    names = [name for name in place if isinstance(name, str)]
    if len(names) < len(place) and names[-1] == "choices":
        names.pop()  # a choice is one of its setting, whichever way it is written
    if names[:1] == ["rows"] and len(names) > 1:
        row, inside = f"row {names[1]}", names[2:]
        inside = inside[1:] if inside[:1] == ["settings"] and len(inside) > 1 else inside
        return f"{row}, {' '.join(inside)}" if inside else row
    return ".".join(names[1:] if names[:1] in (["fixed"], ["search"]) and names[1:] else names)


def report(title: str, problems: Iterable[Problem]) -> SpaceError:
    """Return the error that lists ``problems`` under ``title``, each of them once, by line.

    Of more than MOST_TOLD, the first ones and how many more there are.
    """
    found = sorted(set(problems))
    head = f"{title}: {counted(len(found), 'problem')}"
    more = [f"and {len(found) - MOST_TOLD:,} more"] if len(found) > MOST_TOLD else []
    error = SpaceError("\n  ".join([head, *map(str, found[:MOST_TOLD]), *more]))
    error.problems = tuple(found)
    return error

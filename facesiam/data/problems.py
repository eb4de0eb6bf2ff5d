"""What is wrong with a dataset: sentences with file and line, many alike told once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_FEW = 3
"""Largest number of problems of one kind that are all reported."""


@dataclass(frozen=True)
class Problem:
    """A problem of a dataset."""

    kind: str
    """Of several problems of one kind the first is reported, with their number."""
    said: str
    """A sentence, with file and line."""


def told(problems: Iterable[Problem], every: bool = False) -> list[str]:
    """Return the sentences to report: of many alike, the first and the number of the others.

    Args:
        problems: in the order in which they were met.
        every: report each of them.
    """
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem.said)
    shown = []
    for said in kinds.values():
        if every or len(said) <= _FEW:
            shown += said
        else:
            shown.append(f"{said[0]}, and {len(said) - 1:,} more like it")
    return shown


def listed(title: str, problems: list[Problem], most: int = 20) -> str:
    """Return problems as the text of one error: a line, or a title and a line for each."""
    lines = told(problems)
    if len(lines) == 1:
        return f"{title}: {lines[0]}"
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([f"{title}: {len(problems):,} problems", *lines[:most], *more])

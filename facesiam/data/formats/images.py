"""A table of images: a path and a person in each row, and where wanted a part and a view."""

from __future__ import annotations

import os

import numpy as np

from facesiam.config.settings import did_you_mean
from facesiam.config.trial import Part
from facesiam.data.archive import FolderSource, Source
from facesiam.data.formats import people, tables
from facesiam.data.formats.found import Found
from facesiam.data.formats.tables import Columns, Table
from facesiam.data.listing import Listing
from facesiam.data.paths import leaves, slashed
from facesiam.data.problems import Problem, listed
from facesiam.errors import DataError

COLUMNS = Columns(("path", "person"), ("split", "view"), {"label": "person"})
"""Open Metric Learning calls the person ``label``."""


def find(source: Source) -> Found | None:
    """Say where the table is in a source; None: there is none.

    Raises:
        DataError: there are several.
    """
    return tables.find(source, COLUMNS)


def read(source: Source) -> Listing:
    """Read the table of ``source``.

    Raises:
        DataError: it has no usable row, or a column is missing. What else is wrong is in
            ``problems``.
    """
    table = tables.read_found(source, COLUMNS)
    problems = list(table.problems)
    rows = _rows(source, table, problems)
    parts: list[Part | None] = [_part(table, row, problems) for row in rows]
    profile = [_is_profile(table, row, problems) for row in rows]
    if any(problem.kind == "split" for problem in problems):
        parts = [None] * len(rows)  # what is said of the words is enough
    if not rows:
        raise DataError(listed(str(source.path), problems))
    found = people.of_images(
        [table.column("person")[row] for row in rows], parts, [table.place(row) for row in rows]
    )
    notes = [*table.notes, *found.notes, *people.notes_of(found)]
    if twins := people.alike(found.names):
        notes.append(
            f"{len(twins):,} {'name differs' if len(twins) == 1 else 'names differ'} from another "
            "in case or blanks only, taken for that of another person (first "
            f"{twins[0][0]} and {twins[0][1]})"
        )
    return Listing(
        format="images",
        names=[_path(table, row) for row in rows],
        person=found.person,
        people=found.names,
        frontal=~np.array(profile, bool),
        fold=found.fold,
        pairs=np.zeros((0, 5), np.int64),
        places=[],
        files=[table.file],
        problems=problems + found.problems or people.too_few(found),
        notes=notes,
    )


def path_problem(source: Source, path: str) -> tuple[str, str] | None:
    """Return (kind, sentence) of what is wrong with the path of an image; None: nothing.

    Args:
        source: whose root the path is under.
        path: as the table has it, with slashes.
    """
    if not path:
        return "no path", "has no path"
    if leaves(path):
        return "outside", (
            f"{path[:200]}: absolute or with ..; paths have to be relative to the folder of the "
            "table, and the images below it"
        )
    if not source.has(path):
        return "no image", f"points at {path[:200]}, which does not exist{_above(source, path)}"
    return None


def _above(source: Source, path: str) -> str:
    """Return what to do where a path is meant from a folder above the table's, if it is."""
    if not isinstance(source, FolderSource):
        return ""
    for folder in source.root.absolute().parents[:2]:
        if os.path.exists(folder / path[:200]):
            return f", but does in {folder}; move the table there"
    return ""


def _rows(source: Source, table: Table, problems: list[Problem]) -> list[int]:
    """Return the rows with a person and an image that is not in an earlier row."""
    good: list[int] = []
    lines: dict[str, int] = {}
    for row, person in enumerate(table.column("person")):
        path = _path(table, row)
        problem = path_problem(source, path)
        if problem is None and (not person or person in people.NOBODY):
            found = f" but {person}, an empty cell of another program" if person else ""
            problem = "no person", f"{path} has no person{found}"
        if problem is None:
            first = lines.setdefault(source.place(path), table.lines[row])
            if first != table.lines[row]:
                problem = "twice", f"lists {path}, which line {first} has as well"
        if problem is None:
            good.append(row)
        else:
            problems.append(Problem(problem[0], f"{table.place(row)}: {problem[1]}"))
    return good


def _path(table: Table, row: int) -> str:
    return slashed(table.column("path")[row])


def _part(table: Table, row: int, problems: list[Problem]) -> Part | None:
    word = table.column("split")[row]
    try:
        return people.part_of(word) if word else None
    except ValueError as error:
        problems.append(Problem("split", f"{table.place(row)}: {error}"))
        return None


def _is_profile(table: Table, row: int, problems: list[Problem]) -> bool:
    word = table.column("view")[row].lower()
    if word and word not in people.VIEWS:
        near = did_you_mean(word, people.VIEWS)
        said = f"view {word[:40]!r} is neither frontal nor profile{near}"
        problems.append(Problem("view", f"{table.place(row)}: {said}"))
    return word == "profile"

"""The table of pairs of images that ``facesiam.verify --csv`` judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesiam import files
from facesiam.data.archive import FolderSource
from facesiam.data.formats import pairs, tables
from facesiam.data.formats.tables import Columns
from facesiam.data.problems import Problem, listed
from facesiam.errors import DataError

TABLE = Columns(
    ("left", "right"), ("same", *pairs.COLUMNS.optional), dict(pairs.COLUMNS.other_names)
)
"""Its columns."""


@dataclass(frozen=True)
class Table:
    """The P pairs of a table of images."""

    left: list[str]
    right: list[str]
    same: list[bool | None]
    """Whether it is one person; None where the table does not say."""
    places: list[str]
    """File and line of each."""


def read(file: Path) -> Table:
    """Read a table of pairs.

    Raises:
        FileError: it is missing, no file, or may not be read.
        DataError: a column is missing, or a cell is wrong; names the line.
    """
    files.open_regular(file).close()  # a source looks for it in its whole folder
    table = tables.read(FolderSource(file, file.parent), file.name, TABLE)
    problems = list(table.problems)
    same = []
    for row, cell in enumerate(table.column("same")):
        same.append(pairs.SAME.get(cell.lower()))
        if cell and same[-1] is None:
            problems.append(Problem("same", f"{table.place(row)}: {pairs.neither(cell)}"))
        for end in ("left", "right"):
            if not table.column(end)[row]:
                problems.append(Problem(end, f"{table.place(row)}: no image in {end}"))
    if problems:
        raise DataError(listed(str(file), problems))
    left, right = (
        [name.replace("\\", "/") for name in table.column(end)] for end in ("left", "right")
    )
    return Table(left, right, same, [table.place(row) for row in range(len(same))])

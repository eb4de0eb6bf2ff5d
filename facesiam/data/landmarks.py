"""Where the landmarks of a dataset are: CFP's 30 in a file an image, or five in a table."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from facesiam.data import alignment
from facesiam.data.alignment import FIVE, Floats
from facesiam.data.archive import Source
from facesiam.data.formats import tables
from facesiam.data.listing import LANDMARKS, Listing
from facesiam.data.paths import slashed
from facesiam.data.text_files import text_of
from facesiam.errors import DataError

FILE = LANDMARKS
"""Table under a dataset's root with five landmarks an image."""
COLUMNS = tables.Columns(("path", *(f"{axis}{n}" for n in range(1, 6) for axis in "xy")))


class Landmarks(Protocol):
    """The landmarks of a dataset's images."""

    mark: str
    """A hash of them."""

    def of(self, name: str) -> Floats:
        """Return those of an image, (30, 2) or (5, 2), in pixels as it is stored."""


def of_dataset(source: Source, dataset: Listing) -> Landmarks:
    """Return the landmarks of a dataset.

    Raises:
        DataError: it has none, or the table lacks an image or has a cell that is no number.
    """
    file = dataset.landmarks or (FILE if source.has(FILE) else None)
    if file:
        return _Table(source, file, dataset.names)
    if dataset.format == "cfp":
        return _Files(source, dataset.names)
    raise DataError(
        f"{source.path}: align: true needs landmarks, and there is no {FILE} at its root; "
        f"give one with a row an image, {COLUMNS.title}: the eyes, the tip of the nose and "
        "the corners of the mouth in pixels, the left one in the image first, as MTCNN and "
        "RetinaFace find them"
    )


class _Files:
    """CFP's: a text of 30 lines beside each image."""

    def __init__(self, source: Source, names: list[str]) -> None:
        self.source = source
        stamps = [
            source.stamp(file) if source.has(file) else None
            for file in map(alignment.file_of, names)
        ]
        self.mark = hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]

    def of(self, name: str) -> Floats:
        file = alignment.file_of(name)
        if not self.source.has(file):
            raise DataError(
                f"{self.source.path}: align: true needs landmarks, and {file} does not exist; CFP "
                "has them in Data/Fiducials"
            )
        return alignment.parse(text_of(self.source.read(file)), f"{self.source.path}: {file}")


class _Table:
    """Five landmarks an image, in a table."""

    def __init__(self, source: Source, file: str, names: list[str]) -> None:
        table = tables.read(source, file, COLUMNS)
        if table.problems:
            raise DataError(f"{source.path}: {table.problems[0].said}")
        cells = [table.column(name) for name in COLUMNS.needed[1:]]
        self._points = np.stack([_numbers(source, table, column) for column in cells], axis=1)
        self._row: dict[str, int] = {}
        for row, path in enumerate(map(slashed, table.column("path"))):
            if (first := self._row.setdefault(path, row)) != row:
                raise DataError(
                    f"{source.path}: {table.place(row)}: has {path}, which line "
                    f"{table.lines[first]} has as well"
                )
        lacking = [name for name in names if name not in self._row]
        if lacking:
            raise DataError(
                f"{source.path}: {file} has no row for {len(lacking):,} of {len(names):,} images, "
                f"the first of them {lacking[0]}; align: true needs the landmarks of all"
            )
        size, crc = source.stamp(file)
        self.mark = f"five-{size}-{crc:08x}"

    def of(self, name: str) -> Floats:
        points: Floats = self._points[self._row[name]].reshape(len(FIVE), 2)
        return points


def _numbers(source: Source, table: tables.Table, column: list[str]) -> Floats:
    """Return a column as numbers."""
    try:
        found = np.array(column, np.float64)
    except ValueError:
        found = np.array([np.nan if not _is_number(cell) else float(cell) for cell in column])
    if len(wrong := np.flatnonzero(~np.isfinite(found))):
        row = int(wrong[0])
        raise DataError(
            f"{source.path}: {table.place(row)}: expected a number of pixels as in 27.5, got "
            f"{column[row]!r}"
        )
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

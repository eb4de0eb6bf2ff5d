"""Tables that describe a dataset: CSV, TSV and semicolon files with a header line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from facesiam import files
from facesiam.config.settings import did_you_mean
from facesiam.data.archive import Source
from facesiam.data.formats.found import Found
from facesiam.data.problems import Problem
from facesiam.data.text_files import INVISIBLE, text_of
from facesiam.errors import DataError

SUFFIXES = (".csv", ".tsv")
SEPARATORS = ",\t;"
DEPTH = 4
"""Folders down from the root in which a table is looked for."""
_MOST_FILES = 50
"""Tables whose headers are looked at."""
_LONGEST_HEADER = 20_000
"""Characters at a file's beginning in which its header is looked for."""
_INVISIBLE = INVISIBLE.replace("\t", "")
"""A tab at the beginning of a line separates an empty cell, as pandas writes its index."""
_SLIP = 0.8
"""How alike the name of an unused column is to that of one that is missing, for a slip."""


@dataclass(frozen=True)
class Columns:
    """The columns of one kind of table, by their names in lower case."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    other_names: Mapping[str, str] = field(default_factory=dict)
    """What a column is also called; the name itself goes first where a table has both."""

    @property
    def title(self) -> str:
        """The header as a user would write it, as in ``path,person[,split]``."""
        return ",".join(self.needed) + "".join(f"[,{name}]" for name in self.optional)

    def places(self, header: Sequence[str]) -> dict[str, int]:
        """Return the place in a header of each of these columns that it has."""
        names = [name.lower() for name in header]
        known = (*self.needed, *self.optional)
        found = {name: names.index(name) for name in known if name in names}
        for other, name in self.other_names.items():
            if other in names:
                found.setdefault(name, names.index(other))
        return found

    def fit(self, header: Sequence[str]) -> bool:
        """Whether a header has every column that is needed."""
        return set(self.needed) <= set(self.places(header))


@dataclass(frozen=True)
class Table:
    """The rows of a table, column by column."""

    file: str
    """Path under the source's root."""
    lines: list[int]
    """(R,) line of the file at which each row begins, the header's being 1."""
    cells: dict[str, list[str]]
    """(R,) cells of each known column that the table has, without blanks around them."""
    problems: list[Problem]
    notes: list[str]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column, (R,); empty texts where the table does not have it."""
        return self.cells.get(name) or [""] * len(self.lines)

    def place(self, row: int) -> str:
        """Return the file and line of a row."""
        return f"{self.file} line {self.lines[row]}"


def file_in(source: Source, columns: Columns) -> str | None:
    """Return the one table of a source that has these columns; None: there is none.

    Where the source was given as a file, only that file can be it.

    Raises:
        DataError: there are several, or one cannot be read.
    """
    found = [name for name in files_of(source) if columns.fit(header_of(source, name))]
    if len(found) > 1:
        raise DataError(
            f"{source.path}: holds {len(found)} tables with the columns "
            f"{','.join(columns.needed)} ({', '.join(found[:3])}{', …' if found[3:] else ''}); "
            "give the path of one of them"
        )
    return found[0] if found else None


def find(source: Source, columns: Columns) -> Found | None:
    """Say where the one table with these columns is in a source; None: there is none.

    Raises:
        DataError: as ``file_in``.
    """
    file = file_in(source, columns)
    if file is None:
        return None
    folder, _, name = file.rpartition("/")
    named = f"{', '.join(columns.needed[:-1])} and {columns.needed[-1]}"
    return Found(f"{folder}/" if folder else "", f"{name} has the columns {named}")


def read_found(source: Source, columns: Columns) -> Table:
    """Read the table of a source whose root ``find`` gave.

    Raises:
        DataError: as ``file_in`` and ``read``.
    """
    return read(source, file_in(source, columns) or files_of(source)[0], columns)


def files_of(source: Source) -> list[str]:
    """Return the tables that may describe a source, as paths under its root, the nearest first."""
    if source.path.suffix.lower() in SUFFIXES and files.is_file(source.path):
        return [source.path.name]
    names = [
        name
        for name in source.names()
        if name.lower().endswith(SUFFIXES)
        and name.count("/") <= DEPTH
        and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    ]
    return sorted(names, key=lambda name: (name.count("/"), name))[:_MOST_FILES]


def header_of(source: Source, file: str) -> list[str]:
    """Return the cells of a table's first line that is not empty; none: the file is empty.

    Raises:
        DataError: the file cannot be read.
    """
    line = _first_line(text_of(source.read(file)))
    return _plain(next(csv.reader([line], delimiter=_separator(line)))) if line else []


def read(source: Source, file: str, columns: Columns) -> Table:
    """Read a table whose header has what is needed.

    Cells that a row lacks at its end are empty. Rows without any text are left out.

    Args:
        source: the files.
        file: path under the source's root.
        columns: those that are looked for.

    Raises:
        DataError: a needed column is missing, there is no row, or the file is no table.
    """
    (_, header), *rows = _rows(source, file)
    places = columns.places(header)
    if missing := [name for name in columns.needed if name not in places]:
        raise DataError(f"{source.path}: {misfit(file, header, columns, missing)}")
    problems, notes = _unused(file, header, columns, places)
    lines: list[int] = []
    cells: dict[str, list[str]] = {name: [] for name in places}
    for line, row in rows:
        if any(row[len(header) :]):
            said = f"has {len(row)} cells, and the header {len(header)}; a separator in a cell?"
            problems.append(Problem("cells", f"{file} line {line}: {said}"))
            continue
        lines.append(line)
        for name, place in places.items():
            cells[name].append(row[place] if place < len(row) else "")
    if not lines and not problems:
        raise DataError(f"{source.path}: {file} has a header and no rows")
    return Table(file, lines, cells, problems, notes)


def misfit(file: str, header: Sequence[str], columns: Columns, missing: Sequence[str]) -> str:
    """Return a sentence that says which column a table lacks, with the name that is near it."""
    if not header:
        return f"{file} is empty; its first line has to be {columns.title}"
    unused = [name for name in header if name.lower() not in columns.places(header)]
    near = next(filter(None, (did_you_mean(name, missing) for name in unused)), "")
    shown = ", ".join(name[:40] for name in header[:6]) + (", …" if header[6:] else "")
    return (
        f"{file} line 1: no column {' or '.join(missing)} in the header ({shown}); "
        f"the first line has to be {columns.title}{near}"
    )


def _unused(
    file: str, header: Sequence[str], columns: Columns, places: Mapping[str, int]
) -> tuple[list[Problem], list[str]]:
    """Return problems and notes about columns that are not used.

    One whose name is nearly that of a missing column is a slip, by which people would quietly be
    split in another way than the table says.
    """
    missing = [name for name in columns.optional if name not in places]
    problems: list[Problem] = []
    unused = [name for at, name in enumerate(header) if at not in places.values() and name]
    for name in unused:
        if near := get_close_matches(name.lower(), missing, n=1, cutoff=_SLIP):
            said = f"column {name!r} is not known; did you mean {near[0]}? Rename or remove it"
            problems.append(Problem("column", f"{file} line 1: {said}"))
    twice = sorted({name for name in header if name and header.count(name) > 1})
    for name in twice:
        problems.append(Problem("twice", f"{file} line 1: has the column {name!r} twice"))
    if problems or not unused:
        return problems, []
    return [], [f"{file}: columns that are not used: {', '.join(unused)}"]


def _rows(source: Source, file: str) -> list[tuple[int, list[str]]]:
    """Return (line at which it begins, cells) of each row with text in it, the header first.

    Returns:
        A header without cells where the file is empty.
    """
    text = text_of(source.read(file)).strip(_INVISIBLE)
    separator = _separator(_first_line(text))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begin = 1
    try:
        for row in reader:
            if any(cells := _plain(row)):
                rows.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        said = "a quote is not closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{source.path}: {file} line {begin}: {said}") from None
    return rows or [(1, [])]


def _first_line(text: str) -> str:
    """Return the first line that is not empty, or an empty text."""
    lines = (line.strip(_INVISIBLE) for line in re.split(r"\r\n|\r|\n", text[:_LONGEST_HEADER]))
    return next((line for line in lines if line.strip()), "")


def _plain(row: Sequence[str]) -> list[str]:
    return [cell.strip(INVISIBLE + "\r\n") for cell in row]


def _separator(header: str) -> str:
    """Return the separator that a header has most of."""
    return max(SEPARATORS, key=header.count)

"""LFW's lists of pairs and of people, read into names and numbers; problems with file and line.

``pairs.txt`` begins with the number of folds and of pairs of each kind in a fold, ``10 300``. Then
come for each fold so many lines ``NAME I J`` of one person, and as many ``NAME I OTHER J`` of two.
The lists of the development view begin with one number and have one fold. ``people.txt`` begins
with the number of folds, each of which begins with its number of people, ``NAME IMAGES``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from facesiam.data.archive import Source
from facesiam.data.problems import Problem
from facesiam.data.text_files import lines_of
from facesiam.errors import counted

FOLDS = (1, 5, 10)
"""Numbers of folds that are read; in one fold people are split by a hash of their names."""
_EXPECTED = "NAME I J of one person or NAME I OTHER J of two, as in `Ann_Lee 1 4`"
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Pair:
    """A line of a list of pairs."""

    names: tuple[str, str]
    numbers: tuple[int, int]
    """Of the images, each among its person's from 1."""
    fold: int
    """From 1; 0: the list has no folds."""
    place: str
    """File and line."""

    @property
    def same(self) -> bool:
        """Whether it is of one person."""
        return self.names[0] == self.names[1]


def is_list(content: bytes) -> bool:
    """Whether a file begins as a list of pairs, with or without its header, or is empty."""
    lines = [_cells(text) for _, text in lines_of(content)][:2]
    return not lines or any(_numbers(cells) or _ends(cells) for cells in lines)


def pairs(source: Source, file: str, problems: list[Problem]) -> tuple[int, list[Pair]]:
    """Return the number of folds, and the pairs whose lines are right.

    Args:
        source: the files.
        file: the list.
        problems: gets what is wrong.
    """
    lines = [(number, _cells(text)) for number, text in lines_of(source.read(file))]
    header = _numbers(lines[0][1]) if lines else None
    if header is None:
        problems.append(Problem("header", f"{file} line 1: {_no_header(lines)}"))
        return 1, []
    place, rows = f"{file} line {lines[0][0]}", lines[1:]
    each = header[-1]
    folds = header[0] if len(header) == 2 else max(1, len(rows) // max(1, 2 * each))
    if folds not in FOLDS:
        said = f"{_form(folds, each)}; expected 10, 5 or 1"
        problems.append(Problem("folds", f"{place}: {said}"))
        return 1, []
    if not each or len(rows) != 2 * each * folds:
        said = (
            f"says {_form(folds, each)}, {2 * each * folds:,} in all, and "
            f"{counted(len(rows), 'line')} {'follows' if len(rows) == 1 else 'follow'}"
        )
        problems.append(Problem("lines", f"{place}: {said}"))
        return 1, []
    found = []
    for at, (number, cells) in enumerate(rows):
        here = f"{file} line {number}"
        fold, is_same = at // (2 * each) + 1, at % (2 * each) < each
        ends = _ends(cells)
        problem = _problem(cells, ends, is_same)
        if problem:
            problems.append(Problem(problem[0], f"{here}: {problem[1]}"))
        elif ends:
            found.append(Pair(ends[0], ends[1], fold if folds > 1 else 0, here))
    return folds, found


def people(
    source: Source, file: str, problems: list[Problem]
) -> tuple[int, list[tuple[str, int, str]]]:
    """Return the number of folds, and (name, fold from 1, file and line) of each person.

    Args:
        source: the files.
        file: the list.
        problems: gets what is wrong.
    """
    found = []
    fold = 0
    for at, (line, text) in enumerate(lines_of(source.read(file))):
        cells = _cells(text)
        if _numbers(cells):
            fold += at > 0
        elif len(cells) == 2 and _NUMBER.fullmatch(cells[1]):
            found.append((cells[0], max(fold, 1), f"{file} line {line}"))
        else:
            said = f"expected NAME and the number of images, got {text[:60]!r}"
            problems.append(Problem("person", f"{file} line {line}: {said}"))
    return max(fold, 1), found


def _cells(text: str) -> list[str]:
    """Return the cells of a line: between tabs, where it has any, else between blanks."""
    return [cell.strip() for cell in text.split("\t")] if "\t" in text else text.split()


def _numbers(cells: Sequence[str]) -> list[int] | None:
    """Return the one or two numbers of a header; None: it is none."""
    if len(cells) > 2 or not all(map(_NUMBER.fullmatch, cells)):
        return None
    return [int(cell) for cell in cells]


def _ends(cells: Sequence[str]) -> tuple[tuple[str, str], tuple[int, int]] | None:
    """Return the names and numbers of a pair's two images; None: it is no pair."""
    if len(cells) == 3:
        cells = [cells[0], cells[1], cells[0], cells[2]]
    if len(cells) != 4 or not (_NUMBER.fullmatch(cells[1]) and _NUMBER.fullmatch(cells[3])):
        return None
    return (cells[0], cells[2]), (int(cells[1]), int(cells[3]))


def _problem(
    cells: Sequence[str], ends: tuple[tuple[str, str], tuple[int, int]] | None, is_same: bool
) -> tuple[str, str] | None:
    if ends is None:
        return "no pair", f"expected {_EXPECTED}, got {' '.join(cells)[:60]!r}"
    (one, other), (first, second) = ends
    if 0 in (first, second):
        return "from 0", f"counts the images of {one} from 0; LFW counts from 1"
    if (one, first) == (other, second):
        return "self", f"pairs image {first} of {one} with itself"
    if (one == other) != is_same:
        whose, among = ("one person", "two") if one == other else ("two people", "one")
        return "order", f"a pair of {whose} where the header's numbers expect pairs of {among}"
    return None


def _form(folds: int, each: int) -> str:
    return f"{counted(folds, 'fold')} of {counted(each, 'pair')} of each kind"


def _no_header(lines: Sequence[tuple[int, Sequence[str]]]) -> str:
    """Return what is wrong with a list without its header, and the header that would fit it."""
    if not lines:
        return "the list is empty"
    got = " ".join(lines[0][1])[:60]
    said = f"expected the number of folds and of pairs of each kind, as in `10 300`, got {got!r}"
    runs = [len(list(run)) for _, run in groupby(len(cells) for _, cells in lines)]
    folds = len(runs) // 2
    if folds in FOLDS and set(runs) == {runs[0]} and len(runs) == 2 * folds:
        said += f"; its {len(lines):,} lines would go with `{folds} {runs[0]}` as the first"
    return said

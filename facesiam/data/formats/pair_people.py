"""The people of a table of pairs: named in it, or found by its pairs; and their folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesiam.data.formats.claims import Claims
from facesiam.data.formats.people import People, numbered, part_of, plain
from facesiam.data.formats.tables import Table
from facesiam.data.problems import Problem
from facesiam.data.split import ALL_FOLDS, FOLDS, PART_OF, deal_parts, halves
from facesiam.errors import counted

_COUNTS = (range(1, 11), range(10), range(1, 6), range(5))
"""The numbers that folds may have: ten or five, from 1 or from 0."""


@dataclass(frozen=True)
class Pair:
    """A row of a table of pairs that is right by itself."""

    row: int
    ends: tuple[int, int]
    """Its two images."""
    same: bool
    place: str
    """File and line."""


def of_pairs(table: Table, images: Sequence[str], pairs: Sequence[Pair]) -> People:
    """Return the people of a table's images.

    Where the table names nobody, the images that pairs of the same person connect are one person,
    called after the first of their paths.

    Args:
        table: the table.
        images: (N,) path of each.
        pairs: of the rows that are right.
    """
    problems: list[Problem] = []
    named = [name in table.cells for name in ("person_left", "person_right")]
    if any(named) and not all(named):
        here, gone = ("left", "right") if named[0] else ("right", "left")
        said = f"has a column person_{here} and none person_{gone}; give both or neither"
        problems.append(Problem("person", f"{table.file} line 1: {said}"))
    notes = []
    if all(named):
        whose = _named(table, images, pairs, problems)
    else:
        whose = _connected(images, pairs, problems)
        count = len(set(whose))
        notes.append(
            f"{table.file}: names nobody; its pairs of the same person make "
            f"{counted(count, 'person', 'people')} of {counted(len(images), 'image')}"
        )
    names, person = numbered(whose)
    fold, more = _folds(table, names, whose, pairs, problems)
    return People(names, person, fold[person], problems, notes + more)


def _named(
    table: Table, images: Sequence[str], pairs: Sequence[Pair], problems: list[Problem]
) -> list[str]:
    """Return the name of each image's person, as its first pair has it."""
    found: dict[int, tuple[str, str]] = {}
    columns = [table.column(name) for name in ("person_left", "person_right")]
    for pair in pairs:
        names = [plain(column[pair.row]) for column in columns]
        if not all(names):
            problems.append(Problem("no name", f"{pair.place}: has no name of a person"))
            continue
        for image, name in zip(pair.ends, names, strict=True):
            first, where = found.setdefault(image, (name, pair.place))
            if first != name:
                said = f"{images[image]} is of {name}, and of {first} by {where}"
                problems.append(Problem("two names", f"{pair.place}: {said}"))
        if (names[0] == names[1]) != pair.same:
            what = "the same" if pair.same else "different people"
            said = f"says {what}, and the names are {names[0]} and {names[1]}"
            problems.append(Problem("names", f"{pair.place}: {said}"))
    return [found[at][0] if at in found else images[at] for at in range(len(images))]


def _connected(images: Sequence[str], pairs: Sequence[Pair], problems: list[Problem]) -> list[str]:
    """Return a name of each image's person: the first path of those that pairs connect."""
    above = list(range(len(images)))

    def root(at: int) -> int:
        while above[at] != at:
            above[at] = above[above[at]]
            at = above[at]
        return at

    for pair in pairs:
        if pair.same:
            one, other = map(root, pair.ends)
            if images[other] < images[one]:
                one, other = other, one
            above[other] = one
    for pair in pairs:
        one, other = pair.ends
        if not pair.same and root(one) == root(other):
            said = (
                f"says that {images[one]} and {images[other]} are different people, and pairs of "
                "the same person connect them"
            )
            problems.append(Problem("contradiction", f"{pair.place}: {said}"))
    return [plain(images[root(at)]) for at in range(len(images))]


def _folds(
    table: Table,
    names: Sequence[str],
    whose: Sequence[str],
    pairs: Sequence[Pair],
    problems: list[Problem],
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the fold of each of `names`: as listed, in its part, or by its hash; and notes."""
    numbers, ten = _listed(table, pairs, problems)
    parts = _parts(table, pairs, problems)
    said = (lambda fold: f"fold {fold}") if numbers else (lambda part: f"the {_PARTS[part]} part")
    claims = Claims(said)
    for pair in pairs:
        place = numbers.get(pair.row) if numbers else parts.get(pair.row)
        for image in pair.ends if place is not None else ():
            claims.add(whose[image], place or 0, pair.place)
    problems += claims.problems()
    if numbers:
        fold = claims.folds(names, (lambda _, listed: listed) if ten else halves)
        problems += _disagreeing(pairs, parts, dict(zip(names, fold.tolist(), strict=True)), whose)
        return fold, []
    part_numbers = [claims.of.get(name) for name in names]
    return deal_parts(names, [None if at is None else _PARTS[at] for at in part_numbers])


_PARTS = list(FOLDS)


def _listed(
    table: Table, pairs: Sequence[Pair], problems: list[Problem]
) -> tuple[dict[int, int], bool]:
    """Return the listed fold of each row, from 1, and whether there are ten of them, not five."""
    if "fold" not in table.cells:
        return {}, True
    cells = {pair.row: table.cells["fold"][pair.row] for pair in pairs}
    numbers = {}
    for pair in pairs:
        text = cells[pair.row].removesuffix(".0")
        if text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= max(ALL_FOLDS):
            numbers[pair.row] = int(text)
        else:
            said = (
                f"fold {cells[pair.row][:40]!r}; expected 1 to 10 or 0 to 9, or 1 to 5 or 0 to 4"
            )
            problems.append(Problem("fold", f"{pair.place}: {said}"))
    if len(numbers) < len(pairs):
        return {}, True
    there = set(numbers.values())
    folds = next((folds for folds in _COUNTS if there == set(folds)), None)
    if folds is None:
        said = f"has the folds {', '.join(map(str, sorted(there)))}"
        expected = "expected each of 1 to 10 or 0 to 9, or of 1 to 5 or 0 to 4"
        problems.append(Problem("folds", f"{table.file}: {said}; {expected}"))
        return {}, True
    return {row: number - folds[0] + 1 for row, number in numbers.items()}, len(folds) == 10


def _parts(table: Table, pairs: Sequence[Pair], problems: list[Problem]) -> dict[int, int]:
    """Return the part of each row by its place among FOLDS; none where none is named."""
    if "split" not in table.cells:
        return {}
    found = {}
    for pair in pairs:
        word = table.cells["split"][pair.row]
        try:
            found[pair.row] = _PARTS.index(part_of(word))
        except ValueError as error:
            problems.append(Problem("split", f"{pair.place}: {error}"))
    return found


def _disagreeing(
    pairs: Sequence[Pair], parts: dict[int, int], fold: dict[str, int], whose: Sequence[str]
) -> list[Problem]:
    """Return the pairs whose part is not that of their fold."""
    found = []
    for pair in pairs:
        number = fold[whose[pair.ends[0]]]
        if pair.row in parts and _PARTS[parts[pair.row]] != PART_OF[number]:
            said = (
                f"is in the {_PARTS[parts[pair.row]]} part and in fold {number} of ten, which is "
                f"in {PART_OF[number]}; leave out one of the two columns"
            )
            found.append(Problem("part", f"{pair.place}: {said}"))
    return found

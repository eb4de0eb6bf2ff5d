"""A table of pairs: two paths and whether they show one person, with folds, parts and names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesiam.config.settings import did_you_mean
from facesiam.data.archive import Source
from facesiam.data.formats import pair_people, tables
from facesiam.data.formats.claims import left_out
from facesiam.data.formats.found import Found
from facesiam.data.formats.images import path_problem
from facesiam.data.formats.pair_people import Pair
from facesiam.data.formats.tables import Columns, Table
from facesiam.data.listing import Listing, repeated
from facesiam.data.paths import slashed
from facesiam.data.problems import Problem, listed
from facesiam.data.split import part_numbers
from facesiam.errors import DataError, counted

COLUMNS = Columns(
    ("left", "right", "same"),
    ("fold", "split", "person_left", "person_right"),
    {"issame": "same", "is_same": "same", "same_person": "same"},
)
SAME = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "same"), True),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "different", "diff"), False),
}
"""Whether a pair is of one person, by the word in lower case."""
_BALANCED = (0.4, 0.6)
"""Shares of pairs of one person that need no note."""


def find(source: Source) -> Found | None:
    """Say where the table is in a source; None: there is none.

    Raises:
        DataError: there are several.
    """
    return tables.find(source, COLUMNS)


def read(source: Source) -> Listing:
    """Read the table of ``source``; its images are in the order of their first pair.

    Raises:
        DataError: it has no usable row, or a column is missing. What else is wrong is in
            ``problems``.
    """
    table = tables.read_found(source, COLUMNS)
    problems = list(table.problems)
    names: list[str] = []
    pairs = _pairs(source, table, names, problems)
    if not pairs:
        raise DataError(listed(str(source.path), problems))
    people = pair_people.of_pairs(table, names, pairs)
    problems += people.problems
    ends = np.array([pair.ends for pair in pairs], np.int64)
    label = np.array([not pair.same for pair in pairs], np.int64)
    rows = np.column_stack([np.zeros_like(label), people.fold[ends[:, 0]], ends, label])
    parts = part_numbers(people.fold)
    within = (parts[rows[:, 2]] == parts[rows[:, 3]]) | bool(problems)
    return Listing(
        format="pairs",
        names=names,
        person=people.person,
        people=people.names,
        frontal=np.ones(len(names), bool),
        fold=people.fold,
        pairs=rows[within],
        places=[pair.place for pair, kept in zip(pairs, within.tolist(), strict=True) if kept],
        files=[table.file],
        problems=problems,
        notes=[
            *table.notes,
            *people.notes,
            *left_out(table.file, int((~within).sum()), len(rows)),
            *_balance(table.file, label[within]),
            *_repeats(table.file, ends[within]),
        ],
    )


def neither(word: str) -> str:
    """Return a sentence on a word that is not in SAME, with the one that is near it."""
    near = did_you_mean(word.lower(), ("true", "false", "yes", "no", "same", "different"))
    return f"same {word[:40]!r} is neither 1 (true, same) nor 0 (false){near}"


@dataclass
class _Images:
    """The images that pairs name, each once however it is written."""

    source: Source
    names: list[str]
    at: dict[str, int]

    def number(self, path: str) -> int | tuple[str, str]:
        """Return the number of an image, or (kind, sentence) of what is wrong with its path."""
        if path in self.at:
            return self.at[path]
        if problem := path_problem(self.source, path):
            return problem
        place = self.source.place(path)
        number = self.at.setdefault(place, len(self.names))
        self.at[path] = number
        if number == len(self.names):
            self.names.append(place)
        return number


def _pairs(source: Source, table: Table, names: list[str], problems: list[Problem]) -> list[Pair]:
    """Return the pairs of the rows that are right; append their images to ``names``."""
    images = _Images(source, names, {})
    found: list[Pair] = []
    labels: dict[tuple[int, int], tuple[bool, str]] = {}
    columns = [table.column(name) for name in ("left", "right", "same")]
    for row, (left, right, word) in enumerate(zip(*columns, strict=True)):
        place = table.place(row)
        ends = [images.number(slashed(path)) for path in (left, right)]
        same = SAME.get(word.lower())
        problem = next((end for end in ends if not isinstance(end, int)), None)
        if problem is None and same is None:
            problem = "same", neither(word)
        one, other = (end if isinstance(end, int) else -1 for end in ends)
        if problem is None and one == other:
            problem = "self", f"pairs {names[one]} with itself"
        if problem is None and same is not None:
            key = min(one, other), max(one, other)
            first, where = labels.setdefault(key, (same, place))
            if first != same:
                said = "one person" if first else "two people"
                problem = "label", f"{left} and {right} are of {said} by {where}"
        if problem is None and same is not None:
            found.append(Pair(row, (one, other), same, place))
        elif problem:
            problems.append(Problem(problem[0], f"{place}: {problem[1]}"))
    return found


def _balance(file: str, label: NDArray[np.int64]) -> Iterator[str]:
    """Yield a note where one kind of pairs is much more frequent than the other."""
    same = int((label == 0).sum())
    if len(label) and not _BALANCED[0] <= same / len(label) <= _BALANCED[1]:
        often = max(same, len(label) - same) / len(label)
        yield (
            f"{file}: {counted(same, 'pair')} of one person and {len(label) - same:,} of two; one "
            f"answer for all has an accuracy of {100 * often:.1f} %"
        )


def _repeats(file: str, ends: NDArray[np.int64]) -> Iterator[str]:
    """Yield a note about pairs that come again."""
    again = len(ends) - len(np.unique(np.sort(ends, axis=1), axis=0))
    if again:
        yield f"{file}: {repeated(again)}: n counts each once"

"""Where a dataset itself places its people: the same place each time, or a problem by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facesiam.data.problems import Problem
from facesiam.data.split import deal
from facesiam.errors import counted


class Claims:
    """The place that a dataset gives each of its people: a fold, a part, or what the format has.

    Args:
        said: returns a place in words, as in "fold 3".
        advice: what a user may do about a person in two places.
    """

    def __init__(self, said: Callable[[int], str], advice: str = "") -> None:
        self.said = said
        self.advice = advice
        self.of: dict[str, int] = {}
        """The place of each person who has one: the first that was given."""
        self._first: dict[str, str] = {}
        self._problems: dict[str, Problem] = {}

    def add(self, person: str, place: int, where: str) -> None:
        """Give a person a place.

        Args:
            person: the name.
            place: its number.
            where: file and line that say so.
        """
        first = self.of.setdefault(person, place)
        seen = self._first.setdefault(person, where)
        if first != place and person not in self._problems:
            said = (
                f"{where}: {person} is in {self.said(place)}, and in {self.said(first)} by "
                f"{seen}; no one may be in two{self.advice}"
            )
            self._problems[person] = Problem("shared", said)

    def problems(self) -> list[Problem]:
        """Return a problem for each person who was given two places."""
        return list(self._problems.values())

    def folds(
        self,
        people: Sequence[str],
        resolve: Callable[[list[str], NDArray[np.int64]], NDArray[np.int64]],
    ) -> NDArray[np.int64]:
        """Return the fold of each person, (P,); by a hash of the name who was given no place.

        Args:
            people: their names, each once.
            resolve: returns the folds (K,) of K names and their places (K,).
        """
        fold = np.zeros(len(people), np.int64)
        has = np.array([person in self.of for person in people], bool)
        given = [person for person in people if person in self.of]
        fold[has] = resolve(given, np.array([self.of[person] for person in given], np.int64))
        fold[~has] = deal([person for person in people if person not in self.of])
        return fold


def left_out(file: str, count: int, of: int) -> Iterator[str]:
    """Yield a note about pairs whose two people are in different parts, if there are any."""
    if count:
        are = "is" if count == 1 else "are"
        yield (
            f"{file}: {count:,} of {counted(of, 'pair')} {are} of people in different parts "
            f"(train, val, test) and {are} not used"
        )
